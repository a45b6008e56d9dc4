"""State of a campaign damaged at random: what is right is used, or the file that is in the way is named."""

import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sst1m.simulation.spoiled import edited, spoiled_text
from submit.backends.local_queue import Element, Queue
from submit.campaign import Campaign
from submit.errors import BusyError, StateError, SubmitError
from submit.explain import explain
from submit.gc import leftovers
from submit.lease import Holder, Lease, lease_holder
from submit.manifest import read_manifest, read_worker_settings

WAY_OUT = re.compile("remove|restore|submit again|submit it anew|correct")
#: Of state of which nothing was damaged: the file is written, and then nobody reads it any more.
NOT_READ = (".log", ".sh", ".txt", ".py", ".out")


@pytest.fixture
def farm(make_farm, wait_for):
    """Return a campaign with tasks that are done, in quarantine, and blocked; and a copy of its state."""
    made = make_farm("local", 3)
    made.plant(n1="corrupt", n2="once")
    made.submit()
    assert made.wait_quiet().stuck
    made.submit()
    made.wait_quiet()
    # A finalizer may have found more to do in the meantime.
    wait_for(lambda: not Queue(made.site.state_dir / "local").has_runner(), "the end of all work", 60)
    assert made.look().stuck
    shutil.copytree(made.site.state_dir, made.site.state_dir.with_name("copy"))
    return made


def restore(made):
    shutil.rmtree(made.site.state_dir)
    shutil.copytree(made.site.state_dir.with_name("copy"), made.site.state_dir)


def state_files(made):
    found = (path for path in sorted(made.site.state_dir.rglob("*")) if path.is_file())
    # Who reads damaged events wakes a runner, which would work while the next case is prepared.
    return [p for p in found if p.stat().st_size and p.suffix not in NOT_READ and p.name != "events.jsonl"]


def spoil(path, rng):
    """Damage a file, or edit one object of JSON in it."""
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl") and rng.random() < 0.6:
        lines = content.decode().splitlines() if path.suffix == ".jsonl" else [content.decode()]
        number = int(rng.integers(len(lines)))
        way, document = edited(json.loads(lines[number]), rng)
        lines[number] = json.dumps(document)
        path.write_text("\n".join(lines) + "\n")
        return f"edited, {way}"
    way, changed = spoiled_text(content, rng)
    path.write_bytes(changed)
    return way


def use(made):
    """Do what the commands do with a state; return what they found."""
    campaign = next(iter(made.site.state_dir.glob("Sum_*")))
    signal.alarm(60)
    try:
        outcome = made.look()
        status = made.status()
        json.dumps(status.as_json())
        for task_id in outcome.plan.graph.nodes:
            list(explain(made.campaign, outcome, task_id))
        list(leftovers(made.site, keep_days=0.0))
        for array in campaign.glob("rounds/*/*/array.json"):
            for shard in array.parent.glob("shards/*.jsonl"):
                use_shard(array.parent, int(shard.stem))
    finally:
        signal.alarm(0)
    return outcome


def use_shard(array, index):
    """Do what a worker does before it works."""
    try:
        read_worker_settings(array)
        read_manifest(array, index)
    except StateError as error:
        if not WAY_OUT.search(str(error)):
            raise


def unaccounted(made, outcome):
    """Return the tasks without a product that are neither planned nor on their way, held up or put away."""
    plan = outcome.plan
    planned = {item.task_id for array in plan.arrays for shard in array.shards for item in shard.items}
    known = planned | {*plan.active} | {*plan.quarantine} | {*plan.later} | {*plan.missing} | {*plan.held_up}
    return {*plan.graph.nodes} - known


def after_the_way_out(made, error):
    """Remove the files that errors name, one after the other, and return the outcome that follows."""
    for _ in range(3):
        named = Path(re.match(r"[^:,]+", str(error))[0])
        assert made.site.state_dir in named.parents and WAY_OUT.search(str(error)), str(error)
        if named.is_dir():
            shutil.rmtree(named)
        else:
            named.unlink()
        try:
            return use(made)
        except SubmitError as again:
            error = again
    raise error


@pytest.mark.slow
@pytest.mark.torture
def test_damaged_state_of_a_campaign_loses_no_task(farm, dose, record_property):
    ended, wrong = Counter(), []
    for number in range(dose(40, 3000)):
        rng = np.random.default_rng([29, number])
        restore(farm)
        for closed in farm.campaign.rounds.glob("*/closed.json") if rng.random() < 0.4 else ():
            closed.unlink()
        files = state_files(farm)
        path = files[int(rng.integers(len(files)))]
        way = spoil(path, rng)
        name = path.name if path.parent.name not in ("shards", "results", "quarantine") else path.parent.name
        try:
            try:
                outcome, end = use(farm), "goes on"
            except SubmitError as error:
                outcome, end = after_the_way_out(farm, error), "goes on without it"
            if lost := unaccounted(farm, outcome):
                wrong.append(f"{number} {name} {way}: lost {lost}")
            if outcome.complete:
                wrong.append(f"{number} {name} {way}: complete without its product")
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            end = "wrong"
            wrong.append(f"{number} {path} {way}: {type(error).__name__}: {str(error)[:300]}")
        ended[name, end] += 1
    for (name, end), count in sorted(ended.items()):
        record_property(f"{name}: {end}", count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:25]])


@pytest.mark.torture
def test_damaged_words_of_the_moment_are_no_surprise(tmp_path, dose, record_property):
    """Leases, the lock, the events of the local queue: whoever reads them goes on, or is told to wait."""
    path, ended = tmp_path / "lease", Counter()
    campaign = Campaign(tmp_path / "Root_1")
    queue = Queue(tmp_path / "local")
    for directory in (campaign.directory, queue.root / "1"):
        directory.mkdir(parents=True)
    queue.note("1", 0, Element("started", 77, 88, "here", 5.0))
    queue.note("1", 0, Element("ended", 77, 88, "here", 5.0, "ok", 0))
    events = queue.root / "1" / "events.jsonl"
    good_events = events.read_bytes()
    for number in range(dose(150, 6000)):
        rng = np.random.default_rng([31, number])
        path.unlink(missing_ok=True)
        assert isinstance(Lease.take(path, "T", native="1", node="n", stale_after_s=900), Lease)
        spoil(path.rename(path.with_suffix(".json")), rng)
        path.with_suffix(".json").rename(path)
        holder = lease_holder(path)
        taken = Lease.take(path, "T", native="2", node="n", stale_after_s=900)
        assert isinstance(holder, Holder) and isinstance(taken, Lease | Holder)
        # Nobody takes it from a holder who is not known to be dead.
        assert isinstance(taken, Holder) or holder.dead
        campaign.lock.write_bytes(path.read_bytes())
        try:
            with campaign.locked():
                ended["lock broken"] += 1
        except BusyError as error:
            assert str(campaign.lock) in str(error)
            ended["lock respected"] += 1
            campaign.lock.unlink()
        events.write_bytes(good_events)
        spoil(events, rng)
        for one in queue.elements("1").values():
            assert (type(one.pid), type(one.ticks), type(one.host)) == (int, int, str)
    for end, count in sorted(ended.items()):
        record_property(end, count)
    assert ended["lock respected"] > 0
