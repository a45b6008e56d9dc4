"""A raw run reduced to DL1: what every event carries, and runs that are out of the ordinary."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tables

from sst1m.config import config_from_dict
from sst1m.errors import ConfigError, DataQualityError, InputError, RawFileError
from sst1m.io.dl1 import check_dl1
from sst1m.io.rawfile import EventIndex
from sst1m.reduction import ReductionOptions
from sst1m.simulation.raw_writer import RawWriter, repeat_raw_file


def _expected_ids(run):
    return run.index.array_event_number[~run.pedestal]


def test_every_event_but_the_pedestals_is_there_once_and_in_order(run_21, product_21):
    expected = _expected_ids(run_21).tolist()
    assert product_21.parameters["event_id"].tolist() == expected
    assert product_21.extras["event_id"].tolist() == expected
    with tables.open_file(str(product_21.path)) as h5:
        event = h5.root.dl1.event
        assert event.subarray.trigger.col("event_id").tolist() == expected
        assert event.telescope.trigger.col("event_id").tolist() == expected
        assert event.telescope.images.tel_021.col("event_id").tolist() == expected
        assert event.subarray.trigger.col("tels_with_trigger").tolist() == [[True, False]] * len(expected)
        keys = np.unique(event.telescope.trigger.read()[["obs_id", "event_id", "tel_id"]])
    assert len(keys) == len(expected)
    assert product_21.summary.n_events == 60
    assert product_21.summary.n_events_written == 48
    assert (product_21.parameters["obs_id"] == 202501150012).all()
    assert (product_21.extras["date"] == 20250115).all()


def test_times_are_exact_to_the_nanosecond(run_21, product_21):
    expected = run_21.index.time_ns[~run_21.pedestal]
    assert product_21.extras["time_ns"].dtype == np.int64
    assert product_21.extras["time_ns"].tolist() == expected.tolist()
    # UTC is 37 s behind
    np.testing.assert_allclose(product_21.extras["local_time"], expected / 1e9 - 37, atol=1e-6)
    assert "time_wr_full_seconds" not in product_21.extras.dtype.names


def test_white_rabbit_columns_on_demand(run_21, product_21, reduce_run, tmp_path):
    product = reduce_run(run_21.path, tmp_path / "dl1.h5", options=ReductionOptions(precise_timestamps=True))
    full, rest = product.extras["time_wr_full_seconds"], product.extras["time_wr_frac_seconds"]
    expected = run_21.index.time_ns[~run_21.pedestal]
    assert (full * 1_000_000_000 + np.rint(rest * 1e9).astype(np.int64)).tolist() == expected.tolist()
    shared = [name for name in product_21.extras.dtype.names if name in product.extras.dtype.names]
    assert len(shared) == len(product_21.extras.dtype) == len(product.extras.dtype) - 2
    for name in shared:
        np.testing.assert_array_equal(product.extras[name], product_21.extras[name])


def test_columns_that_follow_from_others(product_21):
    parameters, extras = product_21.parameters, product_21.extras
    found = parameters["morphology_n_pixels"] > 0
    assert found.sum() > 30
    np.testing.assert_allclose(
        10 ** extras["log_camera_frame_hillas_intensity"][found],
        parameters["camera_frame_hillas_intensity"][found],
    )
    np.testing.assert_allclose(
        extras["camera_frame_hillas_wl"][found],
        (parameters["camera_frame_hillas_width"] / parameters["camera_frame_hillas_length"])[found],
    )
    assert (extras["t_lac"][found] >= 0).all()
    assert (extras["t_rms"][found] > 0).all()
    assert (extras["equivalent_focal_length"] == 5.6).all()
    assert ((extras["true_alt_tel"] > 59) & (extras["true_alt_tel"] < 61)).all()


def test_events_without_an_image_have_nan_not_rubbish(run_21, reduce_run, tmp_path):
    """Today's pipeline leaves uninitialised memory in the timing columns."""
    changes = {
        "ImageProcessor.image_cleaner_type": "TailcutsImageCleaner",
        "ImageProcessor.TailcutsImageCleaner.picture_threshold_pe": [["id", 21, 120], ["id", 22, 120]],
    }
    product = reduce_run(run_21.path, tmp_path / "dl1.h5", changes=changes)
    empty = ~product.mask.any(axis=1)
    assert 0 < empty.sum() < 48
    features = (
        "log_camera_frame_hillas_intensity",
        "camera_frame_hillas_wl",
        "t_rms",
        "t_rms_w",
        "t_lac",
        "len_st",
    )
    for name in features:
        assert np.isnan(product.extras[name][empty]).all(), name
    for name in product.parameters.dtype.names[3:]:
        values = product.parameters[name][empty]
        assert (values == -1).all() if values.dtype.kind == "i" else np.isnan(values).all(), name
    assert product.info["n_parametrized"] == (~empty).sum()


