"""From samples to photo-electrons: what was put into a raw file comes back."""

import json

import numpy as np
import pytest
import tables

from sst1m.calib import DropFlag
from sst1m.errors import DataQualityError
from sst1m.instrument import camera_geometry
from sst1m.times import utc_text_to_ns

#: Rounding of seven samples to whole counts, in p.e.
ROUNDING = 0.2
BAD = [100, 700]


def _light(run):
    return run.photoelectrons[~run.pedestal]


def _usable(run, extra=()):
    usable = run.present[~run.pedestal].copy()
    usable[:, [*BAD, *extra]] = False
    return usable


def test_known_charges_come_back(run_21, product_21):
    usable = _usable(run_21)
    np.testing.assert_allclose(product_21.image[usable], _light(run_21)[usable], atol=ROUNDING)
    assert run_21.drop[0] < 0.9
    np.testing.assert_allclose(product_21.extras["intensity_drop"], run_21.drop[0], rtol=1e-6)
    assert (product_21.extras["vdrop_flag"] == 0).all()
    assert product_21.info["integration_correction"] == pytest.approx(1.0183252880, rel=1e-5)


def test_arrival_times_come_back(run_21, product_21):
    lit = _usable(run_21) & (_light(run_21) > 20)
    expected = 4 * np.rint(22 + 20 * camera_geometry().pix_x.to_value("m"))
    mean_of_pulse = 4 * float(np.dot([0.02, 0.1, 0.22, 0.3, 0.2, 0.11, 0.05], np.arange(-3, 4)))
    expected = np.broadcast_to(expected + mean_of_pulse, lit.shape)
    np.testing.assert_allclose(product_21.peak_time[lit], expected[lit], atol=0.5)


@pytest.mark.parametrize("mode", ["pixelwise", "none"])
def test_other_corrections_of_the_voltage_drop(make_run, reduce_run, tmp_path, mode):
    run = make_run(tmp_path / "raw.fits.fz", 12, drop_mode=mode)
    changes = {
        "NsbCalibrator.apply_pixelwise_Vdrop_correction": mode == "pixelwise",
        "NsbCalibrator.apply_global_Vdrop_correction": False,
    }
    product = reduce_run(run.path, tmp_path / "dl1.h5", changes=changes)
    usable = _usable(run)
    np.testing.assert_allclose(product.image[usable], _light(run)[usable], atol=ROUNDING)
    assert (len(run.drop) == 1296) == (mode == "pixelwise")
    np.testing.assert_allclose(product.extras["intensity_drop"], np.median(run.drop), rtol=1e-6)


def test_a_sky_beyond_the_measured_range_is_clamped_and_flagged(make_run, reduce_run, tmp_path):
    run = make_run(tmp_path / "raw.fits.fz", 12, noise=10)
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    assert (product.extras["vdrop_flag"] == DropFlag.ABOVE_RANGE).all()
    assert product.info["n_voltage_drop_clamped"] == len(product.extras) > 0
    assert (product.extras["intensity_drop"] > 0.1).all()


def test_telescope_22_has_its_own_constants(make_run, reduce_run, tmp_path):
    run = make_run(tmp_path / "raw.fits.fz", 12, tel_id=22)
    product = reduce_run(run.path, tmp_path / "dl1.h5", tel_id=22)
    usable = _usable(run)
    np.testing.assert_allclose(product.image[usable], _light(run)[usable], atol=ROUNDING)


def _mean_of_neighbors(image, pixel, excluded):
    around = np.flatnonzero(camera_geometry().neighbor_matrix[pixel])
    return image[:, [p for p in around if p not in excluded]].mean(axis=1)


def test_bad_pixels_become_the_mean_of_their_neighbours(make_run, reduce_run, tmp_path):
    dead, listed, absent = 650, 640, 630
    run = make_run(tmp_path / "raw.fits.fz", 12, dead=(dead,), absent=((4, absent),))
    product = reduce_run(
        run.path, tmp_path / "dl1.h5", changes={"analysis.bad_pixels": {"tel_021": [listed], "tel_022": []}}
    )
    excluded = {*BAD, dead, listed}
    for pixel in excluded:
        expected = _mean_of_neighbors(product.image, pixel, excluded)
        np.testing.assert_allclose(product.image[:, pixel], expected, atol=0.02)
    row = int((~run.pedestal)[:4].sum())
    expected = _mean_of_neighbors(product.image, absent, excluded)
    assert product.image[row, absent] == pytest.approx(expected[row], abs=0.02)
    others = np.arange(len(product.image)) != row
    np.testing.assert_allclose(
        product.image[others, absent], _light(run)[others, absent], atol=ROUNDING, err_msg="one event only"
    )
    assert product.info["n_bad_pixels"] == 3
    assert len(product.info["bad_pixels"]) == 3


