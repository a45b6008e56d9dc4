"""A first look at stores of which everything is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sst1m.cli.quicklook import quicklook as command
from sst1m.errors import ConfigError, InputError
from sst1m.quicklook.look import PICTURES, QuicklookSummary, quicklook, sentence
from sst1m.quicklook.numbers import read_numbers
from sst1m.sources import Source


@pytest.fixture(scope="module")
def look(crab_store, tmp_path_factory, crab, options) -> QuicklookSummary:
    """Return a look at three hours of a Crab nebula."""
    return quicklook(crab_store, tmp_path_factory.mktemp("look"), source=crab, options=options())


@pytest.fixture(scope="module")
def numbers(crab, options, tmp_path_factory) -> Callable[..., dict]:
    """Return a function that looks at a store and draws nothing, which is quicker."""

    def find(store: Path, **wanted) -> dict:
        directory = tmp_path_factory.mktemp("numbers")
        return quicklook(store, directory, source=crab, options=options(**wanted), pictures=()).content

    return find


def _within(found: dict, truth: float, sigmas: float = 3.0) -> bool:
    return abs(found["value"] - truth) < sigmas * found["error"]


def test_counts_of_a_known_source(look):
    content = look.content
    # 0.0494 Hz above 0.5 TeV, a third of them above 1 TeV; 86 % within 0.2 deg
    expected = 3 * 3240 * 1.747e-11 * 1e9 * 0.8647
    assert content["excess"] == pytest.approx(expected, abs=4 * content["excess_error"])
    # 1.5 Hz within 4 deg, above 1 TeV 2**-1.7 of it
    background = 3 * 3240 * 1.5 * (0.2 / 4) ** 2 * 2**-1.7
    assert content["background"] == pytest.approx(background, rel=0.3)
    assert content["alpha"] == pytest.approx(1 / 9, rel=0.35)
    assert content["livetime_h"] == pytest.approx(2.7)
    assert content["significance"] > 10


def test_spectrum_of_a_known_source(look):
    spectrum, flux = look.content["spectrum"], look.content["flux"]
    assert spectrum["status"] == "fitted"
    assert _within(spectrum["parameters"]["index"], 2.62)
    assert _within(spectrum["parameters"]["amplitude"], 2.83e-11)
    assert spectrum["parameters"]["index"]["error"] < 0.3
    assert flux["flux_crab"] == pytest.approx(1, abs=3 * flux["error_high_crab"])
    assert spectrum["flux"] == pytest.approx(flux["flux"], rel=0.05)
    assert spectrum["flux_error"] == pytest.approx(flux["error_high"], rel=0.3)
    for point in look.content["flux_points"]:
        if point["dnde"] is not None and point["upper_limit_95"] is None:
            truth = 2.83e-11 * point["energy_tev"] ** -2.62
            assert abs(point["dnde"] - truth) < 4 * max(point["error_low"], point["error_high"])


def test_light_curve_by_observation_and_by_night(look):
    curve = look.content["light_curve"]
    assert [point["name"] for point in curve["observations"]] == ["1", "2", "3"]
    assert [point["name"] for point in curve["nights"]] == ["2024-03-04", "2024-03-05"]
    assert curve["nights"][0]["n_on"] == sum(point["n_on"] for point in curve["observations"][:2])
    for point in curve["observations"]:
        assert point["flux_crab"] == pytest.approx(1, abs=4 * point["error_high_crab"])


def test_theta2_counts_the_same_events(look):
    theta2 = look.content["theta2"]
    inside = np.array(theta2["edges_deg2"][1:]) < theta2["cut_deg2"] * 1.001
    assert np.sum(np.array(theta2["n_on"])[inside]) == look.content["n_on"]
    outside = np.sum(np.array(theta2["background"])[~inside])
    assert outside == pytest.approx(3 * look.content["background"], rel=0.25)


def test_map_shows_the_source_and_nothing_else(look):
    sky = look.content["sky_map"]
    assert sky["acceptance"] == "background of the store"
    assert sky["peak"]["distance_deg"] < 0.1
    assert sky["significance_at_source"] == pytest.approx(look.content["significance"], rel=0.25)
    assert abs(sky["background_mean"]) < 0.3
    assert sky["background_std"] == pytest.approx(1, abs=0.25)


def test_pictures_and_numbers_are_written(look):
    assert [path.name for path in look.pictures] == [f"Crab_{name}.png" for name in PICTURES]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in look.pictures)
    content = read_numbers(look.path)
    assert content["simulated"] is True
    assert content["n_on"] == look.content["n_on"]
    assert sentence(content).startswith("Crab (simulated): ")
    assert "Crab)" in sentence(content)
    assert not list(look.path.parent.glob(".*"))


def test_point_like_responses(make_store, new_observation, tmp_path, numbers):
    fixed = new_observation(irfs=("aeff", "edisp"), rad_max_deg=0.2)
    store = make_store(tmp_path / "fixed", fixed, replace(fixed, obs_id=2, start_h=8.5, east_deg=-0.7))
    content = numbers(store)
    assert content["options"]["responses"] == "point-like"
    # this effective area knows no loss by the on-region: 86 % of the gammas are in it
    assert content["flux"]["flux_crab"] == pytest.approx(0.865, abs=3 * content["flux"]["error_high_crab"])
    assert content["sky_map"]["acceptance"] == "events"
    with pytest.raises(ConfigError, match=r"hold for 0\.2 deg"):
        numbers(store, on_radius_deg=0.3)


def test_on_region_that_depends_on_energy(make_store, new_observation, tmp_path, numbers):
    table = new_observation(irfs=("aeff", "edisp"), rad_max_deg=(0.25, 0.15))
    store = make_store(tmp_path / "table", table)
    content = numbers(store)
    assert content["options"]["on_radius_by_energy"] is True
    assert content["observations"][0]["counts"]["n_off_regions"] == 5
    assert content["spectrum"]["status"] == "fitted"
    assert content["flux"]["flux_crab"] == pytest.approx(0.9, abs=3 * content["flux"]["error_high_crab"])


def test_seconds_of_data(make_store, new_observation, tmp_path, crab, options):
    short = new_observation(ontime_s=4.0, background_hz=0.5)
    store = make_store(tmp_path / "short", short)
    out = tmp_path / "look"
    out.mkdir()
    (out / "Crab_significance_map.png").write_bytes(b"of an earlier look")
    summary = quicklook(store, out, source=crab, options=options())
    content = read_numbers(summary.path)
    assert content["status"] == "no off counts"
    assert content["significance"] is None
    assert content["spectrum"] == {"status": "not fitted"} | content["spectrum"]
    assert "counts" in content["spectrum"]["reason"]
    assert content["sky_map"]["status"] == "not made"
    assert not (out / "Crab_significance_map.png").exists()
    assert "no off counts" in sentence(content)


def test_store_without_psf_and_background(make_store, new_observation, tmp_path, crab, options):
    bare = new_observation(irfs=("aeff", "edisp"))
    content = quicklook(
        make_store(tmp_path / "bare", bare), tmp_path / "look", source=crab, options=options()
    ).content
    assert content["significance"] > 5
    assert content["spectrum"]["status"] == "not fitted"
    assert "no point spread function" in content["spectrum"]["reason"]
    assert content["light_curve"]["status"] == "not made"
    assert content["flux"]["status"] == content["spectrum"]["reason"]
    assert set(content["pictures"]) == {"theta2", "significance_map"}


def test_source_on_the_optical_axis(make_store, new_observation, tmp_path, numbers):
    store = make_store(tmp_path / "axis", new_observation(east_deg=0.05))
    content = numbers(store)
    assert content["status"] == "no off-regions"
    assert content["n_on"] is None
    assert content["theta2"]["status"] == "not made"
    assert content["sky_map"]["status"] == "made"
    assert "no off-regions" in sentence(content)


def test_one_bin_cannot_be_fitted(crab_store, numbers):
    content = numbers(crab_store, energy_max_tev=1.5, bins_per_decade=1)
    assert content["spectrum"]["status"] == "not fitted"
    assert "2 parameters" in content["spectrum"]["reason"]
    # the flux follows from the counts, with the shape of the Crab nebula
    assert content["flux"]["flux_crab"] == pytest.approx(1, abs=3 * content["flux"]["error_high_crab"])


def test_no_event_at_all(make_store, new_observation, tmp_path, numbers):
    store = make_store(tmp_path / "empty", new_observation(crab=0.0, background_hz=0.0))
    content = numbers(store)
    assert (content["n_on"], content["n_off"], content["significance"]) == (0, 0, None)
    assert content["spectrum"]["status"] == "not fitted"
    assert content["flux"]["upper_limit_95_crab"] > 0
    assert content["sky_map"]["status"] == "not made"


def test_no_source_gives_a_limit(make_store, new_observation, tmp_path, numbers):
    store = make_store(tmp_path / "dark", new_observation(crab=0.0, background_hz=6.0))
    content = numbers(store)
    assert content["spectrum"]["reason"].endswith("sigma; 3 are needed")
    flux = content["flux"]
    assert flux["shape"].startswith("assumed")
    assert 0 < flux["upper_limit_95_crab"] < 1
    assert "<" in sentence(content)


def test_observations_that_overlap_are_refused(make_store, new_observation, tmp_path, numbers):
    stereo = new_observation()
    mono = replace(stereo, obs_id=2, start_h=7.2, telescope="SST1M_tel_021", threshold_tev=2.0)
    store = make_store(tmp_path / "mixed", stereo, mono)
    with pytest.raises(InputError, match="showers would count twice"):
        numbers(store)
    content = numbers(store, telescope="SST1M_tel_021", spectrum="log-parabola")
    assert [entry["obs_id"] for entry in content["left_out"]] == [1]
    assert content["n_observations"] == 1
    # its own energy threshold holds
    assert 2 <= content["spectrum"]["fit_min_tev"] < 2.2


def test_nothing_there_says_where_it_points(crab_store, tmp_path, options):
    with pytest.raises(InputError, match=r"1 points 2\d\.\d\d deg away"):
        quicklook(crab_store, tmp_path, source=Source("Elsewhere", 83.6, 44.0), options=options())
    assert not list(tmp_path.iterdir())


def test_no_store(tmp_path, crab, options):
    with pytest.raises(InputError, match=r"has no hdu-index\.fits\.gz"):
        quicklook(tmp_path, tmp_path / "look", source=crab, options=options())


def test_index_that_names_a_lost_file(make_store, new_observation, tmp_path, crab, options):
    store = make_store(tmp_path / "lost", new_observation())
    (store / "obs_1.fits").unlink()
    with pytest.raises(InputError, match=r"obs_1\.fits"):
        quicklook(store, tmp_path / "look", source=crab, options=options())


def test_command_gives_the_same_numbers(look, crab_store, tmp_path):
    arguments = ["-d", crab_store, "-s", "M1", "-o", tmp_path]
    run = CliRunner().invoke(command, [*map(str, arguments), "--crab-units"], catch_exceptions=False)
    assert run.exit_code == 0
    assert run.stdout.startswith("Crab (simulated): ")
    assert " Crab (" in run.stdout
    assert "power-law, 1-100 TeV, reference 1 TeV: " in run.stdout
    # gammapy is noisy, but not here; and there is no terminal on which to show the steps
    assert not run.stderr
    again, first = (read_numbers(path) for path in (tmp_path / "Crab_quicklook.json", look.path))
    for content in (again, first):
        for key in ("started", "stopped", "options"):
            del content[key]
    assert again == first
    picture = "Crab_significance_map.png"
    assert (tmp_path / picture).read_bytes() == (look.path.parent / picture).read_bytes()
    assert "result: Crab (simulated): " in (tmp_path / "Crab_quicklook.log").read_text()


def test_names_that_scripts_rely_on(look):
    keys = {"n_on", "n_off", "alpha", "excess", "significance", "livetime_h"}
    assert all(isinstance(look.content[key], int | float) for key in keys)
    for found in look.content["spectrum"]["parameters"].values():
        assert found["value"] and found["error"] > 0
    options = {name for parameter in command.params for name in parameter.opts}
    assert {"--index-dir", "--source", "--output-dir", "--on-radius"} <= options
    assert {"--energy-min", "--energy-max"} <= options


def test_command_wants_both_coordinates(tmp_path):
    run = CliRunner().invoke(command, ["-d", str(tmp_path), "-s", "New", "--source-ra", "10"])
    assert run.exit_code == 2
    assert "belong together" in run.stderr
