"""Bad pixels against ctapipe's NeighborAverage."""

import numpy as np
import pytest
from ctapipe.image import NeighborAverage

from sst1m.image import interpolate_bad_pixels

TEL_ID = 21


@pytest.fixture
def images():
    rng = np.random.default_rng(11)
    return rng.normal(5, 3, (12, 1296)).astype(np.float32), rng.uniform(0, 196, (12, 1296)).astype(np.float32)


def by_ctapipe(subarray, charge, peak_time, bad):
    handler = NeighborAverage(subarray)
    pairs = [
        handler(TEL_ID, q.copy(), t.copy(), b[np.newaxis])
        for q, t, b in zip(charge, peak_time, bad, strict=True)
    ]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def test_different_pixels_in_each_event(subarray, tables, images):
    charge, peak_time = images
    fractions = np.array([0, 0.002, 0.01, 0.1, 0.5, 0.9] * 2)[:, np.newaxis]
    bad = np.random.default_rng(2).random(charge.shape) < fractions
    bad[-1] = True
    charge[bad] = np.nan
    expected = by_ctapipe(subarray, charge, peak_time, bad)
    interpolate_bad_pixels(charge, peak_time, bad, tables)
    np.testing.assert_allclose(charge, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(peak_time, expected[1], rtol=1e-5)
    assert (charge[-1] == 0).all()


def test_the_same_pixels_in_all_events(subarray, tables, images):
    charge, peak_time = images
    bad = np.zeros(1296, dtype=bool)
    # a whole neighbourhood, so that its middle has no valid neighbour, the camera corner, and single ones
    middle = 600
    bad[[middle, 0, 17, 1295]] = True
    bad[tables.neighbors[tables.first_neighbor[middle] : tables.first_neighbor[middle + 1]]] = True
    expected = by_ctapipe(subarray, charge, peak_time, np.tile(bad, (12, 1)))
    interpolate_bad_pixels(charge, peak_time, bad, tables)
    np.testing.assert_allclose(charge, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(peak_time, expected[1], rtol=1e-5)
    assert (charge[:, middle] == 0).all() and (peak_time[:, middle] == 0).all()
