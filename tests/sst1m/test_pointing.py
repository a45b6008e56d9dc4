"""Where the telescope looks."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord, angular_separation
from astropy.utils import iers

from sst1m.instrument import telescope_location
from sst1m.pointing import Pointing, horizontal_pointing, offline_earth_orientation
from sst1m.times import ns_to_time, utc_text_to_ns

CRAB = Pointing(83.633, 22.014, "header")
#: 50 degrees from the pole on the other side: passes the meridian in the north, at azimuth 0.
NORTHERN = Pointing(200.0, 75.0, "header")
NIGHT = utc_text_to_ns("2025-01-15T18:00:00") + np.arange(0, 12 * 3600, 400) * 1_000_000_000


def _direct(pointing, tel_id, time_ns):
    """Return the direction without any interpolation."""
    with offline_earth_orientation():
        frame = AltAz(obstime=ns_to_time(time_ns), location=telescope_location(tel_id))
        axis = SkyCoord(pointing.ra_deg * u.deg, pointing.dec_deg * u.deg)
        return axis.transform_to(frame)


@pytest.mark.parametrize("tel_id", [21, 22])
@pytest.mark.parametrize("pointing", [CRAB, NORTHERN])
def test_interpolation_changes_nothing_that_matters(pointing, tel_id):
    azimuth, altitude = horizontal_pointing(pointing, tel_id, NIGHT)
    expected = _direct(pointing, tel_id, NIGHT)
    distance = angular_separation(azimuth, altitude, expected.az.rad, expected.alt.rad)
    assert np.rad2deg(distance).max() * 3600 < 0.1


def test_the_crab_culminates_in_the_south():
    azimuth, altitude = np.rad2deg(horizontal_pointing(CRAB, 21, NIGHT))
    highest = np.argmax(altitude)
    # 90 - latitude + declination
    assert altitude[highest] == pytest.approx(90 - 49.9118 + 22.014, abs=0.05)
    assert azimuth[highest] == pytest.approx(180, abs=2)
    assert (np.diff(azimuth) > 0).all(), "from east to west"


def test_azimuth_stays_in_its_circle_when_the_north_is_passed():
    azimuth, altitude = np.rad2deg(horizontal_pointing(NORTHERN, 21, NIGHT))
    assert ((azimuth >= 0) & (azimuth < 360)).all()
    assert azimuth.min() < 5
    assert azimuth.max() > 355
    east, north = np.sin(np.deg2rad(azimuth)), np.cos(np.deg2rad(azimuth))
    assert np.hypot(np.diff(east), np.diff(north)).max() < 0.1, "no jump in direction"
    assert altitude.min() > 30


def test_two_telescopes_see_almost_the_same_direction():
    first, second = (np.array(horizontal_pointing(CRAB, tel_id, NIGHT)) for tel_id in (21, 22))
    difference = np.rad2deg(np.abs(first - second)).max() * 3600
    assert 0.5 < difference < 20


def test_a_time_has_the_same_direction_alone_and_among_others():
    together = np.array(horizontal_pointing(CRAB, 21, NIGHT))
    alone = np.array([horizontal_pointing(CRAB, 21, NIGHT[i : i + 1]) for i in (0, 7, 50)])[..., 0].T
    np.testing.assert_allclose(np.rad2deg(together[:, [0, 7, 50]] - alone) * 3600, 0, atol=0.02)


def test_no_times_no_directions():
    azimuth, altitude = horizontal_pointing(CRAB, 21, np.empty(0, dtype=np.int64))
    assert azimuth.shape == altitude.shape == (0,)


def test_the_network_is_never_asked(monkeypatch):
    """On farm nodes a download that cannot succeed took minutes per run."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(iers.IERS_Auto, "iers_table", None)
    monkeypatch.setattr(iers.conf, "auto_download", True)
    for module in ("astropy.utils.iers.iers.download_file", "astropy.utils.data.download_file"):
        monkeypatch.setattr(module, forbidden)
    azimuth, _ = horizontal_pointing(CRAB, 21, np.array([utc_text_to_ns("2026-11-20T22:00:00")]))
    assert np.isfinite(azimuth).all()
    assert iers.conf.auto_download, "the setting of others stays as it was"
