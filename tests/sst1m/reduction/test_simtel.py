"""Simulated files: our kernels behind ctapipe's reader, against ctapipe alone."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import tables
from ctapipe.core import run_tool
from ctapipe.io import EventSource, TableLoader
from ctapipe.tools.process import ProcessorTool

from sst1m.config import config_from_dict
from sst1m.errors import ConfigError, InputError
from sst1m.io.dl1 import check_dl1
from sst1m.reduction import reduce_simtel

TAILCUTS = {
    "picture_threshold_pe": [["id", 1, 8], ["id", 2, 8]],
    "boundary_threshold_pe": [["id", 1, 4], ["id", 2, 4]],
    "min_picture_neighbors": [["id", 1, 2], ["id", 2, 2]],
}
#: Not written by us: parameters of the true images, since no later step reads them.


@pytest.fixture(scope="module")
def simtel_file(shared_data) -> Path:
    return shared_data / "simtel" / "simtel_test_file.simtel.gz"


@pytest.fixture(scope="module")
def mc_config(project_root):
    """Return a function: the configuration of simulations with tailcuts, without PDE factor if not wanted."""

    def make(**correction):
        document = json.loads((project_root / "config" / "sst1m_mc_config.json").read_text())
        document["ImageProcessor"]["image_cleaner_type"] = "TailcutsImageCleaner"
        document["ImageProcessor"]["TailcutsImageCleaner"] = TAILCUTS
        document["NsbCalibrator"] |= {"mc_correction_for_PDE": False} | correction
        return config_from_dict(document)

    return make


@pytest.fixture(scope="module")
def ours(simtel_file, mc_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("ours") / "dl1.h5"
    return path, reduce_simtel(simtel_file, path, config=mc_config())


@pytest.fixture(scope="module")
def theirs(simtel_file, tmp_path_factory):
    """The same file, processed by ctapipe-process."""
    directory = tmp_path_factory.mktemp("theirs")
    settings = directory / "process.json"
    settings.write_text(
        json.dumps(
            {
                "SimTelEventSource": {"focal_length_choice": "EQUIVALENT"},
                "CameraCalibrator": {
                    "image_extractor_type": "LocalPeakWindowSum",
                    "LocalPeakWindowSum": {"window_shift": 3, "window_width": 7},
                },
                "ImageProcessor": {
                    "image_cleaner_type": "TailcutsImageCleaner",
                    "TailcutsImageCleaner": TAILCUTS,
                    "use_telescope_frame": False,
                },
            }
        )
    )
    output = directory / "dl1.h5"
    arguments = [f"--input={simtel_file}", f"--output={output}", f"--config={settings}", "--write-images"]
    log = f"--provenance-log={directory / 'provenance.log'}"
    run_tool(ProcessorTool(), [*arguments, log], cwd=directory, raises=True)
    return output


def _read(path, node):
    with tables.open_file(str(path)) as h5:
        return h5.get_node(node).read()


def _table_names(path):
    with tables.open_file(str(path)) as h5:
        names = {node._v_pathname for node in h5.walk_nodes("/", "Table")}
    return {name for name in names if not name.startswith("/sst1m") and "__table" not in name}


def test_the_tables_are_those_of_ctapipe(ours, theirs):
    assert _table_names(theirs) == _table_names(ours[0])


def test_true_parameters_are_those_of_ctapipe(ours, theirs):
    node = "/simulation/event/telescope/parameters/tel_001"
    found, expected = _read(ours[0], node), _read(theirs, node)
    assert found.dtype.names == expected.dtype.names
    for name in expected.dtype.names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


def test_the_event_source_of_ctapipe_reads_truth_and_images(ours):
    with EventSource(str(ours[0]), focal_length_choice="EQUIVALENT") as source:
        events = [(event.index.event_id, event.simulation.tel[1], event.dl1.tel[1]) for event in source]
    assert len(events) == 9
    for _, simulated, dl1 in events:
        assert simulated.true_parameters.hillas.intensity == simulated.true_image.sum()
        assert dl1.image.sum() > 0


@pytest.mark.parametrize(
    "node",
    [
        "/configuration/simulation/run",
        "/configuration/telescope/pointing/tel_001",
        "/configuration/observation/observation_block",
        "/simulation/event/subarray/shower",
        "/simulation/event/telescope/images/tel_001",
        "/simulation/event/telescope/impact/tel_001",
        "/simulation/service/shower_distribution",
        "/dl1/event/subarray/trigger",
    ],
)
def test_truth_and_run_are_those_of_ctapipe(ours, theirs, node):
    found, expected = _read(ours[0], node), _read(theirs, node)
    assert found.dtype.names == expected.dtype.names
    assert len(found) == len(expected) > 0
    for name in expected.dtype.names:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_every_parameter_is_that_of_ctapipe(ours, theirs):
    node = "/dl1/event/telescope/parameters/tel_001"
    found, expected = _read(ours[0], node), _read(theirs, node)
    assert found.dtype.names == expected.dtype.names
    assert (found["morphology_n_pixels"] > 0).sum() > 5
    for name in expected.dtype.names:
        if not name.startswith("camera_frame_timing"):
            # ctapipe computes moments in the single precision of its images
            atol = 1e-4 if name.endswith(("skewness", "kurtosis")) else 1e-7
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=atol, err_msg=name)
    # ctapipe's timing fit starts from other pairs of pixels, and may end in another line
    slope, lit = expected["camera_frame_timing_slope"], expected["morphology_n_pixels"] > 3
    same = np.isclose(found["camera_frame_timing_slope"], slope, rtol=1e-5)
    assert same[lit].mean() > 0.7


def test_images_are_those_of_ctapipe(ours, theirs):
    node = "/dl1/event/telescope/images/tel_001"
    found, expected = _read(ours[0], node), _read(theirs, node)
    np.testing.assert_allclose(found["image"] / 100, expected["image"], atol=0.00501)
    np.testing.assert_allclose(found["peak_time"] / 100, expected["peak_time"], atol=0.00501)
    np.testing.assert_array_equal(found["image_mask"], expected["image_mask"])


def test_the_product_is_complete_and_marked_as_simulation(ours):
    path, summary = ours
    assert summary.n_events == summary.n_events_written == 9
    info = check_dl1(path)
    assert info["simulated"]
    assert info["focal_length_choice"] == "EQUIVALENT"
    with tables.open_file(str(path)) as h5:
        assert h5.root._v_attrs["SST1M SIMULATED"]
    with TableLoader(path, focal_length_choice="EQUIVALENT", pointing=True) as loader:
        events = loader.read_telescope_events(
            dl1_images=True, simulated=True, true_images=True, pointing=True
        )
    assert len(events) == 9
    assert np.isfinite(events["true_energy"]).all()
    assert np.isfinite(events["telescope_pointing_altitude"]).all()


def test_own_columns_of_simulations(ours):
    extras = _read(ours[0], "/sst1m/dl1/event/telescope/parameters/tel_001")
    parameters = _read(ours[0], "/dl1/event/telescope/parameters/tel_001")
    assert extras["event_id"].tolist() == parameters["event_id"].tolist()
    lit = parameters["morphology_n_pixels"] > 0
    np.testing.assert_allclose(
        extras["log_camera_frame_hillas_intensity"][lit],
        np.log10(parameters["camera_frame_hillas_intensity"][lit]),
    )
    np.testing.assert_allclose(extras["true_alt_tel"], 90, atol=1e-3)
    assert (extras["equivalent_focal_length"] == 5.6).all()


def test_the_correction_of_the_intensity_applies_to_simulations_too(simtel_file, mc_config, ours, tmp_path):
    config = mc_config(intensity_correction={"tel_001": 1.1, "tel_002": 1})
    reduce_simtel(simtel_file, tmp_path / "dl1.h5", config=config)
    node = "/dl1/event/telescope/parameters/tel_001"
    name = "camera_frame_hillas_intensity"
    found, expected = _read(tmp_path / "dl1.h5", node)[name], _read(ours[0], node)[name]
    np.testing.assert_allclose(found, 1.1 * expected)


def test_an_unknown_quantum_efficiency_is_an_error_that_says_what_to_do(simtel_file, mc_config, tmp_path):
    """Today's pipeline ends with status 0 and leaves an empty product."""
    message = r"qe_SST1M_5477_ave.*known are.*NSB136.*mc_correction_for_PDE to false"
    with pytest.raises(ConfigError, match=message):
        reduce_simtel(simtel_file, tmp_path / "dl1.h5", config=mc_config(mc_correction_for_PDE=True))
    assert not (tmp_path / "dl1.h5").exists()


def test_a_file_of_other_telescopes_is_refused(shared_data, mc_config, tmp_path):
    path = shared_data / "simtel" / "calib_events.simtel.gz"
    with pytest.raises(InputError, match=r"calib_events.*telescopes are \[6\].*allowed_tels"):
        reduce_simtel(path, tmp_path / "dl1.h5", config=mc_config())


@pytest.mark.parametrize("part", [0, 0.002, 0.5, 0.9999])
@pytest.mark.parametrize("suffix", [".simtel.gz", ".simtel"])
def test_a_truncated_file_is_refused_as_a_whole(simtel_file, mc_config, tmp_path, part, suffix):
    """Half a file has whole events in it, which must not pass for the simulation."""
    content = simtel_file.read_bytes()
    content = gzip.decompress(content) if suffix == ".simtel" else content
    path = tmp_path / f"truncated{suffix}"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=r"truncated\.simtel.*sim_telarray file.*replace it"):
        reduce_simtel(path, tmp_path / "dl1.h5", config=mc_config())
    with pytest.raises(InputError, match="no such file|not a complete DL1"):
        check_dl1(tmp_path / "dl1.h5")
