"""The simulated camera: known photo-electrons come back through raw file, reader and calibration."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ctapipe.io import read_table
from hypothesis import given
from hypothesis import strategies as st

from sst1m.calib import channel_of_pixel, load_pixel_calibration, load_window_transmission
from sst1m.calib.vdrop import intensity_drop, nsb_rate
from sst1m.image import extract_block
from sst1m.instrument import camera_geometry
from sst1m.io.rawfile import EventIndex, RawFile
from sst1m.pointing import Pointing
from sst1m.reduction import reduce_raw_run
from sst1m.simulation.calibration_files import write_calibration
from sst1m.simulation.camera import ADC_MAX, Digitiser, camera_model, wired
from sst1m.simulation.night_sky import fired_cells
from sst1m.simulation.photoelectrons import PhotoElectrons
from sst1m.simulation.raw_writer import RawWriter
from sst1m.simulation.trigger import cluster_maxima, patch_clusters, patch_pixels, survives_dead_time

#: 2024-03-04T18:00:00 UTC: modules 59 and 88 of telescope 22 are exchanged.
START_NS = 1_709_575_237_000_000_000
SEED = 5
LEVELS = (0, 100, 250, 400, 600)
CHARGES = (40, 150, 400)
N_EVENTS, N_PEDESTALS = 24, 60
DEAD, ABSENT = 200, 900


def light_in(pixels, n_pe, n_events, rng, spread=2.0):
    """The same number of photo-electrons in every given pixel, all at one time per event."""
    n_rows = len(pixels) * n_pe
    time = np.repeat(rng.uniform(-spread, spread, n_events), n_rows).astype(np.float32)
    pixel = np.tile(np.repeat(np.asarray(pixels, np.int16), n_pe), n_events)
    return PhotoElectrons(np.arange(n_events + 1) * n_rows, pixel, time)


@pytest.fixture(scope="module")
def cameras():
    return {tel_id: camera_model(tel_id, SEED, dead=(DEAD,), absent=(ABSENT,)) for tel_id in (21, 22)}


@pytest.fixture(scope="module")
def calibration(cameras, tmp_path_factory):
    directory = tmp_path_factory.mktemp("calibration")
    for model in cameras.values():
        write_calibration(model, directory)
    return directory


@pytest.fixture(scope="module")
def digitiser(cameras):
    return Digitiser(cameras[21], 100, SEED)


def test_pulses_keep_their_charge_and_their_time(digitiser, cameras):
    pixels = np.setdiff1d(np.arange(0, 1296, 7), [DEAD, ABSENT])
    model = cameras[21]
    times = []
    for arrival in (0.0, 1.0, 5.5):
        light = light_in(pixels, 100, 16, np.random.default_rng(1), spread=0.0)
        light = replace(light, time=light.time + np.float32(arrival))
        raw = digitiser(light, np.random.default_rng(2))
        above = raw.samples[:, pixels] - raw.baseline[:, pixels, np.newaxis]
        expected = 100 * model.dc_to_pe * model.window * digitiser.sky.gain * digitiser.sky.detection
        # over the whole read-out: no window, no correction
        assert above.sum(axis=2).mean() == pytest.approx(expected[pixels].mean(), rel=0.01)
        times.append(extract_block(raw.samples, raw.baseline).peak_time[:, pixels].mean())
    assert times[0] == pytest.approx(72, abs=2)
    assert np.diff(times) == pytest.approx([1.0, 4.5], abs=0.15)


@pytest.mark.parametrize("tel_id", [21, 22])
@pytest.mark.parametrize("nsb_mhz", LEVELS)
def test_known_photoelectrons_come_back_at_every_level_of_the_sky(
    tmp_path, make_config, cameras, calibration, tel_id, nsb_mhz
):
    """Through raw file, pedestals, voltage drop, gain, window, cabling: charge to 2.5 %, level to 2 %."""
    pixels, channel = wired(cameras[tel_id], START_NS)
    used = np.flatnonzero(pixels.calibrated & ~pixels.dead & ~pixels.absent)[3::8]
    images = _reduced(tmp_path, make_config, pixels, channel, calibration, nsb_mhz, used)
    for place, n_pe in enumerate(CHARGES):
        image = images["image"][place::3]
        ratio = image[:, used] / n_pe
        assert ratio.mean() == pytest.approx(1, abs=0.025)
        # gain and window differ from pixel to pixel by 4 %; with them taken out only the statistics remains
        assert ratio.mean(axis=0).std() < 1.5 * np.hypot(
            ratio.std(axis=0).mean() / np.sqrt(len(image)), 0.003
        )
    if nsb_mhz:
        assert images["nsb_mhz"] == pytest.approx(nsb_mhz, rel=0.02)
        assert images["drop"] == pytest.approx(images["true_drop"], abs=0.005)
        # a dead pixel is found by its pedestals and filled from its neighbours, as an absent one is
        bad = pixels.dead | pixels.absent | ~pixels.calibrated
        for pixel in np.flatnonzero(pixels.dead | pixels.absent):
            around = camera_geometry().neighbor_matrix[pixel] & ~bad
            expected = images["image"][:, around].mean(axis=1)
            np.testing.assert_allclose(images["image"][:, pixel], expected, atol=0.01)
    else:
        assert images["drop"] == pytest.approx(1, abs=0.005)


def _reduced(tmp_path, make_config, pixels, channel, calibration, nsb_mhz, used):
    """Write and reduce a run of pedestals and of showers with known light; the charges take turns."""
    tel_id = pixels.tel_id
    digitise = Digitiser(pixels, nsb_mhz, SEED)
    rng = np.random.default_rng([nsb_mhz, tel_id])
    light = [light_in(used, n_pe, 1, rng) for _ in range(N_EVENTS // 3) for n_pe in CHARGES]
    raw = digitise(PhotoElectrons.concatenate([PhotoElectrons.empty(N_PEDESTALS), *light]), rng)
    n_events = N_PEDESTALS + N_EVENTS
    index = EventIndex(
        event_number=np.arange(1, n_events + 1),
        array_event_number=np.arange(1, n_events + 1),
        event_type=np.where(np.arange(n_events) < N_PEDESTALS, 8, 1),
        time_ns=START_NS + 10_000_000 * np.arange(n_events),
    )
    path = tmp_path / "run.fits.fz"
    written = raw.reordered(channel)
    with RawWriter(path, tel_id=tel_id, target="Crab_W1_84.388_22.013") as writer:
        writer.append(written.samples, index, baseline=written.baseline, present=written.present)
    # with the lid closed every pixel is so quiet that it would be taken for dead
    config = make_config({"telescope_calibration.dynamic_dead_px_interpolation": nsb_mhz > 0})
    reduce_raw_run(
        path,
        tmp_path / "dl1.h5",
        config=config,
        calibration_dir=calibration,
        tel_id=tel_id,
        date=20240304,
        run=1,
        pointing=Pointing(84.388, 22.013, "header"),
    )
    # ctapipe's reader, because images are stored as scaled integers
    image = read_table(tmp_path / "dl1.h5", f"/dl1/event/telescope/images/tel_{tel_id:03d}")["image"]
    extras = read_table(tmp_path / "dl1.h5", f"/sst1m/dl1/event/telescope/parameters/tel_{tel_id:03d}")
    std = raw.samples[:N_PEDESTALS].std(axis=2).mean(axis=0)
    variance = np.median(std[~(pixels.dead | pixels.absent)] ** 2)
    sky = digitise.sky
    return {
        "image": np.asarray(image),
        "drop": float(extras["intensity_drop"][0]),
        "true_drop": sky.gain * sky.detection,
        "nsb_mhz": float(nsb_rate(variance, tel_id)),
    }


@pytest.mark.parametrize("tel_id", [21, 22])
def test_the_sky_moves_the_baseline_but_not_what_the_camera_reports_against_it(cameras, tel_id):
    model = cameras[tel_id]
    live = ~(model.dead | model.absent)
    means = []
    for nsb_mhz in LEVELS:
        raw = Digitiser(model, nsb_mhz, SEED)(PhotoElectrons.empty(40), np.random.default_rng(1))
        residual = raw.samples[:, live].mean(axis=2) - raw.baseline[:, live]
        assert abs(residual.mean()) < 0.1
        means.append((raw.samples[:, live].mean(axis=(0, 2)) - model.baseline[live]).mean())
    expected = [Digitiser(model, nsb_mhz, SEED).sky.shift for nsb_mhz in LEVELS]
    assert means == pytest.approx(expected, abs=0.15)
    drops = [Digitiser(model, level, SEED).sky for level in LEVELS]
    factor, _ = intensity_drop([sky.variance for sky in drops[1:]], tel_id)
    assert [sky.gain * sky.detection for sky in drops[1:]] == pytest.approx(factor, abs=0.01)


def test_the_noise_looks_like_that_of_real_pedestals(cameras, real_raw_file):
    with RawFile(real_raw_file) as raw:
        block = next(iter(raw.blocks()))
        real = block.samples[block.index.event_type == 8]
    std = real.std(axis=2).mean(axis=0)
    # pixels with stars or without voltage aside
    real = real[:, (std > 2.5) & (std < 9)]
    level = float(nsb_rate(np.median(real.std(axis=2).mean(axis=0) ** 2), 22))
    ours = Digitiser(cameras[22], level, SEED)(PhotoElectrons.empty(20), np.random.default_rng(1)).samples
    ours = ours[:, ours.std(axis=(0, 2)) > 1]
    assert 200 < level < 500
    assert _correlation(ours) == pytest.approx(_correlation(real), abs=0.03)
    assert 0 < _skewness(real) < _skewness(ours) < 0.6


def _residual(samples):
    return samples - samples.mean(axis=2, keepdims=True, dtype=np.float64)


def _correlation(samples):
    """Correlation of samples 4 to 32 ns apart."""
    rest = _residual(samples)
    power = (rest**2).mean()
    return [(rest[:, :, :-k] * rest[:, :, k:]).mean() / power for k in range(1, 9)]


def _skewness(samples):
    rest = _residual(samples)
    return (rest**3).mean() / (rest**2).mean() ** 1.5


def test_a_sky_brighter_than_ever_measured_is_refused(cameras):
    with pytest.raises(ValueError, match="never measured"):
        Digitiser(cameras[21], 5000, SEED)


def test_saturation_at_twelve_bits(digitiser):
    raw = digitiser(light_in([600], 4000, 3, np.random.default_rng(1)), np.random.default_rng(2))
    assert raw.samples.dtype == np.int16
    assert (raw.samples[:, 600] == ADC_MAX).sum() >= 9
    assert raw.samples.max() == ADC_MAX == 4095 and raw.samples.min() >= 0


def test_dead_and_absent_pixels(digitiser, cameras):
    raw = digitiser(light_in([DEAD, ABSENT, 5], 300, 4, np.random.default_rng(1)), np.random.default_rng(2))
    assert (raw.samples[:, DEAD] == round(cameras[21].baseline[DEAD])).all()
    assert (raw.samples[:, ABSENT] == 0).all() and np.isnan(raw.baseline[:, ABSENT]).all()
    assert (~raw.present).sum() == 4 and not raw.present[:, ABSENT].any()
    assert (raw.samples[:, 5].max(axis=1) > 1000).all()


def test_the_same_seed_gives_the_same_samples(cameras):
    light = light_in([7, 8, 9], 50, 5, np.random.default_rng(1))
    first, second = (Digitiser(cameras[22], 250, SEED)(light, np.random.default_rng(3)) for _ in range(2))
    assert first.samples.tobytes() == second.samples.tobytes()
    assert first.baseline.tobytes() == second.baseline.tobytes()
    other = Digitiser(cameras[22], 250, SEED)(light, np.random.default_rng(4))
    assert (other.samples != first.samples).mean() > 0.5


@pytest.mark.parametrize("crosstalk", [0.0, 0.105, 0.3])
def test_cross_talk_follows_the_borel_distribution(crosstalk):
    cells = fired_cells(200_000, crosstalk, np.random.default_rng(1))
    assert cells.min() == 1
    assert cells.mean() == pytest.approx(1 / (1 - crosstalk), rel=0.005)
    assert cells.var() == pytest.approx(crosstalk / (1 - crosstalk) ** 3, rel=0.05, abs=1e-12)
    assert (cells == 1).mean() == pytest.approx(np.exp(-crosstalk), abs=0.005)


def test_calibration_files_hold_the_truth_and_are_the_same_every_time(cameras, calibration, tmp_path):
    for tel_id, model in cameras.items():
        gains, window = write_calibration(model, tmp_path)
        assert gains.read_bytes() == (calibration / gains.name).read_bytes()
        assert window.read_bytes() == (calibration / window.name).read_bytes()
        read = load_pixel_calibration(gains)
        np.testing.assert_array_equal(read.good, model.calibrated)
        np.testing.assert_array_equal(read.dc_to_pe[read.good], model.dc_to_pe[model.calibrated])
        np.testing.assert_allclose(load_window_transmission(window), model.window, atol=1e-6)
        frame = pd.read_hdf(gains)
        assert len(frame) == 1296 and (frame["calib_flag"] == model.calibrated).all()
        assert frame["true_Xtalk"].mean() == pytest.approx(model.crosstalk)
        assert {21: 5, 22: 21}[tel_id] == (~read.good).sum()


def test_the_cables_of_the_date(cameras):
    channel = channel_of_pixel(22, START_NS)
    pixels, used = wired(cameras[22], START_NS)
    np.testing.assert_array_equal(used, channel)
    np.testing.assert_array_equal(pixels.gain[channel], cameras[22].gain)
    assert (pixels.gain != cameras[22].gain).sum() == 24


def test_patches_tile_the_camera():
    patches = patch_pixels()
    assert patches.shape == (432, 3)
    assert sorted(patches.ravel()) == list(range(1296))
    clusters = patch_clusters()
    assert (clusters >= 0).sum() == 2880
    assert all(patch in cluster for patch, cluster in enumerate(clusters))


def test_patches_are_those_of_the_real_camera(shared_data):
    lines = (shared_data / "calibration" / "digicam_pixels_mapping_V5T.txt").read_text().splitlines()
    table = np.array([line.split() for line in lines if line.strip() and line[0] != "#"], dtype=float)
    pixel, patch, neighbours = table[:, 8].astype(int), table[:, 11].astype(int), table[:, 16:22].astype(int)
    ours = np.empty(1296, dtype=int)
    ours[patch_pixels()] = np.arange(432)[:, np.newaxis]
    np.testing.assert_array_equal(ours[pixel], patch)
    clusters = patch_clusters()
    for number, around in zip(patch, neighbours, strict=True):
        assert set(clusters[number]) - {-1} == {number, *around} - {-1}


def test_the_trigger_sums_seven_patches(digitiser):
    rng = np.random.default_rng(1)
    cluster = patch_clusters()[200]
    spot = patch_pixels()[cluster].ravel()
    spread_out = np.arange(3, 1296, 1296 // 21)[:21]
    bright, scattered, nothing = (
        cluster_maxima(digitiser(light, rng)).mean()
        for light in (light_in(spot, 5, 20, rng), light_in(spread_out, 5, 20, rng), PhotoElectrons.empty(20))
    )
    # 105 photo-electrons at once: about a quarter of the charge falls into the highest sample
    expected = 105 * 23.5 * digitiser.pulse.values.max() * digitiser.sky.gain * digitiser.sky.detection
    assert 0.9 * expected < bright < 1.2 * expected
    assert scattered < 0.5 * bright and nothing < 0.3 * bright


@given(st.lists(st.integers(0, 60_000), max_size=30), st.sampled_from([1, 5_000, 20_000]))
def test_dead_time(times, dead_ns):
    times = np.sort(np.array(times, dtype=np.int64))
    expected, last = [], -(10**9)
    for time in times:
        expected.append(time - last >= dead_ns)
        last = time if expected[-1] else last
    assert survives_dead_time(times, dead_ns).tolist() == expected
