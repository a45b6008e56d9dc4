"""The command that finds coincidences by hand."""

import numpy as np
import pytest
from click.testing import CliRunner

from sst1m.cli.dl1_stereo import dl1_stereo
from sst1m.coincidence import read_coincidences
from sst1m.errors import ConfigError, InputError
from sst1m.instrument import sst1m_subarray
from sst1m.io.dl1 import Dl1Block, Dl1Writer, check_dl1
from sst1m.monitoring import measure_live_time
from sst1m.reduction.columns import EXTRA_COLUMNS
from sst1m.reduction.monitoring import write_pedestal_monitoring

START_NS = 1_709_576_137_000_000_000


def write_run(directory, tel_id, run, time_ns):
    """Write a DL1 file of events that all have an image."""
    directory.mkdir(exist_ok=True)
    path = directory / f"SST1M{tel_id - 20}_20240304_{run:04d}_W1_dl1.h5"
    n_events = len(time_ns)
    event_id = np.arange(1, n_events + 1)
    light = np.ones((n_events, 2), dtype=np.float32)
    with Dl1Writer(
        path,
        subarray=sst1m_subarray(),
        tel_ids=(tel_id,),
        obs_id=202403040000 + run,
        images="none",
        extra_columns=EXTRA_COLUMNS,
    ) as writer:
        extras = {"time_ns": time_ns, "true_az_tel": np.full(n_events, 180.0)}
        extras["true_alt_tel"] = np.full(n_events, 62.0)
        parameters = {"camera_frame_hillas_intensity": np.full(n_events, 100.0)}
        parameters["morphology_n_pixels"] = np.full(n_events, 9)
        writer.write_block(tel_id, Dl1Block(event_id, time_ns, parameters, extras, light, light, light > 0))
        writer.write_triggers(event_id, time_ns, np.tile([tel_id == 21, tel_id == 22], (n_events, 1)))
        writer.write_pointing(tel_id, time_ns[:1], np.zeros(1), np.ones(1))
        write_pedestal_monitoring(writer, tel_id, [])
        facts = {"tel_ids": [tel_id], "obs_id": 202403040000 + run, "ra_deg": 84.0, "dec_deg": 22.0}
        facts |= {"n_events_written": n_events, "n_telescope_events": {str(tel_id): n_events}}
        facts |= {"live_time": measure_live_time(time_ns).to_dict(), "nsb_mhz": 100.0}
        writer.write_info(facts | {"mean_pointing": {"alt_deg": 62.0, "az_deg": 180.0}})
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of telescope 1 and one of telescope 2, which begins in the first and ends in the second."""
    root = tmp_path_factory.mktemp("dl1")
    times = START_NS + np.sort(np.random.default_rng(1).integers(0, 10**10, 300))
    write_run(root / "cs1", 21, 1, times[:150])
    write_run(root / "cs1", 21, 2, times[150:])
    write_run(root / "cs2", 22, 9, times[50:250] + 100)
    (root / "cs2" / "SST1M2_20240304_0009_W1_dl1_pedestal_hist.h5").write_bytes(b"not for us")
    return root


def invoke(*arguments):
    return CliRunner().invoke(dl1_stereo, [str(argument) for argument in arguments], catch_exceptions=False)


def test_stereo_files_pairs_picture_and_log(runs, project_root, tmp_path):
    config = project_root / "config" / "sst1m_data_config.json"
    given = [runs / "cs1" / f"SST1M1_20240304_000{run}_W1_dl1.h5" for run in (1, 2)]
    arguments = ["--input-dir-tel2", runs / "cs2", "-c", config, "-o", tmp_path]
    result = invoke("--input-file-tel1", given[0], "--input-file-tel1", given[1], *arguments)
    assert result.exit_code == 0
    assert "200 pairs by WhiteRabbitClosest, matched fraction 100.0 %, clock offset" in result.output
    assert "0001_W1_dl1_stereo.h5: 100 of 150 events" in result.output
    for suffix in ("h5", "json", "log", "png"):
        assert (tmp_path / f"SST1M_20240304_coincidences.{suffix}").is_file()
    assert not list(tmp_path.glob(".*"))
    # one run alone: the other one beside it still keeps its partners
    alone = tmp_path / "alone"
    result = invoke("--input-file-tel1", given[1], *arguments[:-1], alone)
    assert len(read_coincidences(alone / "SST1M_20240304_coincidences.h5")) == 200
    assert [path.name for path in alone.glob("*stereo.h5")] == ["SST1M1_20240304_0002_W1_dl1_stereo.h5"]
    assert check_dl1(alone / "SST1M1_20240304_0002_W1_dl1_stereo.h5")["n_events_written"] == 100


def test_what_is_wrong_is_said(runs, project_root, tmp_path):
    config = project_root / "config" / "sst1m_data_config.json"
    given = runs / "cs1" / "SST1M1_20240304_0001_W1_dl1.h5"
    rest = ["-c", config, "-o", tmp_path]
    with pytest.raises(InputError, match="no such file"):
        invoke(
            "--input-file-tel1", runs / "cs1" / "SST1M1_20240304_0005_dl1.h5", "--input-dir-tel2", runs, *rest
        )
    with pytest.raises(InputError, match="like a DL1 file of telescope 1"):
        other = runs / "cs2" / "SST1M2_20240304_0009_W1_dl1.h5"
        invoke("--input-file-tel1", other, "--input-dir-tel2", runs / "cs1", *rest)
    with pytest.raises(InputError, match="is no directory"):
        invoke("--input-file-tel1", given, "--input-dir-tel2", runs / "cs3", *rest)
    with pytest.raises(ConfigError, match="configuration of simulations"):
        mc = project_root / "config" / "sst1m_mc_config.json"
        invoke("--input-file-tel1", given, "--input-dir-tel2", runs / "cs2", "-c", mc, "-o", tmp_path)
    assert not list(tmp_path.iterdir())


def test_help_shows_examples():
    output = invoke("--help").output
    assert "Examples:" in output
    for option in ("--input-file-tel1", "--input-dir-tel2", "--config", "--output-dir", "--pattern"):
        assert option in output
