"""Surviving pixels against ctapipe's cleaning functions, pixel by pixel."""

from itertools import product

import numpy as np
import pytest
from ctapipe.image import apply_time_delta_cleaning, largest_island, number_of_islands, tailcuts_clean

from sst1m.image import CleaningOptions, clean_block


def by_ctapipe(geometry, image, peak_time, options, picture):
    mask = tailcuts_clean(
        geometry,
        image,
        picture_thresh=picture,
        boundary_thresh=options.boundary_threshold,
        keep_isolated_pixels=options.keep_isolated,
        min_number_picture_neighbors=options.min_picture_neighbors,
    )
    if options.time_limit is not None:
        mask = apply_time_delta_cleaning(
            geometry, mask, peak_time, options.min_time_neighbors, options.time_limit
        )
    if options.only_main_island:
        mask = largest_island(number_of_islands(geometry, mask)[1])
    return mask


@pytest.fixture(scope="module")
def images(shower_block):
    """Return every third shower, with some pixels exactly at the thresholds and some unknown."""
    image, peak_time = shower_block[0][::3].copy(), shower_block[1][::3].copy()
    rng = np.random.default_rng(4)
    image[rng.random(image.shape) < 0.02] = 8
    image[rng.random(image.shape) < 0.02] = 4
    image[rng.random(image.shape) < 0.001] = np.nan
    peak_time[rng.random(image.shape) < 0.01] = np.nan
    peak_time[: len(image) // 2] = np.round(peak_time[: len(image) // 2] / 4) * 4
    return image, peak_time


@pytest.fixture(scope="module")
def thresholds():
    """Return four rows of picture thresholds, raised in different pixels."""
    rng = np.random.default_rng(8)
    return np.maximum(8, rng.normal(3, 2, (4, 1296)) + 2.5 * rng.gamma(2, 1, (4, 1296))).astype(np.float32)


@pytest.mark.parametrize(
    ("neighbors", "isolated", "time", "island"),
    list(product((0, 1, 2, 3), (False, True), ((None, 1), (8.0, 1), (4.7, 2)), (False, True))),
)
def test_the_same_pixels_as_ctapipe(geometry, tables, images, thresholds, neighbors, isolated, time, island):
    options = CleaningOptions(
        min_picture_neighbors=neighbors,
        keep_isolated=isolated,
        time_limit=time[0],
        min_time_neighbors=time[1],
        only_main_island=island,
    )
    chosen = slice(neighbors, None, 4)
    image, peak_time = images[0][chosen], images[1][chosen]
    row = np.arange(len(image)) % 4
    mask = clean_block(image, peak_time, tables, options, thresholds, row)
    for event in range(len(image)):
        expected = by_ctapipe(geometry, image[event], peak_time[event], options, thresholds[row[event]])
        np.testing.assert_array_equal(mask[event], expected)
    assert mask.any(axis=1).sum() > 10


def test_plain_tail_cuts_with_one_threshold(geometry, tables, images):
    options = CleaningOptions(boundary_threshold=4.5, min_picture_neighbors=1, time_limit=None)
    mask = clean_block(*images, tables, options, 7.0)
    expected = [tailcuts_clean(geometry, image, 7.0, 4.5, False, 1) for image in images[0]]
    np.testing.assert_array_equal(mask, expected)


def test_boundary_above_picture(geometry, tables, images):
    options = CleaningOptions(boundary_threshold=9.0, min_picture_neighbors=1, time_limit=None)
    mask = clean_block(*images, tables, options, 6.0)
    expected = [tailcuts_clean(geometry, image, 6.0, 9.0, False, 1) for image in images[0]]
    np.testing.assert_array_equal(mask, expected)


def test_result_does_not_depend_on_blocks(tables, images, thresholds):
    image, peak_time = images
    row = np.arange(len(image)) % 4
    options = CleaningOptions(only_main_island=True)
    whole = clean_block(image, peak_time, tables, options, thresholds, row)
    parts = [
        clean_block(image[i : i + 7], peak_time[i : i + 7], tables, options, thresholds, row[i : i + 7])
        for i in range(0, len(image), 7)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("row", [[0], [0, 0, 0, 4], [-1, 0, 0, 0], None])
def test_each_event_needs_a_row_of_thresholds(tables, thresholds, row):
    image = np.zeros((4, 1296), dtype=np.float32)
    if row is None:
        assert not clean_block(image, image, tables, CleaningOptions(), thresholds, row).any()
    else:
        with pytest.raises(ValueError, match="threshold_row"):
            clean_block(image, image, tables, CleaningOptions(), thresholds, row)