def test_the_correction_of_the_intensity_reaches_what_follows_from_it(
    run_21, product_21, reduce_run, tmp_path
):
    changes = {"NsbCalibrator.intensity_correction": {"tel_021": 1.25, "tel_022": 1}}
    product = reduce_run(run_21.path, tmp_path / "dl1.h5", changes=changes)
    intensity = product_21.parameters["camera_frame_hillas_intensity"]
    np.testing.assert_allclose(product.parameters["camera_frame_hillas_intensity"], 1.25 * intensity)
    np.testing.assert_allclose(
        product.extras["log_camera_frame_hillas_intensity"], np.log10(1.25 * intensity)
    )
    for name in ("camera_frame_hillas_length", "leakage_intensity_width_2"):
        np.testing.assert_array_equal(product.parameters[name], product_21.parameters[name])
    np.testing.assert_array_equal(product.image, product_21.image)


def test_counts_of_the_run(run_21, product_21):
    info = product_21.info
    assert (info["n_pedestal"], info["n_events"]) == (12, 60)
    assert info["n_survived_pedestals"] == 0
    assert info["event_id_source"] == "swat"
    assert info["pedestal_fallback"] is None
    assert not info["simulated"]
    assert not info["modules_swapped"]
    assert info["n_telescope_events"] == {"21": 48}
    assert 0 < info["mean_intensity_drop"] < 1
    assert check_dl1(product_21.path) == info | {"n_images": {"21": 48}}


def test_picture_thresholds_follow_the_pedestals(run_21, reduce_run, tmp_path):
    """With 40 standard deviations of the pedestals hardly a pixel remains."""
    document_key = "ImageProcessor.ImageCleanerSST.telescope_defaults"
    level = {
        "min_nsb_level": 0,
        "stdev_scaling": 40,
        "picture_threshold_pe": 8,
        "boundary_threshold_pe": 4,
        "min_picture_neighbors": 2,
        "keep_isolated": False,
        "min_time_neighbors": 1,
        "time_limit_ns": 8,
        "only_main_island": False,
    }
    changes = {document_key: {"tel_021": [level], "tel_022": [level]}}
    product = reduce_run(run_21.path, tmp_path / "dl1.h5", changes=changes)
    assert (product.extras["raised_threshold_fraction"] > 0.9).all()
    thresholds = product.image[product.mask].min()
    assert thresholds >= 4
    assert product.info["mean_raised_threshold_fraction"] > 0.9


def test_a_run_without_array_numbers_uses_those_of_the_camera(make_run, reduce_run, tmp_path):
    run = make_run(tmp_path / "raw.fits.fz", 6, swat=False)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    assert product.parameters["event_id"].tolist() == run.index.event_number[~run.pedestal].tolist()
    assert product.info["event_id_source"] == "camera"
    assert "6 of 6 events have none" in product.info["event_id_reason"]
    assert (product.extras["swat_event_id"] == 0).all()


