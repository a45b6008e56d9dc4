"""Directions compared with ctapipe's and astropy's frames, also where azimuths wrap and at the zenith."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import CameraFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from sst1m.instrument import telescope_location
from sst1m.pointing import offline_earth_orientation
from sst1m.reco.directions import (
    camera_to_direction,
    direction_to_camera,
    direction_vector,
    horizontal,
    horizontal_to_icrs,
    mean_direction,
    separation,
)
from sst1m.times import ns_to_time

FOCAL_LENGTH = 5.69705
#: Altitude and azimuth: usual, on both sides of north, at the zenith, near the horizon.
POINTINGS = [
    (70.0, 180.0),
    (45.0, 0.0),
    (60.0, 359.99),
    (60.0, 0.01),
    (89.99, 123.0),
    (90.0, 30.0),
    (5.0, 270.0),
]


def _camera_points(n_points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(1).uniform(-0.5, 0.5, (2, n_points)))


@pytest.mark.filterwarnings("ignore::ctapipe.coordinates.MissingFrameAttributeWarning")
@pytest.mark.parametrize(("alt", "az"), POINTINGS)
def test_camera_looks_where_ctapipe_says(alt, az):
    x, y = _camera_points()
    axis = SkyCoord(alt=alt * u.deg, az=az * u.deg, frame=AltAz())
    frame = CameraFrame(focal_length=FOCAL_LENGTH * u.m, telescope_pointing=axis)
    expected = SkyCoord(x * u.m, y * u.m, frame=frame).transform_to(AltAz())
    found = camera_to_direction(x, y, FOCAL_LENGTH, np.deg2rad(alt), np.deg2rad(az))
    assert separation(found, direction_vector(expected.alt.rad, expected.az.rad)).max() < 1e-13
    found_alt, found_az = horizontal(found)
    np.testing.assert_allclose(found_alt, expected.alt.rad, atol=1e-7)
    off_zenith = np.cos(found_alt) > 1e-3
    np.testing.assert_allclose(found_az[off_zenith], expected.az.rad[off_zenith], atol=1e-10)
    back = direction_to_camera(found, FOCAL_LENGTH, np.deg2rad(alt), np.deg2rad(az))
    np.testing.assert_allclose(back, (x, y), atol=1e-12)


def test_azimuth_stays_below_360():
    _, az = horizontal(np.array([[1.0, 1e-20, 0.5], [1.0, 0.0, 0.5], [1.0, -1e-20, 0.5]]))
    assert ((az >= 0) & (az < 2 * np.pi)).all()


def test_mean_direction_of_two_sides_of_north_is_north():
    pair = direction_vector(np.deg2rad([50.0, 50.0]), np.deg2rad([359.0, 1.0]))
    alt, az = horizontal(mean_direction(pair, np.ones(2)))
    assert np.rad2deg(az) % 360 == pytest.approx(0, abs=1e-9)
    # the great circle between them runs a little higher
    assert 50 < np.rad2deg(alt) < 50.01


def test_separation_of_close_and_of_opposite_directions():
    base = direction_vector(0.3, 1.0)
    assert separation(base, direction_vector(0.3 + 1e-9, 1.0)) == pytest.approx(1e-9, rel=1e-6)
    assert separation(base, -base) == pytest.approx(np.pi)


@pytest.mark.parametrize("tel_id", [21, 22])
def test_sky_positions_at_each_events_own_time(tel_id):
    rng = np.random.default_rng(2)
    # a night, out of order, with a gap
    time_ns = 1_736_971_237_000_000_000 + np.sort(rng.integers(0, 9 * 3600, 60)) * 1_000_000_000
    time_ns = time_ns[rng.permutation(60)]
    alt, az = rng.uniform(0.5, 1.5, 60), rng.uniform(0, 2 * np.pi, 60)
    ra, dec = horizontal_to_icrs(alt, az, tel_id, time_ns)
    with offline_earth_orientation():
        frame = AltAz(obstime=ns_to_time(time_ns), location=telescope_location(tel_id))
        exact = SkyCoord(alt=alt * u.rad, az=az * u.rad, frame=frame).icrs
    distance = separation(direction_vector(dec, ra), direction_vector(exact.dec.rad, exact.ra.rad))
    assert np.rad2deg(distance).max() * 3600 < 0.001


def test_no_events_no_positions():
    nothing = np.empty(0)
    ra, dec = horizontal_to_icrs(nothing, nothing, 21, np.empty(0, dtype=np.int64))
    assert len(ra) == len(dec) == 0


ALTITUDES = st.floats(-89.9, 90.0) | st.sampled_from([90.0, 89.9999999, 0.0])
AZIMUTHS = st.floats(0.0, 359.999999) | st.sampled_from([0.0, 180.0, 359.99999999])


@settings(max_examples=200, deadline=None)
@given(alt=ALTITUDES, az=AZIMUTHS)
def test_angles_come_back_from_vectors_everywhere(alt, az):
    direction = direction_vector(np.deg2rad([alt]), np.deg2rad([az]))
    found = horizontal(direction)
    assert 0 <= found[1][0] < 2 * np.pi
    assert separation(direction_vector(*found), direction)[0] < 1e-12
    # far from the zenith the angles themselves come back, on the circle
    if abs(alt) < 89:
        assert abs(np.rad2deg(found[0][0]) - alt) < 1e-9
        assert abs((np.rad2deg(found[1][0]) - az + 180) % 360 - 180) < 1e-9


@settings(max_examples=100, deadline=None)
@given(alt=st.floats(20.0, 90.0), az=AZIMUTHS, turn=st.floats(0.0, 360.0), distance=st.floats(0.0, 4.0))
def test_separations_do_not_depend_on_where_they_are(alt, az, turn, distance):
    """Also across the north and over the zenith, where differences of angles are of no use."""
    axis, elsewhere = (np.deg2rad(alt), np.deg2rad(az)), (0.5, 3.0)
    radius = FOCAL_LENGTH * np.deg2rad(distance)
    x, y = radius * np.cos(np.deg2rad([turn])), radius * np.sin(np.deg2rad([turn]))
    seen = camera_to_direction(x, y, FOCAL_LENGTH, *axis)
    found, expected = (
        separation(camera_to_direction(x, y, FOCAL_LENGTH, *at), direction_vector([at[0]], [at[1]]))
        for at in (axis, elsewhere)
    )
    assert abs(found[0] - expected[0]) < 1e-12
    assert abs(np.rad2deg(found[0]) - distance) < 0.01
    np.testing.assert_allclose(direction_to_camera(seen, FOCAL_LENGTH, *axis), (x, y), atol=1e-11)
