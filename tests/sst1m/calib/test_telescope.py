"""Constants of a run: which files, which cabling, permuted once."""

import json

import numpy as np
import pandas as pd
import pytest

from sst1m.calib.modules import SwappedModules, channel_of_pixel, swapped_modules
from sst1m.calib.telescope import load_telescope_calibration
from sst1m.config import config_from_dict, load_config
from sst1m.errors import ConfigError, InputError
from sst1m.times import utc_text_to_ns

SWAPPED = {21: utc_text_to_ns("2026-01-01T00:00:00"), 22: utc_text_to_ns("2024-03-04T20:00:00")}
NORMAL = utc_text_to_ns("2025-01-01T00:00:00")
MODULES = {
    59: {1029, *range(1064, 1068), *range(1098, 1103), 1133, 1134},
    88: {1103, *range(1135, 1139), *range(1165, 1170), 1194, 1195},
    8: {804, *range(839, 843), *range(874, 879), 912, 913},
    9: {729, *range(764, 768), *range(799, 804), 837, 838},
}


@pytest.fixture
def data(project_root):
    return json.loads((project_root / "config" / "sst1m_data_config.json").read_text())


@pytest.fixture
def site(tmp_path):
    """A calibration directory in which every channel can be told apart."""
    directory = tmp_path / "calibration"
    directory.mkdir()
    flag = np.ones(1296, dtype=int)
    flag[[1029, 100]] = 0
    content = pd.DataFrame({"dc_to_pe": 20 + np.arange(1296) / 1296, "calib_flag": flag})
    lines = ["pixel_id\t correction_factor", *(f"{i}\t {0.9 + i / 12960}" for i in range(1296))]
    for number, window in ((1, "corr_factor_1st_wdw.txt"), (2, "corr_factor_2nd_wdw.txt")):
        content.to_hdf(
            directory / f"averaged_calib_param_v2_2023_2024_tel{number}.h5", key="param", format="fixed"
        )
        (directory / window).write_text("\n".join(lines))
    return directory


@pytest.mark.parametrize("tel_id", [21, 22])
def test_swapped_modules_exchange_their_pixels_and_nothing_else(tel_id):
    channel = channel_of_pixel(tel_id, SWAPPED[tel_id])
    moved = set(np.flatnonzero(channel != np.arange(1296)).tolist())
    first, second = (59, 88) if tel_id == 22 else (8, 9)
    assert moved == MODULES[first] | MODULES[second]
    assert set(channel[sorted(MODULES[first])].tolist()) == MODULES[second]
    np.testing.assert_array_equal(channel[channel], np.arange(1296))
    np.testing.assert_array_equal(channel_of_pixel(tel_id, NORMAL), np.arange(1296))
    np.testing.assert_array_equal(channel_of_pixel(43 - tel_id, SWAPPED[tel_id]), np.arange(1296))


@pytest.mark.parametrize(
    ("tel_id", "start", "stop"),
    [
        (22, "2023-09-01T00:00:00", "2024-07-18T00:00:00"),
        (21, "2025-12-17T12:00:00", "2026-01-15T12:00:00"),
    ],
)
def test_edges_of_the_periods(tel_id, start, stop):
    def swapped(time_ns):
        return bool((channel_of_pixel(tel_id, time_ns) != np.arange(1296)).any())

    start_ns, stop_ns = utc_text_to_ns(start), utc_text_to_ns(stop)
    assert [swapped(start_ns - 1), swapped(start_ns)] == [False, True]
    assert [swapped(stop_ns - 1), swapped(stop_ns)] == [True, False]


def test_the_table_agrees_with_the_map_of_the_camera(shared_data):
    mapping = np.loadtxt(
        shared_data / "calibration" / "digicam_pixels_mapping_V5T.txt", usecols=(2, 8), dtype=int
    )
    entries = json.loads((shared_data / "calibration" / "inverted_module_list.json").read_text()).values()
    listed = {(e["ntel"], e["module_1"], e["module_2"]) for e in entries}
    assert {(p.tel_id, p.module_1, p.module_2) for p in swapped_modules()} == listed
    for period in swapped_modules():
        for module, pixels in ((period.module_1, period.pixels_1), (period.module_2, period.pixels_2)):
            assert sorted(mapping[mapping[:, 0] == module, 1].tolist()) == list(pixels)
    assert {e["date_sart"] for e in entries} == {"2023-09-01T00:00:00.000", "2025-12-17T12:00:00.000"}


def test_a_wrong_table_is_refused():
    good = swapped_modules()[0]
    with pytest.raises(InputError, match="not 12 different pixels"):
        SwappedModules(22, 0, 1, 59, 88, good.pixels_1, good.pixels_1)
    with pytest.raises(InputError, match="period that ends first"):
        SwappedModules(22, 1, 1, 59, 88, good.pixels_1, good.pixels_2)


