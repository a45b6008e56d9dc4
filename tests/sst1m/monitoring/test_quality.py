"""Traffic lights: limits from a file, and which runs they let into photon lists."""

import datetime
import json

import pytest

from sst1m.errors import ConfigError
from sst1m.layout import NightLayout, side_paths
from sst1m.manifest import Manifest
from sst1m.monitoring.quality import (
    Limits,
    check_run,
    is_accepted,
    read_limits,
    run_quantities,
    target_offset_deg,
    worst,
)
from sst1m.monitoring.selection import RunSelection
from sst1m.night_products import remove_photon_lists
from sst1m.night_science import NightScience, SciencePaths
from sst1m.sources import DEFAULT_SOURCES, Source

CRAB = Source("Crab", 83.63308, 22.0145)


def record(nsb: float = 100.0, start: int = 0, stop: int = 60, **more) -> dict:
    live = {"intervals_ns": [[start * 10**9, stop * 10**9]], "deadc": 0.9, "deadc_error": 0.01, "method": ""}
    live |= {"ontime_s": stop - start, "livetime_s": 0.9 * (stop - start)}
    info = {"n_events_written": 5400, "n_pedestal": 600, "n_parametrized": 2700, "n_survived_pedestals": 6}
    info |= {"nsb_mhz": nsb, "n_bad_pixels": 3, "mean_pointing": {"alt_deg": 60.0, "az_deg": 180.0}}
    info |= {"live_time": live, "n_voltage_drop_clamped": 0, "mean_raised_threshold_fraction": 0.01}
    return {"calibration": info | more, "run": {"ra_deg": 84.388, "dec_deg": 22.0128}}


def test_the_limits_of_the_checkout_are_valid_and_complete():
    limits = read_limits()
    assert all(getattr(limits.run, name) is not None for name in run_quantities(record()))
    assert worst(check_run(record(), limits.run, 0.7)) == "good"


def test_quantities_are_those_of_the_record():
    found = run_quantities(record(), 0.7)
    assert found["trigger_rate_hz"] == pytest.approx(100.0)
    assert found["pedestal_rate_hz"] == 10.0 and found["cleaned_fraction"] == 0.5
    assert found["pedestals_survived"] == 0.01 and found["zenith_deg"] == 30.0
    assert found["dead_time_fraction"] == pytest.approx(0.1)
    assert run_quantities({})["nsb_mhz"] is None, "what is not there is not known"


def test_the_angle_to_the_target_is_that_on_the_sphere():
    assert target_offset_deg(record(), CRAB) == pytest.approx(0.7, abs=1e-3)
    assert target_offset_deg(
        {"run": {"ra_deg": 359.5, "dec_deg": 0.0}}, Source("x", 0.5, 0.0)
    ) == pytest.approx(1.0)
    assert target_offset_deg(record(), None) is None


@pytest.mark.parametrize(
    ("value", "level"),
    [(5.0, "good"), (0.0, "good"), (10.0, "good"), (10.1, "warning"), (-1.0, "warning"), (30.0, "bad")]
    + [(-5.1, "bad"), (None, "unknown")],
)
def test_a_value_has_its_light(value, level):
    assert Limits(good=(0.0, 10.0), usable=(-5.0, 20.0)).level(value) == level


@pytest.mark.parametrize(
    ("level", "accepted"),
    [
        ("good", ("all", "usable", "good")),
        ("unknown", ("all", "usable", "good")),
        ("warning", ("all", "usable")),
        ("bad", ("all",)),
    ],
)
def test_what_a_light_lets_through(level, accepted):
    assert tuple(s for s in ("all", "usable", "good") if is_accepted(level, s)) == accepted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nnsb = { good = [0, 1], usable = [0, 1] }", "run.nsb is unknown; known are ontime_s"),
        ("[run]\nnsb_mhz = { good = [0, 9], usable = [1, 8] }", "'good' reaches beyond 'usable'"),
        ("[run]\nnsb_mhz = { good = [9, 0], usable = [0, 8] }", "lowest value 9 is above the highest 0"),
        ("[run]\nnsb_mhz = { good = [0, 1] }", "run.nsb_mhz.usable"),
        ("[nights]\n", "nights is unknown; known are run, night"),
        ("run = [", "is not TOML"),
    ],
)
def test_wrong_limits_are_refused_with_the_key(tmp_path, text, words):
    path = tmp_path / "quality.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"quality\.toml") as error:
        read_limits(path)
    assert words in str(error.value)


def test_limits_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_limits(tmp_path / "no.toml")


@pytest.fixture
def night(tmp_path):
    """Three runs of each telescope, the second of telescope 1 and the third of telescope 2 too bright."""
    layout = NightLayout(tmp_path, datetime.date(2024, 3, 4))
    for tel in (1, 2):
        for run in (1, 2, 3):
            dl1 = layout.root / f"Crab/cs{tel}/dl1/SST1M{tel}_20240304_000{run}_W1_dl1.h5"
            nsb = 1500.0 if (tel, run) in ((1, 2), (2, 3)) else 700.0 if (tel, run) == (1, 1) else 100.0
            for path in (dl1, layout.dl2_path(dl1)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            side_paths(dl1)["json"].write_text(json.dumps(record(nsb, 100 * run, 100 * run + 60)))
            if tel == 1:
                for path in (layout.stereo_path(dl1), layout.dl2_path(layout.stereo_path(dl1))):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
    (tmp_path / "models").mkdir()
    return layout


@pytest.fixture
def chosen(night, tmp_path, project_root):
    """Return the runs of a set-up that go into its photon lists."""
    from sst1m.config import load_config

    config = load_config(project_root / "config" / "sst1m_data_config.json")

    def runs(setup: str, quality: str) -> list[int]:
        models = tmp_path / "models"
        paths = SciencePaths(models, models, models, None, None, DEFAULT_SOURCES, "interpolate", quality)
        science = NightScience.of(night, "Crab", Manifest(night.date, (), ""), paths, config)
        job = science.photon_lists(setup, energy_dependent=False)
        return [int(path.name[16:20]) for path in job.inputs]

    return runs


@pytest.mark.parametrize(
    ("setup", "quality", "runs"),
    [
        ("cs1", "all", [1, 2, 3]),
        ("cs1", "usable", [1, 3]),
        ("cs1", "good", [3]),
        ("cs2", "usable", [1, 2]),
        ("stereo", "all", [1, 2, 3]),
        ("stereo", "usable", [1]),
        ("stereo", "good", []),
    ],
)
def test_only_runs_that_are_good_enough_go_into_photon_lists(chosen, setup, quality, runs):
    assert chosen(setup, quality) == runs


def test_a_run_without_a_record_is_not_known_to_be_bad(tmp_path):
    assert RunSelection("good", None, CRAB).accepts(tmp_path / "SST1M1_20240304_0001_W1_dl1.h5")


def test_photon_lists_without_a_run_are_removed(night):
    directory = night.dl3_directory("Crab", "cs1")
    directory.mkdir(parents=True)
    for name in ("obs-index.fits.gz", "hdu-index.fits.gz", "SST1M_Crab_obs_id_1_dl3.fits", "notes.txt"):
        (directory / name).touch()
    remove_photon_lists(night, directory / "obs-index.fits.gz")
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
