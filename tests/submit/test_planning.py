"""From a graph to shards: every pending task once, in order, by what it needs."""

import json

import luigi
import luigi.task
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submit.errors import PlanError
from submit.graph import pending_graph
from submit.history import History
from submit.jobs import Limits
from submit.listing import Listing
from submit.pack import make_arrays, make_units
from submit.plan import make_plan, runs_here
from submit.quick_luigi import quick_luigi
from submit.reconcile import Account
from submit.site import Site


class Made(luigi.Task):
    """Needs the tasks that a text lists, as numbers; each makes a file."""

    where = luigi.Parameter()
    number = luigi.IntParameter()
    needs = luigi.Parameter(default="{}", significant=False)

    def requires(self):
        table = json.loads(self.needs)
        return [Made(self.where, n, self.needs) for n in table.get(str(self.number), [])]

    def output(self):
        return luigi.LocalTarget(f"{self.where}/{self.number}.txt")

    def run(self):
        raise AssertionError("is only planned")


class Heavy(Made):
    farm = {"stage": "heavy", "mem_mb": 9000, "seconds": 50.0, "cpus": 4}


class Wrong(Made):
    farm = {"stage": "x", "memory": 3}


class Everything(luigi.WrapperTask):
    where = luigi.Parameter()
    count = luigi.IntParameter()

    def requires(self):
        return [Made(self.where, n) for n in range(self.count)]


class Parted(luigi.Task):
    where = luigi.Parameter()

    def parts(self):
        return [Made(self.where, n) for n in range(3)]

    def complete(self):
        return not self.parts()


class OnParts(Made):
    def requires(self):
        return Parted(self.where)


class Elsewhere(luigi.ExternalTask):
    where = luigi.Parameter()

    def output(self):
        return luigi.LocalTarget(f"{self.where}/elsewhere")


class OnElsewhere(Made):
    def requires(self):
        return [Elsewhere(self.where), Made(self.where, 7)]


class Breaks(Made):
    def requires(self):
        raise RuntimeError("no idea")


class OnBreaks(Made):
    def requires(self):
        return [Breaks(self.where, 1), Made(self.where, 7)]


class Light(Made):
    farm = {"here": True}


class OnLight(Made):
    def requires(self):
        return Light(self.where, 1)


@pytest.fixture
def site(tmp_path):
    return Site(backend="local", state_dir=tmp_path / "state", plan={"shard_minutes": 20})


def _plan(root, site, account=None, quarantined=None, limits=None):
    graph = pending_graph(root)
    return make_plan(graph, site, limits or Limits(), History({}), account or Account(), quarantined or {})


def _ids(plan):
    return [item.task_id for array in plan.arrays for shard in array.shards for item in shard.items]


def _graphs():
    """Any graph without cycles: a node needs only such with smaller numbers."""

    def build(lists):
        return {str(n): sorted({m % n for m in below}) for n, below in enumerate(lists) if n}

    return st.lists(st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=25).map(build)