@pytest.mark.parametrize("tel_id", [21, 22])
def test_constants_go_with_their_channel_once(data, site, tel_id):
    config = config_from_dict(data)
    plain = load_telescope_calibration(config, tel_id, calibration_dir=site, time_ns=NORMAL)
    swapped = load_telescope_calibration(config, tel_id, calibration_dir=site, time_ns=SWAPPED[tel_id])
    channel = swapped.channel_of_pixel
    for name in ("dc_to_pe", "window", "bad"):
        np.testing.assert_array_equal(getattr(swapped, name), getattr(plain, name)[channel])
    # a signal that is 1 p.e. in each channel is 1 p.e. in each pixel, in every event alike
    samples = np.tile(plain.dc_to_pe * plain.window, (3, 1))[:, channel]
    np.testing.assert_allclose(samples / swapped.dc_to_pe / swapped.window, 1, rtol=1e-14)
    assert plain.fingerprint != swapped.fingerprint
    again = load_telescope_calibration(config, tel_id, calibration_dir=site, time_ns=SWAPPED[tel_id] + 1)
    np.testing.assert_array_equal(again.window, swapped.window)
    assert again.fingerprint == swapped.fingerprint


def test_bad_pixels_are_positions_and_bad_fits_are_channels(data, site):
    data["analysis"]["bad_pixels"]["tel_022"] = [7, 1064]
    swapped = load_telescope_calibration(
        config_from_dict(data), 22, calibration_dir=site, time_ns=SWAPPED[22]
    )
    # channel 1029 has no good fit; during the exchange it serves pixel 1103
    assert np.flatnonzero(swapped.bad).tolist() == [7, 100, 1064, 1103]
    data["telescope_calibration"]["bad_calib_px_interpolation"] = False
    ignored = load_telescope_calibration(
        config_from_dict(data), 22, calibration_dir=site, time_ns=SWAPPED[22]
    )
    assert np.flatnonzero(ignored.bad).tolist() == [7, 1064]
    with pytest.raises(ValueError, match="read-only"):
        ignored.bad[0] = True


def test_nothing_is_found_in_silence(data, site, tmp_path, project_root):
    config = load_config(project_root / "config" / "sst1m_data_config.json")
    with pytest.raises(
        ConfigError, match="telescope_calibration.tel_022 is null and no calibration directory"
    ) as e:
        load_telescope_calibration(config, 22, calibration_dir=None, time_ns=NORMAL)
    assert "name the file under" in str(e.value) and "give the directory of averaged_calib" in str(e.value)
    with pytest.raises(InputError, match="averaged_calib_param_v2_2023_2024_tel2.h5: .* does not exist"):
        load_telescope_calibration(config, 22, calibration_dir=tmp_path, time_ns=NORMAL)
    data["telescope_calibration"]["tel_021"] = str(site / "averaged_calib_param_v2_2023_2024_tel1.h5")
    with pytest.raises(ConfigError, match="window_transmittance.tel_021 is null"):
        load_telescope_calibration(config_from_dict(data), 21, calibration_dir=None, time_ns=NORMAL)
    simulated = load_config(project_root / "config" / "sst1m_mc_config.json")
    with pytest.raises(ConfigError, match="raw runs need one of data"):
        load_telescope_calibration(simulated, 21, calibration_dir=site, time_ns=NORMAL)


def test_relative_paths_start_at_the_configuration(data, site, tmp_path, monkeypatch):
    data["telescope_calibration"]["tel_021"] = "calibration/averaged_calib_param_v2_2023_2024_tel1.h5"
    data["window_transmittance"]["tel_021"] = "calibration/corr_factor_1st_wdw.txt"
    path = tmp_path / "night.json"
    path.write_text(json.dumps(data))
    monkeypatch.chdir("/")
    found = load_telescope_calibration(load_config(path), 21, calibration_dir=None, time_ns=NORMAL)
    assert str(site / "corr_factor_1st_wdw.txt") in found.sources and len(found.sources) == 3
    with pytest.raises(ConfigError, match="is relative, but this configuration is no file"):
        load_telescope_calibration(config_from_dict(data), 21, calibration_dir=None, time_ns=NORMAL)


def test_files_in_use(shared_data):
    config = load_config(shared_data / "config" / "sst1mpipe_data_config.json")
    directory = shared_data / "calibration"
    for tel_id, n_bad in ((21, 5), (22, 21)):
        found = load_telescope_calibration(config, tel_id, calibration_dir=directory, time_ns=NORMAL)
        assert found.bad.sum() == n_bad
        assert all(len(digest) == 64 for digest in found.sources.values())
