"""DL1 files: ctapipe's data model to the column, and every tool of ctapipe takes them."""

import json
import sys

import numpy as np
import pytest
import tables
from ctapipe.core import run_tool
from ctapipe.io import EventSource, HDF5EventSource, TableLoader, metadata
from ctapipe.io.astropy_helpers import read_table
from ctapipe.tools import fileinfo
from ctapipe.tools.merge import MergeTool
from ctapipe.tools.process import ProcessorTool

from sst1m.errors import InputError
from sst1m.io.dl1 import check_dl1
from sst1m.simulation.raw_writer import RawWriter

#: Tables that only one of the two writes.
ONLY_CTAPIPE = set()
ONLY_OURS = {"/dl0/monitoring/telescope/pointing/tel_021"}


@pytest.fixture(scope="module")
def ctapipe_product(run_21, config_document, calibration_dir, tmp_path_factory):
    """The same run, processed by ctapipe with the thresholds of tailcuts."""
    directory = tmp_path_factory.mktemp("ctapipe")
    config = directory / "data.json"
    config.write_text(json.dumps(config_document()))
    settings = directory / "process.json"
    settings.write_text(
        json.dumps(
            {
                "SST1MEventSource": {
                    "config_file": str(config),
                    "calibration_dir": str(calibration_dir),
                    "skip_pedestals": True,
                },
                "CameraCalibrator": {"image_extractor_type": "LocalPeakWindowSum"},
                "ImageProcessor": {
                    "use_telescope_frame": False,
                    "TailcutsImageCleaner": {
                        "picture_threshold_pe": 8.0,
                        "boundary_threshold_pe": 4.0,
                        "min_picture_neighbors": 2,
                    },
                },
                "DataWriter": {
                    "transform_image": True,
                    "image_scale": 100.0,
                    "image_dtype": "int32",
                    "transform_peak_time": True,
                    "peak_time_scale": 100.0,
                    "peak_time_dtype": "int16",
                },
            }
        )
    )
    output = directory / "dl1.h5"
    arguments = [f"--input={run_21.path}", f"--output={output}", f"--config={settings}", "--write-images"]
    log = f"--provenance-log={directory / 'provenance.log'}"
    assert run_tool(ProcessorTool(), [*arguments, log], cwd=directory, raises=True) == 0
    return output


def _is_group_of_ours(path):
    return path.startswith("/sst1m")


def _tables(path):
    with tables.open_file(str(path)) as h5:
        return {
            node._v_pathname: (node.dtype, dict(_attributes(node)))
            for node in h5.walk_nodes("/", "Table")
            if not _is_group_of_ours(node._v_pathname) and not node._v_name.endswith(".__table_column_meta__")
        }


def _attributes(node):
    for name in node._v_attrs._v_attrnamesuser:
        if name.startswith("CTAFIELD") and not name.endswith("DESC"):
            yield name, str(node._v_attrs[name])


def test_all_tables_are_those_of_ctapipe(product_21, ctapipe_product):
    ours, theirs = set(_tables(product_21.path)), set(_tables(ctapipe_product))
    assert theirs - ours == ONLY_CTAPIPE
    assert ours - theirs == ONLY_OURS


def test_all_columns_are_those_of_ctapipe(product_21, ctapipe_product):
    """Name, order, type, unit and transformation of every column."""
    ours, theirs = _tables(product_21.path), _tables(ctapipe_product)
    for path in set(ours) & set(theirs):
        assert ours[path][0] == theirs[path][0], path
        assert ours[path][1] == theirs[path][1], path


def test_images_are_squeezed_as_integers_of_a_hundredth(product_21, run_21):
    with tables.open_file(str(product_21.path)) as h5:
        table = h5.root.dl1.event.telescope.images.tel_021
        assert table.dtype["image"].base == np.int32
        assert table.dtype["peak_time"].base == np.int16
        assert table.filters.complevel > 0
        assert table.filters.fletcher32
    read = read_table(product_21.path, "/dl1/event/telescope/images/tel_021")
    assert read["image"].dtype == np.float32
    assert len(read) == len(product_21.parameters) == 48