@given(table=_graphs(), per_shard=st.integers(1, 5), per_array=st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_every_pending_task_once_and_after_what_it_needs(table, per_shard, per_array, tmp_path_factory):
    table = {**table, "1000": list(range(len(table) + 1))}
    root = Made("/nowhere", 1000, json.dumps(table))
    site = Site(backend="local", state_dir="/nowhere", plan={"max_items": per_shard})
    plan = _plan(root, site, limits=Limits(max_array_size=per_array))
    ids = _ids(plan)
    assert sorted(ids) == sorted(plan.graph.nodes) and len(set(ids)) == len(table) + 1 - ("0" in table)
    place = {task_id: n for n, task_id in enumerate(ids)}
    maker = {
        item.task_id: (array.name, index)
        for array in plan.arrays
        for index, shard in enumerate(array.shards)
        for item in shard.items
    }
    needs = {array.name: set(array.needs) for array in plan.arrays}
    for task_id, node in plan.graph.nodes.items():
        for need in node.needs:
            assert place[need] < place[task_id]
            # In the same shard it comes first; otherwise the array waits for the array that makes it.
            assert maker[need] == maker[task_id] or maker[need][0] in needs[maker[task_id][0]]
    assert all(len(array.shards) <= per_array for array in plan.arrays)
    longest = max(len(unit.items) for array in plan.arrays for shard in array.shards for unit in shard.units)
    assert all(
        len(list(shard.items)) <= max(per_shard, longest) for array in plan.arrays for shard in array.shards
    )


def test_what_is_there_is_not_planned_and_an_empty_file_is_not_there(tmp_path, site):
    (tmp_path / "0.txt").write_text("x")
    (tmp_path / "1.txt").touch()
    plan = _plan(Everything(str(tmp_path), 3), site)
    assert [node.task.number for node in plan.graph.nodes.values()] == [1, 2]
    assert len(_ids(plan)) == 2


def test_one_listing_per_directory(tmp_path):
    listing = Listing()
    for n in range(500):
        (tmp_path / f"{n}.txt").write_text("x")
    assert all(listing.complete(Made(str(tmp_path), n)) for n in range(500))
    assert listing.n_listed == 1


def test_a_task_that_stands_for_its_parts_is_not_run_itself(tmp_path, site):
    plan = _plan(OnParts(str(tmp_path), 9), site)
    families = [item.node.task.task_family for array in plan.arrays for s in array.shards for item in s.items]
    assert sorted(families) == ["Made", "Made", "Made", "OnParts"] and families[-1] == "OnParts"
    assert plan.arrays[-1].needs == [plan.arrays[0].name]


def test_chains_share_a_shard_unless_their_nodes_differ(tmp_path, site):
    chain = Made(str(tmp_path), 3, json.dumps({"3": [2], "2": [1]}))
    plan = _plan(chain, site)
    assert len(plan.arrays) == 1 and [item.node.task.number for item in plan.arrays[0].shards[0].items] == [
        1,
        2,
        3,
    ]
    mixed = type("OnHeavy", (Made,), {"requires": lambda self: Heavy(self.where, 5)})(str(tmp_path), 6)
    plan = _plan(mixed, site)
    assert [(array.cpus, array.mem_mb) for array in plan.arrays] == [(4, 9000), (1, 2000)]


def test_what_waits_for_others_is_reported_and_not_submitted(tmp_path, site):
    plan = _plan(OnElsewhere(str(tmp_path), 1), site)
    assert [item.split("_")[0] for item in plan.missing] == ["Elsewhere"]
    assert [item.split("_")[0] for item in plan.held_up] == ["OnElsewhere"]
    assert len(_ids(plan)) == 1
    plan = _plan(OnBreaks(str(tmp_path), 1), site)
    assert "RuntimeError: no idea" in next(iter(plan.missing.values())) and len(_ids(plan)) == 1


def test_light_tasks_are_named_for_the_planner(tmp_path, site):
    graph = pending_graph(OnLight(str(tmp_path), 2))
    assert [task.task_family for task in runs_here(graph, site)] == ["Light"]


def test_cycles_and_unknown_wishes_are_refused(tmp_path, site):
    with pytest.raises(PlanError, match="needs itself"):
        pending_graph(Made(str(tmp_path), 1, json.dumps({"1": [2], "2": [3], "3": [1]})))
    with pytest.raises(PlanError, match=r"Wrong.farm: memory is not known"):
        _plan(Wrong(str(tmp_path), 1), site)


def test_active_and_quarantined_tasks_hold_up_what_needs_them(tmp_path, site):
    table = json.dumps({"9": [1, 2, 3]})
    root = Made(str(tmp_path), 9, table)
    one, two, three = (Made(str(tmp_path), n, table).task_id for n in (1, 2, 3))
    account = Account()
    account.active[one] = "running"
    plan = _plan(root, site, account, {two: {"id": two, "error": "bad"}})
    assert _ids(plan) == [three]
    assert plan.quarantine == {two: "bad"} and plan.held_up[root.task_id] in (one, two)


def test_a_failed_task_whose_input_is_made_anew_is_tried_again(tmp_path, site):
    table = json.dumps({"9": [1]})
    root = Made(str(tmp_path), 9, table)
    plan = _plan(root, site, quarantined={root.task_id: {"id": root.task_id, "error": "bad"}})
    assert plan.changed == {root.task_id} and len(_ids(plan)) == 2
    (tmp_path / "1.txt").write_text("x")
    plan = _plan(root, site, quarantined={root.task_id: {"id": root.task_id, "error": "bad"}})
    assert not plan.changed and not _ids(plan)


def test_shards_last_as_long_as_asked(tmp_path, site):
    units = make_units(
        {
            i.task_id: i
            for a in _plan(Everything(str(tmp_path), 100), site).arrays
            for s in a.shards
            for i in s.items
        }
    )
    arrays = make_arrays(units, max_elements=1000, max_walltime_s=86400)
    # 100 tasks of 600 s in shards of 20 minutes: two each.
    assert [len(list(shard.items)) for shard in arrays[0].shards] == [2] * 50
    assert arrays[0].walltime_s == 2100


def test_history_replaces_the_first_guess(tmp_path, site):
    plan = make_plan(
        pending_graph(Everything(str(tmp_path), 4)), site, Limits(), History({"Made": 1.0}), Account(), {}
    )
    assert plan.n_shards == 1 and plan.core_hours == pytest.approx(4 / 3600)


def test_quick_luigi_changes_nothing_but_the_time():
    names = ["get_params", "get_param_values", "to_str_params", "_warn_on_wrong_param_types"]
    before = [luigi.Task.__dict__[name] for name in names], luigi.task.task_id_str
    slow = Made("/a b/é'\n", 5, '{"x": [1]}')
    with quick_luigi():
        quick = Made("/a b/é'\n", 5, '{"x": [1]}')
        short = Made(where="/w", number=6)
        texts = quick.to_str_params(), quick.to_str_params(only_significant=True)
    assert Made("/a b/é'\n", 5, '{"x": [1]}') is slow, "luigi's own table of tasks is back"
    assert quick is not slow and quick.task_id == slow.task_id
    assert texts == (slow.to_str_params(), slow.to_str_params(only_significant=True))
    assert short.task_id == Made(where="/w", number=6).task_id
    assert before == ([luigi.Task.__dict__[name] for name in names], luigi.task.task_id_str)
