"""The pedestals of a run: what describes which event, whatever the size of the blocks."""

import logging

import numpy as np
import pytest
import tables

import sst1m.reduction.pedestals
import sst1m.reduction.waveforms
from sst1m.errors import DataQualityError, InputError
from sst1m.reduction import ReductionOptions


def test_late_pedestals_describe_the_events_before_them(make_run, reduce_run, tmp_path, monkeypatch):
    monkeypatch.setattr(sst1m.reduction.pedestals, "LOOK_AHEAD_EVENTS", 2)
    monkeypatch.setattr(sst1m.reduction.waveforms, "BLOCK_EVENTS", 1)
    run = make_run(tmp_path / "raw.fits.fz", 12, pedestal_every=5)  # pedestals are 2 and 7
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    assert np.isfinite(product.extras["meanQ"]).all()
    assert (product.extras["vdrop_flag"] == 0).all()
    assert product.info["pedestal_fallback"] is None


def test_monitoring_rows_follow_each_other_in_time(make_run, reduce_run, tmp_path):
    run = make_run(tmp_path / "raw.fits.fz", 90, pedestal_every=2)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    with tables.open_file(str(product.path)) as h5:
        rows = h5.root.sst1m.monitoring.telescope.pedestal.tel_021.read()
    times = run.index.time_ns[run.pedestal]
    assert rows["n_events"].tolist() == [20, 40]
    assert product.info["n_monitoring_rows"] == 2
    for row, n_events in zip(rows, (20, 40), strict=True):
        assert row["sample_time_min_ns"] == times[0]
        assert row["sample_time_max_ns"] == times[n_events - 1]
        assert row["sample_time_min_ns"] < row["sample_time_ns"] < row["sample_time_max_ns"]
        np.testing.assert_allclose(row["charge_mean"], 400 + (np.arange(1296) % 16) / 16, atol=1)
        np.testing.assert_allclose(row["charge_std"], 5, atol=0.8)


@pytest.fixture(scope="module")
def run_without_pedestals(make_run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("no_pedestals")
    return make_run(directory / "raw.fits.fz", 20, pedestal_every=0)


def test_without_pedestals_the_fallback_is_told_and_recorded(
    run_without_pedestals, reduce_run, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        product = reduce_run(run_without_pedestals.path, tmp_path / "dl1.h5")
    assert "no pedestal events" in caplog.text
    assert product.info["pedestal_fallback"] == "constant_thresholds"
    assert np.isnan(product.extras["meanQ"]).all()
    assert (product.extras["raised_threshold_fraction"] == 0).all()
    assert (product.extras["vdrop_flag"] == 4).all()
    np.testing.assert_allclose(product.image[:, 500], run_without_pedestals.photoelectrons[:, 500], atol=0.2)


def test_without_pedestals_the_cleaning_stays_that_of_the_configuration(
    run_without_pedestals, reduce_run, tmp_path
):
    """Today's pipeline changes to tailcuts: without the cut on time more pixels would survive."""
    as_configured = reduce_run(run_without_pedestals.path, tmp_path / "sst.h5")
    tailcuts = reduce_run(
        run_without_pedestals.path,
        tmp_path / "tailcuts.h5",
        changes={"ImageProcessor.image_cleaner_type": "TailcutsImageCleaner"},
    )
    assert as_configured.mask.sum() < tailcuts.mask.sum()


def test_without_pedestals_the_run_fails_where_the_configuration_wants_it(
    run_without_pedestals, reduce_run, tmp_path
):
    with pytest.raises(DataQualityError, match="no pedestal events.*no_pedestal_fallback"):
        reduce_run(
            run_without_pedestals.path,
            tmp_path / "dl1.h5",
            changes={"ImageProcessor.ImageCleanerSST.no_pedestal_fallback": "error"},
        )


def test_pedestal_charges_are_written_and_clean_a_second_time(
    run_21, product_21, reduce_run, assert_same_tables, tmp_path
):
    charges = tmp_path / "pedestal_hist.h5"
    first = reduce_run(run_21.path, tmp_path / "1.h5", options=ReductionOptions(pixel_charges=charges))
    assert_same_tables(first.path, product_21.path)
    with tables.open_file(str(charges)) as h5:
        edges, histogram = h5.root.bins.col("pe_bins"), h5.root.charge.col("pixel_charge")
        blocks = h5.root.charge_images.read()
    assert len(edges) == len(histogram) + 1 == 1001
    assert histogram.sum() == 12 * 1296
    # 12 pedestals, 5 s apart, in blocks of 10 s from the first one on
    assert blocks["n"].tolist() == [2, 2, 2, 2, 2, 2]
    assert blocks["start_time"][0] == run_21.index.time_ns[2]
    assert (np.diff(blocks["start_time"]) == 10_000_000_000).all()
    changes = {"ImageProcessor.ImageCleanerSST.min_number_pedestals": 1}
    second = reduce_run(
        run_21.path, tmp_path / "2.h5", options=ReductionOptions(reclean_with=charges), changes=changes
    )
    assert second.info["recleaned"]
    block = np.maximum(np.searchsorted(blocks["start_time"], run_21.index.time_ns, side="right") - 1, 0)
    level = blocks["average_q"].mean(axis=1)[block[~run_21.pedestal]]
    np.testing.assert_allclose(second.extras["meanQ"], level, rtol=1e-6)
    assert len(np.unique(second.extras["meanQ"])) == 6
    assert (product_21.extras["meanQ"] == product_21.extras["meanQ"][0]).all()


def test_a_second_cleaning_needs_its_file_and_enough_pedestals(run_21, reduce_run, tmp_path):
    missing = ReductionOptions(reclean_with=tmp_path / "missing.h5")
    with pytest.raises(InputError, match="missing.h5.*--px-charges"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", options=missing)
    charges = tmp_path / "pedestal_hist.h5"
    reduce_run(run_21.path, tmp_path / "1.h5", options=ReductionOptions(pixel_charges=charges))
    with pytest.raises(DataQualityError, match="more than 100 pedestal events"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", options=ReductionOptions(reclean_with=charges))
    with pytest.raises(InputError, match="cannot be read"):
        reduce_run(run_21.path, tmp_path / "dl1.h5", options=ReductionOptions(reclean_with=tmp_path / "1.h5"))