def test_images_of_ctapipe_are_ours(product_21, ctapipe_product):
    """Both are stored in steps of 0.01 p.e.: a rounding of 0.005 each."""
    theirs = read_table(ctapipe_product, "/dl1/event/telescope/images/tel_021")
    np.testing.assert_allclose(product_21.image, theirs["image"], atol=0.0101)


def test_counts_of_the_image_criteria_are_those_of_ctapipe(reduce_run, run_21, ctapipe_product, tmp_path):
    changes = {
        "ImageProcessor.image_cleaner_type": "TailcutsImageCleaner",
        "ImageProcessor.TailcutsImageCleaner.picture_threshold_pe": [["id", 21, 8], ["id", 22, 8]],
    }
    product = reduce_run(run_21.path, tmp_path / "dl1.h5", changes=changes)
    ours, theirs = (
        read_table(path, "/dl1/service/image_statistics") for path in (product.path, ctapipe_product)
    )
    assert ours.colnames == theirs.colnames
    for column in ours.colnames:
        assert ours[column].tolist() == theirs[column].tolist(), column
    assert ours["counts"][0] == 48


def test_reference_metadata_name_the_product(product_21):
    reference = metadata.read_reference_metadata(product_21.path)
    assert {level.name for level in reference.product.data_levels} == {"DL1_PARAMETERS", "DL1_IMAGES"}
    assert reference.activity.name == "sst1m r0-dl1"
    assert reference.process.type_ == "Observation"
    with tables.open_file(str(product_21.path)) as h5:
        assert h5.root._v_attrs["SST1M DATA MODEL VERSION"] == "1.0.0"
        assert not h5.root._v_attrs["SST1M SIMULATED"]


def test_table_loader_reads_events_with_images_and_pointing(product_21, run_21):
    with TableLoader(product_21.path, pointing=True) as loader:
        telescope = loader.read_telescope_events_by_id(dl1_images=True, observation_info=True, pointing=True)[
            21
        ]
        subarray = loader.read_subarray_events()
        blocks = loader.read_observation_information()
    events = ~run_21.pedestal
    assert telescope["event_id"].tolist() == run_21.index.array_event_number[events].tolist()
    assert subarray["event_id"].tolist() == telescope["event_id"].tolist()
    np.testing.assert_allclose(telescope["image"], product_21.image, atol=1e-4)
    np.testing.assert_allclose(
        telescope["telescope_pointing_altitude"].quantity.to_value("deg"),
        product_21.extras["true_alt_tel"],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        telescope["telescope_pointing_azimuth"].quantity.to_value("deg"),
        product_21.extras["true_az_tel"],
        atol=1e-6,
    )
    assert blocks["obs_id"].tolist() == [202501150012]
    assert telescope["camera_frame_hillas_psi"].unit == "deg"
    assert telescope["camera_frame_hillas_length"].unit == "m"


