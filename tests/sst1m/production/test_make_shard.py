"""Shards: simulated, from files on disk or by a command; failures are recorded and healed."""

import copy
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import tables

from sst1m.config import config_from_dict
from sst1m.errors import ConfigError, InputError
from sst1m.io.dl1 import check_dl1
from sst1m.io.thrown import read_thrown
from sst1m.production.claim import check_production_root, claim_production_root
from sst1m.production.collect import merge_sample, open_shards, sample_state
from sst1m.production.failures import failure_of, retry_failed
from sst1m.production.make_shard import make_shard, shard_is_settled


def product_of(planned, shard) -> Path:
    sample = shard.sample
    return planned.layout.shard(sample.particle, sample.node, sample.role, shard.index)


def parameters(path: Path) -> bytes:
    with tables.open_file(path) as h5file:
        return h5file.get_node("/dl1/event/telescope/parameters/tel_001").read().tobytes()


@pytest.fixture
def copied(simulated, plan):
    """Return a function: a production that has some shards of the simulated one already."""

    def copy_of(document: dict, *shards) -> object:
        planned = plan(document)
        for shard in shards:
            target = product_of(planned, shard)
            target.parent.mkdir(parents=True, exist_ok=True)
            for path in product_of(simulated, shard).parent.glob(f"{target.stem}.*"):
                shutil.copy(path, target.parent)
        return planned

    return copy_of


def test_shards_become_one_file_with_all_that_was_thrown(copied, simulated, document, mc_config):
    planned = copied(document, *simulated.shards())
    sample = planned.samples[0]
    for shard in sample.shards():
        product = product_of(planned, shard)
        assert check_dl1(product)["showers"]["seed"] == planned.seed(shard)
        record = json.loads(product.with_suffix(".json").read_text())
        assert record["run"]["obs_id"] == shard.obs_id
        assert record["config"]["fingerprint"] == mc_config.fingerprint()
        assert "result: done" in product.with_suffix(".log").read_text()
        assert make_shard(planned, shard, mc_config) is None
    info = merge_sample(planned, sample, mc_config)
    merged = planned.layout.merged(sample.particle, sample.node, sample.role)
    assert read_thrown(merged).n_showers == info["n_thrown"] == 60
    assert info["n_events"] > 20
    assert check_dl1(merged)["node"] == "ze20_az180_nsb100"
    assert merge_sample(planned, sample, mc_config) is None
    for production in (simulated, planned):
        assert not list(production.layout.locks.glob("*shards*"))
        assert not [path for path in production.layout.root.rglob("*") if ".part" in path.name]


def test_the_same_plan_gives_the_same_numbers(plan, simulated, document, mc_config):
    planned = plan(document)
    shard = planned.samples[1].shard(0)
    assert make_shard(planned, shard, mc_config).state == "done"
    assert parameters(product_of(planned, shard)) == parameters(product_of(simulated, shard))


@pytest.fixture(scope="module")
def simtel_file(shared_data) -> Path:
    return shared_data / "simtel" / "simtel_test_file.simtel.gz"


@pytest.fixture
def simtel_config(mc_document):
    """The file's quantum efficiency is not among those with a known factor."""
    values = copy.deepcopy(mc_document)
    values["NsbCalibrator"]["mc_correction_for_PDE"] = False
    return config_from_dict(values)


def of_files(document: dict, pattern: str, zenith: float = 0.0, size: dict | None = None) -> dict:
    return document | {
        "axes": {"zenith": [zenith], "azimuth": [0], "nsb": [100]},
        "source": {"kind": "files", "pattern": pattern},
        "particles": {"gamma_point": {"test": size or {}}},
    }


def test_sim_telarray_files_on_disk_become_shards(plan, document, simtel_file, simtel_config, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "gamma_point_test_a.simtel.gz").symlink_to(simtel_file)
    planned = plan(of_files(document, f"{data}/{{particle}}_{{role}}_*.simtel.gz"))
    shard = planned.samples[0].shard(0)
    assert make_shard(planned, shard, simtel_config).n_events == 9
    assert read_thrown(product_of(planned, shard)).n_showers == 1000
    inputs = json.loads(product_of(planned, shard).with_suffix(".json").read_text())["inputs"]
    assert inputs[0]["path"] == str(data / "gamma_point_test_a.simtel.gz")


def test_files_in_the_wrong_place_are_recorded_by_name(plan, document, simtel_file, simtel_config, tmp_path):
    link = tmp_path / "gamma_point_test.simtel.gz"
    link.symlink_to(simtel_file)
    planned = plan(of_files(document, f"{tmp_path}/{{particle}}_{{role}}.simtel.gz", zenith=20))
    shard = planned.samples[0].shard(0)
    outcome = make_shard(planned, shard, simtel_config)
    assert outcome.state == "failed"
    assert str(link) in outcome.reason and "20.0 deg from ze20_az0_nsb100" in outcome.reason