def test_repeated_and_disordered_events_stay_in_the_order_of_the_file(make_run, reduce_run, tmp_path):
    numbers = np.array([5, 3, 9, 3, 1, 7])
    index = EventIndex(
        event_number=numbers,
        array_event_number=numbers,
        event_type=np.array([1, 2, 8, 1, 8 | 0x20000, 0x80]),
        time_ns=1_736_971_237_000_000_000 + np.array([0, 5, 3, 9, 8, 7]) * 1000,
    )
    run = make_run(tmp_path / "raw.fits.fz", 6, index=index)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    # 8 alone is a pedestal, together with another bit it is not
    assert product.parameters["event_id"].tolist() == [1, 2, 4, 5, 6]
    assert product.info["event_id_source"] == "running"
    assert product.extras["time_ns"].tolist() == index.time_ns[[0, 1, 3, 4, 5]].tolist()
    assert product.extras["camera_event_id"].tolist() == [5, 3, 3, 1, 7]


def test_copies_of_events_are_left_out_and_counted(make_run, reduce_run, tmp_path):
    """A tile that was written twice must not become twice as many gamma rays."""
    place = np.array([0, 1, 2, 1, 2, 3])
    index = EventIndex(
        event_number=place + 1,
        array_event_number=place + 900,
        event_type=np.array([1, 1, 8, 1, 8, 1]),
        time_ns=1_736_971_237_000_000_000 + place * 1_000_000,
    )
    run = make_run(tmp_path / "raw.fits.fz", 6, index=index)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    assert product.parameters["event_id"].tolist() == [900, 901, 903]
    assert product.info["event_id_source"] == "swat"
    counts = {name: product.info[name] for name in ("n_events", "n_pedestal", "n_repeated")}
    assert counts == {"n_events": 6, "n_pedestal": 2, "n_repeated": 1}
    assert product.summary.n_events_written == 3


def test_a_run_of_another_night_is_refused(make_run, reduce_run, tmp_path):
    run = make_run(tmp_path / "raw.fits.fz", 6)
    with pytest.raises(DataQualityError, match="not of the night 2025-01-12"):
        reduce_run(run.path, tmp_path / "dl1.h5", date=20250112)


def test_a_wrong_clock_does_not_blow_up_the_table_of_the_pointing(make_run, reduce_run, tmp_path):
    index = EventIndex(
        event_number=np.arange(1, 4),
        array_event_number=np.arange(1, 4),
        event_type=np.array([1, 8, 1]),
        time_ns=1_736_971_237_000_000_000 + np.array([0, 1, 5_000_000]) * 1_000_000_000,
    )
    run = make_run(tmp_path / "raw.fits.fz", 3, index=index)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    with tables.open_file(str(product.path)) as h5:
        assert h5.root.dl0.monitoring.telescope.pointing.tel_021.nrows < 20


@pytest.mark.parametrize("kind", [1, 8])
def test_a_run_of_one_event(make_run, reduce_run, tmp_path, kind):
    """Today's pipeline crashes, because it looks at the second event."""
    index = EventIndex(
        event_number=np.array([7]),
        array_event_number=np.array([8]),
        event_type=np.array([kind]),
        time_ns=np.array([1_736_971_237_000_000_001]),
    )
    run = make_run(tmp_path / "raw.fits.fz", 1, index=index, pedestal_every=0)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    assert product.parameters["event_id"].tolist() == ([8] if kind == 1 else [])
    assert check_dl1(product.path)["n_pedestal"] == int(kind == 8)


def test_a_run_without_events_is_a_valid_product(reduce_run, tmp_path):
    with RawWriter(tmp_path / "SST1M1_20250115_0001.fits.fz", tel_id=21):
        pass
    calls = []
    product = reduce_run(
        tmp_path / "SST1M1_20250115_0001.fits.fz",
        tmp_path / "dl1.h5",
        progress=lambda *done: calls.append(done),
        options=ReductionOptions(pixel_charges=tmp_path / "charges.h5"),
    )
    assert product.summary.n_events == len(product.parameters) == len(calls) == 0
    assert product.info["pedestal_fallback"] is None
    with tables.open_file(str(tmp_path / "charges.h5")) as h5:
        assert h5.root.charge.col("pixel_charge").sum() == 0


