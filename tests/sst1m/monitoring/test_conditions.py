"""Night sky and mean pointing of a run."""

import numpy as np
import pytest

from sst1m.calib.pedestals import pedestal_samples
from sst1m.calib.vdrop import largest_variance, nsb_rate
from sst1m.monitoring import NightSkyMonitor, mean_pointing, observing_conditions
from sst1m.monitoring.nsb import NightSky
from sst1m.simulation.camera import Digitiser, camera_model
from sst1m.simulation.photoelectrons import PhotoElectrons

N_PIXELS = 1296


def pedestals(tel_id, nsb_mhz, n_events=40):
    """Return the fluctuation of simulated pedestals, and the pixels without calibration."""
    model = camera_model(tel_id, 5, dead=(3, 4), absent=(10,))
    none = PhotoElectrons.concatenate([]).with_darkness()
    raw = Digitiser(model, nsb_mhz, 5)(
        none.take(np.zeros(n_events, dtype=np.int64)), np.random.default_rng(7)
    )
    samples = pedestal_samples(raw.samples, raw.present, np.arange(n_events))
    return samples.std, ~model.calibrated


@pytest.mark.parametrize(("tel_id", "nsb_mhz"), [(21, 50.0), (22, 100.0), (21, 200.0), (22, 400.0)])
def test_the_night_sky_comes_back_on_the_scale_of_the_simulation(tel_id, nsb_mhz):
    std, bad = pedestals(tel_id, nsb_mhz)
    sky = NightSkyMonitor(tel_id, bad)
    sky.add(std[:25])
    sky.add(std[25:])
    assert sky.result().mhz == pytest.approx(nsb_mhz, rel=0.02)
    assert sky.result().note == ""


def test_bad_and_absent_pixels_do_not_count():
    bad = np.arange(N_PIXELS) >= 700
    std = np.where(bad, 1e4, 6.0)[np.newaxis]
    std[:, 5] = np.nan
    sky = NightSkyMonitor(21, bad)
    sky.add(std)
    assert sky.result().mhz == pytest.approx(float(nsb_rate(36.0, 21)))


def test_without_pedestals_the_night_sky_is_unknown_with_a_reason():
    sky = NightSkyMonitor(22, np.zeros(N_PIXELS, dtype=bool))
    sky.add(np.zeros((0, N_PIXELS)))
    assert sky.result() == NightSky(None, "not measured: no pedestal events")
    sky = NightSkyMonitor(22, np.ones(N_PIXELS, dtype=bool))
    sky.add(np.full((1, N_PIXELS), 6.0))
    assert sky.result() == NightSky(None, "not measured: no good pixel")


def test_a_sky_beyond_the_measured_range_is_a_limit():
    sky = NightSkyMonitor(21, np.zeros(N_PIXELS, dtype=bool))
    sky.add(np.full((3, N_PIXELS), 10.0))
    assert sky.result().mhz == pytest.approx(float(nsb_rate(largest_variance(21), 21)))
    assert sky.result().note.startswith("lower limit")


def test_mean_pointing_is_right_across_north():
    mean = mean_pointing(np.array([359.0, 1.0, 3.0]), np.array([60.0, 60.0, 60.0]))
    assert mean["az_deg"] == pytest.approx(1.0, abs=1e-9)
    assert mean["alt_deg"] == pytest.approx(60.0, abs=0.05)
    over = mean_pointing(np.array([0.0, 180.0]), np.array([89.0, 89.0]))
    assert over["alt_deg"] == pytest.approx(90.0)
    assert mean_pointing(np.zeros(0), np.zeros(0)) is None


def test_conditions_of_a_run_leave_out_events_of_a_wrong_clock():
    time_ns = np.append(np.sort(np.random.default_rng(1).integers(0, 10**9, 200)), 10**15)
    azimuth = np.append(np.full(200, 180.0), 20.0)
    facts = observing_conditions(
        time_ns, np.zeros(201, dtype=bool), azimuth, np.full(201, 60.0), NightSky(90.0)
    )
    assert facts["mean_pointing"] == pytest.approx({"alt_deg": 60.0, "az_deg": 180.0})
    assert facts["nsb_mhz"] == 90.0
    assert facts["live_time"]["ontime_s"] < 1