def test_dead_pixels_are_kept_where_the_configuration_says_so(make_run, reduce_run, tmp_path):
    run = make_run(tmp_path / "raw.fits.fz", 12, dead=(650,))
    product = reduce_run(
        run.path,
        tmp_path / "dl1.h5",
        changes={"telescope_calibration.dynamic_dead_px_interpolation": False},
    )
    np.testing.assert_allclose(product.image[:, 650], 0, atol=ROUNDING)


def test_bad_pixels_without_a_handler_are_zero(run_21, reduce_run, tmp_path):
    product = reduce_run(
        run_21.path,
        tmp_path / "dl1.h5",
        changes={"CameraCalibrator.invalid_pixel_handler_type": None},
    )
    assert (product.image[:, BAD] == 0).all()


def test_saturated_pulses_are_integrated_over_their_length(make_run, reduce_run, tmp_path):
    """Also in pedestal events, where today's pipeline crashes (event 2 is one)."""
    pixel = 648
    run = make_run(tmp_path / "raw.fits.fz", 12, saturated=((4, pixel), (2, pixel), (4, BAD[1])))
    assert run.pedestal[2]
    product = reduce_run(run.path, tmp_path / "dl1.h5")
    row = int((~run.pedestal)[:4].sum())
    # from the first sample of a fifth of the maximum to the first below it
    pulse = np.array([1800, *[3200 - (pixel % 16) / 16] * 12, 900, 300])
    gain = (21 + pixel / 500) * (1.05 - 0.0001 * pixel) * run.drop[0]
    assert product.image[row, pixel] == pytest.approx(pulse.sum() / gain, abs=ROUNDING)
    assert product.peak_time[row, pixel] == pytest.approx((12 / 2 + 20) * 4, abs=0.01)
    assert product.extras["n_saturated_pixels"].tolist() == [
        int(i == row) for i in range(len(product.extras))
    ]
    assert product.info["n_saturated_events"] == 1
    assert product.image[row, BAD[1]] < 1000, "a bad pixel's own pulse does not count"


@pytest.mark.parametrize(
    ("tel_id", "date", "pixels"), [(22, "2024-03-04", (1029, 1103)), (21, "2026-01-01", (804, 729))]
)
def test_exchanged_modules_are_put_right_in_every_event(make_run, reduce_run, tmp_path, tel_id, date, pixels):
    """Today's pipeline corrects every second event only, and not the pedestals."""
    run = make_run(
        tmp_path / "raw.fits.fz",
        20,
        tel_id=tel_id,
        start_ns=utc_text_to_ns(f"{date}T20:00:00"),
        drop_mode="pixelwise",
        dead=(pixels[0],),
    )
    changes = {
        "NsbCalibrator.apply_pixelwise_Vdrop_correction": True,
        "NsbCalibrator.apply_global_Vdrop_correction": False,
    }
    night = int(date.replace("-", ""))
    product = reduce_run(run.path, tmp_path / "dl1.h5", tel_id=tel_id, date=night, changes=changes)
    assert product.info["modules_swapped"]
    usable = _usable(run, extra=pixels[:1])
    np.testing.assert_allclose(product.image[usable], _light(run)[usable], atol=ROUNDING)
    # the pixel that is dead in the pedestals is the one of the camera, not the one of the channel
    dead = _mean_of_neighbors(product.image, pixels[0], {*BAD, pixels[0]})
    np.testing.assert_allclose(product.image[:, pixels[0]], dead, atol=0.02)


def test_events_without_baselines_are_refused(tmp_path, make_run, reduce_run, run_21):
    from sst1m.io.rawfile import RawFile
    from sst1m.simulation.raw_writer import RawWriter

    path = tmp_path / "raw.fits.fz"
    with RawFile(run_21.path) as raw, RawWriter(path, tel_id=21) as writer:
        block = raw.read(0, 10)
        writer.append(block.samples, block.index, baseline=None)
    with pytest.raises(DataQualityError, match="no baselines"):
        reduce_run(path, tmp_path / "dl1.h5")


def test_the_product_names_its_constants(product_21, calibration_dir):
    with tables.open_file(str(product_21.path)) as h5:
        info = json.loads(bytes(h5.root.sst1m.info.read()))
    named = {path.rsplit("/", 1)[-1]: sha for path, sha in info["calibration_sources"].items()}
    assert {"averaged_calib_param_v2_2023_2024_tel1.h5", "corr_factor_1st_wdw.txt"} < set(named)
    assert all(len(sha) == 64 for sha in named.values())
    assert str(calibration_dir) in " ".join(info["calibration_sources"])
