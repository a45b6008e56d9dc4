"""Disp there and back, and what two telescopes say together."""

import numpy as np
import pytest

from sst1m.io.dl2_columns import SIGN_COMBINATIONS
from sst1m.reco.combine import combine_directions, mean_and_variance
from sst1m.reco.directions import camera_to_direction, direction_vector, horizontal, separation
from sst1m.reco.disp import disp_of_source, source_from_disp, source_in_camera


@pytest.mark.parametrize(("alt", "az"), [(70.0, 180.0), (60.0, 359.9), (89.5, 10.0)])
def test_source_on_the_axis_comes_back(alt, az):
    rng = np.random.default_rng(3)
    cog = rng.uniform(-0.3, 0.3, (2, 100))
    psi, norm = rng.uniform(-np.pi / 2, np.pi / 2, 100), rng.uniform(0.01, 0.2, 100)
    sign = rng.choice([-1, 1], 100)
    x, y = source_from_disp(*cog, psi, norm, sign)
    disp = disp_of_source(x, y, *cog, psi)
    np.testing.assert_allclose(disp.norm, norm)
    np.testing.assert_array_equal(disp.sign, sign)
    np.testing.assert_allclose(disp.miss, 0, atol=1e-15)
    np.testing.assert_allclose((disp.dx, disp.dy), (x - cog[0], y - cog[1]))
    pointing = np.deg2rad([alt, az])
    sky = horizontal(camera_to_direction(x, y, 5.69705, *pointing))
    np.testing.assert_allclose(source_in_camera(*sky, 5.69705, *pointing), (x, y), atol=1e-9)


def test_miss_is_the_distance_from_the_axis():
    disp = disp_of_source(*(np.array([v]) for v in (0.1, 0.03, 0.0, 0.0, 0.0)))
    assert (disp.norm[0], disp.sign[0], disp.miss[0]) == pytest.approx((0.1, 1, 0.03))


def test_mean_and_both_variances():
    result = mean_and_variance(np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([[3.0, 1.0], [1.0, 9.0]]))
    np.testing.assert_allclose(result.mean, [1.5, 2.0])
    np.testing.assert_allclose(result.variance, [2.0, 0.0])
    np.testing.assert_allclose(result.weighted_variance, [0.75 * 0.25 + 0.25 * 2.25, 0.0])


@pytest.mark.parametrize("number", range(4))
def test_nearest_pair_is_chosen_and_named(number):
    # around north: an average of azimuths would look south
    source = np.deg2rad([60.0, 359.95])
    far = np.deg2rad([[61.0, 2.0], [58.5, 357.0]])
    near = np.deg2rad([[60.0, 359.9], [60.0, 0.1]])
    candidates = np.empty((1, 2, 2, 3))
    for tel, sign in enumerate(SIGN_COMBINATIONS[number]):
        side = 0 if sign == 1 else 1
        candidates[0, tel, side] = direction_vector(*near[tel])
        candidates[0, tel, 1 - side] = direction_vector(*far[tel])
    found = combine_directions(candidates, np.array([[3.0, 1.0]]))
    assert found.combination.dtype == np.int8
    assert found.combination[0] == number
    assert np.rad2deg(found.distance[0]) == pytest.approx(0.2 * np.cos(np.deg2rad(60)), rel=1e-4)
    assert np.rad2deg(separation(found.direction[0], direction_vector(*source))) < 1e-4
    np.testing.assert_allclose(found.chosen[0, 1], direction_vector(*near[1]))


def test_no_events_no_directions():
    found = combine_directions(np.empty((0, 2, 2, 3)), np.empty((0, 2)))
    assert found.direction.shape == (0, 3)
    assert mean_and_variance(np.empty((0, 2)), np.empty((0, 2))).mean.shape == (0,)