def test_a_file_that_arrives_or_changes_heals_its_shard(plan, document, simtel_file, simtel_config, tmp_path):
    pattern = f"{tmp_path}/{{particle}}_{{role}}_{{shard:03d}}.simtel.gz"
    planned = plan(of_files(document, pattern, size={"shards": 2}))
    shard = planned.samples[0].shard(1)
    file = tmp_path / "gamma_point_test_001.simtel.gz"
    assert "no such file" in make_shard(planned, shard, simtel_config).reason
    assert shard_is_settled(planned, shard) and make_shard(planned, shard, simtel_config) is None
    file.write_bytes(simtel_file.read_bytes()[:50_000])
    assert not shard_is_settled(planned, shard)
    outcome = make_shard(planned, shard, simtel_config)
    assert outcome.state == "failed" and str(file) in outcome.reason
    assert failure_of(planned.layout, shard).input == str(file)
    file.write_bytes(simtel_file.read_bytes())
    assert make_shard(planned, shard, simtel_config).state == "done"
    assert failure_of(planned.layout, shard) is None


def test_dl1_files_on_disk_are_taken_as_they_are(plan, document, mc_config, tmp_path):
    made = plan(document, "made")
    shard = made.samples[1].shard(0)
    make_shard(made, shard, mc_config)
    source = {
        "kind": "files",
        "pattern": f"{product_of(made, shard).parent}/{{particle}}_{{node}}_{{role}}_*.h5",
    }
    particles = {"gamma_diffuse": {"test": {}}}
    planned = plan(document | {"source": source, "particles": particles})
    sample = planned.samples[0]
    assert make_shard(planned, sample.shard(0), mc_config).state == "done"
    assert product_of(planned, sample.shard(0)).is_symlink()
    assert merge_sample(planned, sample, mc_config)["n_thrown"] == 20


def test_more_files_keep_the_numbers_of_the_known_ones(plan, document, simtel_file, tmp_path):
    from sst1m.production.inputs import add_new_inputs

    for name in ("b", "c"):
        (tmp_path / f"gamma_point_test_{name}.simtel.gz").symlink_to(simtel_file)
    values = of_files(document, f"{tmp_path}/{{particle}}_{{role}}_*.simtel.gz")
    before = plan(values)
    assert before.n_shards == 2
    (tmp_path / "gamma_point_test_a.simtel.gz").symlink_to(simtel_file)
    assert plan(values).n_shards == 2
    add_new_inputs(before.production, before.layout)
    after = plan(values)
    names = [after.input_file(shard).name for shard in after.shards()]
    assert names == [f"gamma_point_test_{name}.simtel.gz" for name in "bca"]


SCRIPT = """\
import json, shutil, sys
source, log, mode, output, *rest = sys.argv[1:]
json.dump(sys.argv[1:], open(log, "a"))
print("simulating", *rest)
if mode == "fail":
    sys.exit(3)
if mode == "sleep":
    import time; time.sleep(60)
if mode != "nothing":
    shutil.copy(source, output)
"""


@pytest.fixture
def by_command(document, simtel_file, tmp_path):
    """Return a function: a production whose command copies a file, or behaves in another way."""
    script, log = tmp_path / "simulate.py", tmp_path / "calls.json"
    script.write_text(SCRIPT)

    def make(mode: str = "copy", program: str = sys.executable, **more) -> dict:
        command = [
            program,
            str(script),
            str(simtel_file),
            str(log),
            mode,
            "{output}",
            "{seed}",
            "{obs_id:06d}",
        ]
        command += ["{primary}", "a b; $(touch x)", "{zenith:.2f}", "{scatter_radius}"]
        beam = {"energy_min": 0.3, "energy_max": 10, "index": -2.0, "scatter_radius": 1000, "offset": 0}
        return document | {
            "axes": {"zenith": [0], "azimuth": [0], "nsb": [100]},
            "source": {"kind": "command", "command": command, "output_suffix": ".simtel.gz", **more},
            "particles": {"gamma_point": beam | {"test": {"shards": 1, "showers": 100}}},
        }

    return make


def test_a_command_simulates_without_a_shell(plan, by_command, simtel_config, tmp_path):
    planned = plan(by_command())
    shard = planned.samples[0].shard(0)
    assert make_shard(planned, shard, simtel_config).n_events == 9
    arguments = json.loads((tmp_path / "calls.json").read_text())
    assert arguments[4:] == ["3000001", "000001", "1", "a b; $(touch x)", "0.00", "1000"]
    assert "simulating 3000001" in product_of(planned, shard).with_suffix(".log").read_text()
    assert not any((planned.layout.root / ".work").iterdir())