def test_times_are_exact_to_the_nanosecond_in_ctapipes_tables(product_21, run_21):
    trigger = read_table(product_21.path, "/dl1/event/subarray/trigger")
    expected = run_21.index.time_ns[~run_21.pedestal]
    seconds = trigger["time"].unix_tai
    assert np.abs(seconds - expected / 1e9).max() < 1e-6
    with tables.open_file(str(product_21.path)) as h5:
        stored = h5.root.dl1.event.subarray.trigger.col("time").astype(np.int64)
    assert (stored[:, 0] * 1_000_000_000 + stored[:, 1] // 4).tolist() == expected.tolist()


def test_event_source_of_ctapipe_reads_it(product_21):
    with EventSource(product_21.path) as source:
        assert isinstance(source, HDF5EventSource)
        events = list(source)
    assert len(events) == 48
    dl1 = events[5].dl1.tel[21]
    np.testing.assert_allclose(dl1.image, product_21.image[5], atol=1e-4)
    expected = product_21.parameters["camera_frame_hillas_intensity"][5]
    assert dl1.parameters.hillas.intensity == expected > 0
    assert events[5].monitoring.tel[21].pointing.altitude.to_value("deg") == pytest.approx(
        product_21.extras["true_alt_tel"][5], abs=1e-6
    )


@pytest.mark.parametrize("images", ["none", "cleaned", "all"])
def test_images_are_stored_of_no_of_some_or_of_all_events(reduce_run, run_21, tmp_path, images):
    # so high that some images do not survive
    changes = {
        "DataWriter.write_images": images,
        "ImageProcessor.image_cleaner_type": "TailcutsImageCleaner",
        "ImageProcessor.TailcutsImageCleaner.picture_threshold_pe": [["id", 21, 120], ["id", 22, 120]],
    }
    product = reduce_run(run_21.path, tmp_path / "dl1.h5", changes=changes)
    parametrised = int((product.parameters["morphology_n_pixels"] > 0).sum())
    assert 0 < parametrised < 48
    check_dl1(product.path)
    if images == "none":
        assert product.image is None
        return
    # ctapipe's source takes the images in turn, so each event must have a row, and its own one
    with EventSource(str(product.path)) as source:
        events = [(event.index.event_id, event.dl1.tel[21]) for event in source]
    assert [event_id for event_id, _ in events] == product.parameters["event_id"].tolist()
    for (_, dl1), n_pixels in zip(events, product.parameters["morphology_n_pixels"], strict=True):
        assert dl1.is_valid == (images == "all" or n_pixels > 0)
        assert dl1.image.any() == dl1.is_valid
        assert dl1.image_mask.sum() == max(n_pixels, 0)
    with TableLoader(product.path) as loader:
        assert len(loader.read_telescope_events()) == 48


@pytest.fixture(scope="module")
def other_run(make_run, reduce_run, tmp_path_factory):
    """The next run of the same telescope."""
    directory = tmp_path_factory.mktemp("next")
    run = make_run(directory / "raw.fits.fz", 15, seed=2)
    return reduce_run(run.path, directory / "dl1.h5", run=13)


@pytest.fixture(scope="module")
def other_telescope(make_run, reduce_run, tmp_path_factory):
    """A run of the other telescope, with a number of its own."""
    directory = tmp_path_factory.mktemp("cs2")
    run = make_run(directory / "raw.fits.fz", 10, tel_id=22)
    return reduce_run(run.path, directory / "dl1.h5", tel_id=22, run=14)


@pytest.fixture(scope="module")
def empty_product(reduce_run, tmp_path_factory):
    """A run without events."""
    directory = tmp_path_factory.mktemp("empty")
    with RawWriter(directory / "raw.fits.fz", tel_id=21):
        pass
    return reduce_run(directory / "raw.fits.fz", directory / "dl1.h5", run=15)


def _merge(inputs, output):
    arguments = [*map(str, inputs), f"--output={output}", f"--provenance-log={output.with_suffix('.log')}"]
    run_tool(MergeTool(), arguments, cwd=output.parent, raises=True)


def test_runs_are_merged_by_ctapipe(product_21, other_run, tmp_path):
    merged = tmp_path / "merged.h5"
    _merge([product_21.path, other_run.path], merged)
    with TableLoader(merged, pointing=True) as loader:
        events = loader.read_telescope_events_by_id(dl1_images=True, pointing=True)[21]
        assert loader.read_observation_information()["obs_id"].tolist() == [202501150012, 202501150013]
    assert len(events) == 48 + 12
    for column in ("camera_frame_hillas_intensity", "camera_frame_timing_slope"):
        expected = np.concatenate([product_21.parameters[column], other_run.parameters[column]])
        np.testing.assert_array_equal(events[column], expected)
    np.testing.assert_allclose(
        events["image"], np.concatenate([product_21.image, other_run.image]), atol=1e-4
    )
    assert np.isfinite(events["telescope_pointing_altitude"]).all()
    assert read_table(merged, "/dl1/service/image_statistics")["counts"][0] == 60


def test_runs_of_both_telescopes_are_merged_by_ctapipe(product_21, other_telescope, tmp_path):
    """Of different runs, since ctapipe wants every obs_id in one file only."""
    merged = tmp_path / "merged.h5"
    _merge([product_21.path, other_telescope.path], merged)
    with TableLoader(merged) as loader:
        events = loader.read_telescope_events_by_id()
    assert {tel_id: len(table) for tel_id, table in events.items()} == {21: 48, 22: 8}


def test_an_empty_run_is_a_valid_product(empty_product):
    info = check_dl1(empty_product.path)
    assert (info["n_events"], info["n_events_written"]) == (0, 0)
    with TableLoader(empty_product.path) as loader:
        assert len(loader.read_telescope_events(dl1_images=True)) == 0
        assert len(loader.read_subarray_events()) == 0
        assert len(loader.read_observation_information()) == 1


@pytest.mark.parametrize("empty_first", [True, False])
def test_an_empty_run_can_be_merged(empty_product, product_21, tmp_path, empty_first):
    inputs = [empty_product.path, product_21.path]
    merged = tmp_path / "merged.h5"
    _merge(inputs if empty_first else inputs[::-1], merged)
    with TableLoader(merged, pointing=True) as loader:
        events = loader.read_telescope_events(pointing=True)
    assert len(events) == 48
    assert np.isfinite(events["telescope_pointing_altitude"]).all()


def test_fileinfo_of_ctapipe_reads_it(product_21, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ctapipe-fileinfo", str(product_21.path)])
    fileinfo.main()
    assert "sst1m r0-dl1" in capsys.readouterr().out


def test_complete_products_pass_the_check(product_21, other_telescope):
    assert check_dl1(product_21.path)["n_events_written"] == 48
    assert check_dl1(other_telescope.path)["tel_ids"] == [22]


def _damaged(source, directory, how):
    path = directory / "damaged.h5"
    content = source.read_bytes()
    path.write_bytes(content[: len(content) // 2] if how == "truncated" else content)
    if how == "truncated":
        return path
    with tables.open_file(str(path), "a") as h5:
        if how == "without info":
            h5.remove_node("/sst1m/info")
        elif how == "without a table":
            h5.remove_node("/dl1/event/telescope/parameters/tel_021")
        elif how == "one row short":
            h5.root.dl1.event.telescope.parameters.tel_021.remove_rows(0, 1)
        elif how == "images short":
            h5.root.dl1.event.telescope.images.tel_021.remove_rows(0, 1)
        elif how == "foreign info":
            h5.remove_node("/sst1m/info")
            h5.create_array("/sst1m", "info", obj=np.bytes_(b"[1, 2]"))
    return path


@pytest.mark.parametrize(
    "how",
    ["truncated", "without info", "without a table", "one row short", "images short", "foreign info"],
)
def test_incomplete_products_do_not_pass_the_check(product_21, tmp_path, how):
    path = _damaged(product_21.path, tmp_path, how)
    with pytest.raises(InputError, match=r"damaged\.h5 is not a complete DL1 file"):
        check_dl1(path)


def test_other_files_do_not_pass_the_check(run_21, ctapipe_product, tmp_path):
    (tmp_path / "empty.h5").write_bytes(b"")
    for path in (run_21.path, ctapipe_product, tmp_path / "empty.h5", tmp_path):
        with pytest.raises(InputError, match="is not a complete DL1 file"):
            check_dl1(path)
    with pytest.raises(InputError, match="no such file"):
        check_dl1(tmp_path / "missing.h5")


def test_a_failed_reduction_leaves_nothing_that_passes_the_check(run_21, reduce_run, tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce_run(run_21.path, tmp_path / "dl1.h5", progress=stop)
    with pytest.raises(InputError):
        check_dl1(tmp_path / "dl1.h5")