def test_progress_counts_all_events(run_21, reduce_run, tmp_path, monkeypatch):
    monkeypatch.setattr("sst1m.reduction.waveforms.BLOCK_EVENTS", 25)
    calls = []
    reduce_run(run_21.path, tmp_path / "dl1.h5", progress=lambda *done: calls.append(done))
    assert calls == [(25, 60), (50, 60), (60, 60)]


def test_a_file_of_another_telescope_is_refused(run_21, reduce_run, tmp_path):
    with pytest.raises(RawFileError, match="telescope 21, the name says 22"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", tel_id=22)
    assert not (tmp_path / "dl1.h5").exists()


def test_missing_calibration_is_an_error_of_its_own(run_21, reduce_run, tmp_path):
    with pytest.raises(InputError, match="averaged_calib_param_v2_2023_2024_tel1.h5"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", calibration_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"telescope_calibration\.tel_021"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", calibration_dir=None)
    assert not (tmp_path / "dl1.h5").exists()


def test_a_configuration_of_simulations_is_refused(run_21, reduce_run, project_root, tmp_path):
    document = json.loads((project_root / "config" / "sst1m_mc_config.json").read_text())
    with pytest.raises(ConfigError, match="simulations"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", config=config_from_dict(document))


def test_a_damaged_tile_is_an_error_that_names_the_file(run_21, reduce_run, tmp_path):
    content = bytearray(run_21.path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    damaged = tmp_path / "damaged.fits.fz"
    damaged.write_bytes(content)
    with pytest.raises((RawFileError, DataQualityError), match=r"damaged\.fits\.fz"):
        reduce_run(damaged, tmp_path / "dl1.h5")


def test_the_same_run_gives_the_same_numbers(run_21, product_21, reduce_run, assert_same_tables, tmp_path):
    assert_same_tables(reduce_run(run_21.path, tmp_path / "dl1.h5").path, product_21.path)


def test_the_real_file(real_raw_file, shared_data, reduce_run, tmp_path):
    """Level of the sky and raised thresholds as in today's pipeline, which has 3.18 p.e. and 12.5 %."""
    product = reduce_run(
        real_raw_file,
        tmp_path / "dl1.h5",
        calibration_dir=shared_data / "calibration",
        tel_id=22,
        date=20180822,
        run=1,
    )
    info, extras = product.info, product.extras
    assert (info["n_events"], info["n_pedestal"], info["n_events_written"]) == (32, 2, 30)
    assert info["event_id_source"] == "camera"
    assert len(np.unique(extras["meanQ"])) == 1
    assert extras["meanQ"][0] == pytest.approx(3.18, abs=0.005)
    assert info["mean_raised_threshold_fraction"] == pytest.approx(0.125, abs=0.005)
    # the camera's clock counted UTC in those days
    assert extras["local_time"][0] == pytest.approx(1534982401.67, abs=0.02)
    assert (extras["time_ns"] // 1_000_000_000 - extras["local_time"].astype(int) == 37).all()


MEASURE = """
import json, resource, sys
from pathlib import Path
from sst1m.config import config_from_dict
from sst1m.pointing import Pointing
from sst1m.reduction import reduce_raw_run
raw, output, config, calibration = map(Path, sys.argv[1:])
config = config_from_dict(json.loads(config.read_text()))
reduce_raw_run(raw, output, config=config, calibration_dir=calibration, tel_id=22,
               date=20180822, run=1, pointing=Pointing(84.4, 22.0, "command"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(real_raw_file, shared_data, config_document, tmp_path):
    """12 000 events have 1.6 GB of samples; only charges wait for the pedestals, 12 kB per event."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_document({"DataWriter.write_images": "none"})))
    peak = []
    for n_events in (2000, 12_000):
        raw = tmp_path / f"{n_events}.fits.fz"
        repeat_raw_file(real_raw_file, raw, n_events)
        arguments = [raw, tmp_path / "dl1.h5", config, shared_data / "calibration"]
        command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peak.append(float(run.stdout.splitlines()[-1]))
        raw.unlink()
    assert peak[1] - peak[0] < 250, peak
    assert peak[1] < 1200
