"""Plans: numbers and seeds that never collide, and 100 000 shards without opening a file."""

import builtins
import os
import time
from pathlib import Path

import pytest

from sst1m.errors import ConfigError
from sst1m.layout_mc import ProductionLayout
from sst1m.nodes import Node
from sst1m.production.load import load_production
from sst1m.production.needs import missing_samples
from sst1m.production.plan import PlannedProduction

STANDARD = Path(__file__).parents[3] / "config" / "productions" / "standard.toml"


def test_a_hundred_thousand_shards_are_planned_in_seconds_without_a_file(monkeypatch, tmp_path):
    production = load_production(STANDARD)

    def refused(*arguments, **_):
        raise AssertionError(f"a file was opened: {arguments[0]}")

    for place, name in ((builtins, "open"), (os, "open"), (os, "stat"), (os, "scandir"), (os, "listdir")):
        monkeypatch.setattr(place, name, refused)
    start = time.perf_counter()
    planned = PlannedProduction(production, ProductionLayout(tmp_path, "standard"), STANDARD)
    obs_ids, seeds, names = set(), set(), set()
    for shard in planned.shards():
        obs_ids.add(shard.obs_id)
        seeds.add(planned.seed(shard))
        names.add(str(shard.name))
    seconds = time.perf_counter() - start
    monkeypatch.undo()
    assert planned.n_shards > 100_000
    assert len(obs_ids) == len(seeds) == len(names) == planned.n_shards
    assert min(obs_ids) == 1 and max(obs_ids) == planned.n_shards
    # run numbers fit the int32 of ctapipe's data model, seeds what CORSIKA takes
    assert max(seeds) < 900_000_000
    assert seconds < 15


def test_productions_of_other_seeds_share_no_shower(plan, document):
    one, other = plan(document), plan(document | {"seed": 4})
    seeds = [{planned.seed(shard) for shard in planned.shards()} for planned in (one, other)]
    assert len(seeds[0]) == 3 and not seeds[0] & seeds[1]


def test_samples_are_found_and_shards_counted(plan, document):
    planned = plan(document)
    node = Node(20, 180, 100)
    assert [str(sample) for sample in planned.samples] == [
        "gamma_diffuse ze20_az180_nsb100 train",
        "gamma_diffuse ze20_az180_nsb100 test",
    ]
    assert [shard.obs_id for shard in planned.shards()] == [1, 2, 3]
    assert planned.telescope_setups == ("tel_001", "tel_002", "stereo")
    assert planned.has("gamma_diffuse", "train") and not planned.has("proton_diffuse", "train")
    with pytest.raises(ConfigError, match="no proton_diffuse at ze20_az180_nsb100 for test"):
        planned.sample("proton_diffuse", node, "test")
    with pytest.raises(ConfigError, match="there is no shard 2"):
        planned.sample("gamma_diffuse", node, "train").shard(2)


def test_what_a_stage_needs_is_known_before_anything_is_made(plan, document):
    planned = plan(document)
    assert missing_samples(planned, "dl1") == missing_samples(planned, "dl2") == []
    problems = missing_samples(planned, "irfs")
    assert len(problems) == 2 and all("proton_diffuse" in problem for problem in problems)
