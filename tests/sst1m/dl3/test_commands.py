"""The commands by hand: photon lists in FITS and HDF5."""

import numpy as np
import pytest
import tables
from astropy.io import fits
from click.testing import CliRunner
from ctapipe.io import read_table

from sst1m.cli.dl2_dl3 import dl2_dl3
from sst1m.cli.index import index
from sst1m.cli.photon_list import photon_list
from sst1m.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def dl2(tmp_path_factory, make_dl2, new_run):
    return make_dl2(tmp_path_factory.mktemp("night") / "dl2", new_run())


def run(command, arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def arguments(dl2, irf_dir, project_root, tmp_path):
    config = project_root / "config" / "sst1m_data_config.json"
    return ["-d", dl2.parent, "-i", irf_dir, "-c", config, "-o", tmp_path / "dl3"]


def test_photon_lists_of_a_directory(arguments, tmp_path):
    result = run(dl2_dl3, [*arguments, "--target-name", "crab nebula"])
    assert result.exit_code == 0, result.exception
    assert "SST1M_Crab_obs_id_2024030400011_dl3.fits: " in result.output and "1 run" in result.output
    assert (tmp_path / "dl3" / "obs-index.fits.gz").exists()
    again = run(dl2_dl3, [*arguments, "-t", "GRB1", "--target-ra", "84", "--target-dec", "22"])
    assert "Crab_obs_id_2024030400011_dl3.fits: removed" in again.output
    header = fits.getheader(tmp_path / "dl3" / "SST1M_GRB1_obs_id_2024030400011_dl3.fits", "EVENTS")
    assert (header["OBJECT"], header["RA_OBJ"]) == ("GRB1", 84.0)


def test_the_longest_pause_within_a_list_can_be_chosen(arguments, tmp_path, make_dl2, new_run):
    """Half a minute without a trigger, within one run."""
    directory = make_dl2(tmp_path / "dl2", new_run(n_events=241, pauses=((10.0, 40.0),))).parent
    request = ["-d", directory, *arguments[2:], "-t", "Crab"]
    assert run(dl2_dl3, request).output.count("s live time") == 1
    result = run(dl2_dl3, [*request, "--max-gap", "0.4"])
    assert result.exit_code == 0, result.exception
    assert result.output.count("s live time") == 2 and "obs_id_202403040001102_dl3.fits" in result.output


@pytest.mark.parametrize("command", [dl2_dl3, photon_list, index])
def test_help_shows_examples_and_says_what_each_option_means(command):
    output = run(command, ["--help"]).output
    assert f"    sst1m {command.name} " in output
    for option in command.params:
        assert option.help or option.name in ("output_dir",), option.name
        assert max(option.opts, key=len) in output


def test_wrong_requests(arguments, tmp_path, project_root, dl2):
    unknown = run(dl2_dl3, [*arguments, "--target-name", "Krebs"])
    assert isinstance(unknown.exception, InputError) and "append a line" in str(unknown.exception)
    half = run(dl2_dl3, [*arguments, "--target-name", "X", "--target-ra", "84"])
    assert half.exit_code == 2 and "belong together" in half.output
    empty = run(dl2_dl3, ["-d", tmp_path, *arguments[2:], "--target-name", "Crab"])
    assert isinstance(empty.exception, InputError) and "no DL2 file" in str(empty.exception)
    mc = project_root / "config" / "sst1m_mc_config.json"
    other = run(dl2_dl3, [*arguments[:4], "-c", mc, "-o", tmp_path / "dl3", "--target-name", "Crab"])
    assert isinstance(other.exception, ConfigError)
    nowhere = run(dl2_dl3, [*arguments, "-t", "Crab", "--gammaness-cut-dir", tmp_path / "no"])
    assert isinstance(nowhere.exception, InputError)
    assert not (tmp_path / "dl3").exists()


def test_a_photon_list_in_hdf5(dl2, project_root, tmp_path):
    config = project_root / "config" / "sst1m_data_config.json"
    result = run(photon_list, ["-f", dl2, "-c", config, "-o", tmp_path])
    assert result.exit_code == 0, result.exception
    output = tmp_path / f"{dl2.stem}_pl.h5"
    events = read_table(output, "/photon_list/tel_021")
    assert f"{len(events)} of 41 events" in result.output
    assert np.all(events["gammaness"] > 0.75) and np.all(events["camera_frame_hillas_intensity"] >= 50)
    assert {"reco_ra", "reco_dec", "reco_energy", "time_ns", "event_id"} <= set(events.colnames)
    assert not {"reco_disp_norm", "reco_disp_sign"} & set(events.colnames)
    assert events["time_ns"].dtype == np.int64 and str(events["reco_energy"].unit) == "TeV"
    assert output.with_suffix(".json").exists()
    with tables.open_file(output) as h5file:
        assert '"n_dl2": 41' in h5file.get_node_attr("/photon_list/tel_021", "counts")
    missing = run(photon_list, ["-f", tmp_path / "no.h5", "-c", config])
    assert isinstance(missing.exception, InputError)