@pytest.mark.parametrize(
    ("mode", "more", "word"),
    [
        ("fail", {}, "ended with status 3"),
        ("nothing", {}, "wrote no run000001.simtel.gz"),
        ("sleep", {"timeout_minutes": 0.01}, "took longer"),
    ],
)
def test_a_command_that_fails_is_recorded_with_its_words(plan, by_command, simtel_config, mode, more, word):
    planned = plan(by_command(mode, **more))
    shard = planned.samples[0].shard(0)
    assert word in make_shard(planned, shard, simtel_config).reason
    log = planned.layout.failure_record(shard.name).with_suffix(".log").read_text()
    assert "simulating" in log or mode == "sleep"
    assert not product_of(planned, shard).exists()


def test_a_program_that_is_not_there_is_no_failure_of_the_shard(plan, by_command, simtel_config):
    planned = plan(by_command(program="/no/such/program"))
    with pytest.raises(ConfigError, match="/no/such/program cannot be started"):
        make_shard(planned, planned.samples[0].shard(0), simtel_config)
    assert open_shards(planned, planned.samples[0], 0, 1) == [0]


def test_a_full_disk_is_no_failure_of_the_shard(plan, document, mc_config):
    planned = plan(document)
    shard = planned.samples[0].shard(0)
    directory = product_of(planned, shard).parent
    directory.parent.mkdir(parents=True)
    directory.write_text("a file in the way")
    with pytest.raises((OSError, Exception), match="shards"):
        make_shard(planned, shard, mc_config)
    assert failure_of(planned.layout, shard) is None


def failing(planned, shard) -> None:
    """Record a failure, as a shard that the simulator cannot digest would."""
    from sst1m.production.failures import ShardFailure, record_failure

    failure = ShardFailure(str(shard.name), "InputError", "it is broken", "", 0, 0, "", 1)
    record_failure(planned.layout, shard, failure)


def test_as_many_failures_as_are_accepted_and_no_more(copied, plan, simulated, document, mc_config):
    sample = simulated.samples[0]
    planned = copied(document, sample.shard(0))
    with pytest.raises(InputError, match="1 of 2 shards are missing"):
        merge_sample(planned, sample, mc_config)
    failing(planned, sample.shard(1))
    with pytest.raises(InputError, match="1 of 2 shards failed.*1: it is broken.*--retry-failed"):
        merge_sample(planned, sample, mc_config)
    tolerant = plan(document | {"accepted_failures": 0.5})
    info = merge_sample(tolerant, sample, mc_config)
    assert info["n_thrown"] == 30
    assert info["merged"]["failed"] == [{"shard": 1, "error": "InputError", "message": "it is broken"}]
    assert [name for name in info["merged"]["files"]] == [str(sample.shard(0).name)]


def test_not_one_file_is_no_sample_whatever_is_accepted(plan, document, mc_config):
    planned = plan(document | {"accepted_failures": 1.0})
    sample = planned.samples[1]
    failing(planned, sample.shard(0))
    with pytest.raises(InputError, match="1 of 1 shards failed"):
        merge_sample(planned, sample, mc_config)


def test_failures_are_forgotten_on_request_but_not_those_of_this_call(plan, document):
    planned = plan(document)
    for shard in planned.samples[0].shards():
        failing(planned, shard)
    assert len(sample_state(planned, planned.samples[0]).failed) == 2
    assert retry_failed(planned.layout, planned.samples, 1) == 0
    assert retry_failed(planned.layout, planned.samples, 2) == 2
    assert open_shards(planned, planned.samples[0], 0, 9) == [0, 1]


def test_a_directory_belongs_to_one_production_and_configuration(plan, document, mc_config, mc_document):
    planned = plan(document)
    check_production_root(planned, mc_config)
    claim_production_root(planned, mc_config)
    claim_production_root(plan(document | {"accepted_failures": 0.3}), mc_config)
    with pytest.raises(ConfigError) as caught:
        check_production_root(plan(document | {"seed": 5}), mc_config)
    assert "production.seed was 3, is 5" in str(caught.value)
    assert "give the production a new name" in str(caught.value)
    values = copy.deepcopy(mc_document)
    values["analysis"]["global_gammaness_cut"] = 0.5
    with pytest.raises(ConfigError, match="config.analysis.global_gammaness_cut was 0.75, is 0.5"):
        claim_production_root(planned, config_from_dict(values))
    assert os.listdir(planned.layout.root)
