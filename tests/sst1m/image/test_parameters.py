"""Image parameters against ctapipe's ImageProcessor, event by event and column by column."""

import astropy.units as u
import numpy as np
import pytest
from ctapipe.fitting import lts_linear_regression
from ctapipe.image.image_processor import DEFAULT_IMAGE_PARAMETERS_CAMFRAME

from sst1m.image import (
    PARAMETER_COLUMNS,
    CleaningOptions,
    clean_block,
    extract_block,
    find_saturated_pulses,
    interpolate_bad_pixels,
    parametrize_block,
)

SEED = 20240304
EXTRA = ("t_rms", "t_rms_w", "t_lac", "len_st")
FLOAT32_EPS = np.finfo(np.float32).eps


def event_ids(block):
    return np.arange(len(block.image)) * 3 + 5


@pytest.fixture(scope="module")
def ours(parameter_block, tables):
    return parametrize_block(*parameter_block, tables, seed=SEED, event_ids=event_ids(parameter_block))


def refused_by_ctapipe(block):
    """Return the events that have a negative charge among their pixels, where ctapipe raises."""
    return ((block.image < 0) & block.mask).any(axis=1)


def differences(ours, event, expected, tolerance):
    """Return the columns that differ, other than those that ctapipe leaves to rounding errors."""
    # with three pixels every start of the timing fit goes through two of them exactly
    skipped = "camera_frame_timing" if ours["morphology_n_pixels"][event] == 3 else "-"
    return [
        (event, column, float(ours[column][event]), float(value))
        for column, value in expected.items()
        if not column.startswith(skipped)
        and not np.isclose(ours[column][event], value, rtol=1e-5, atol=tolerance(column), equal_nan=True)
    ]


def test_columns_are_those_of_ctapipe(ours, ctapipe_parameters, parameter_block):
    expected = ctapipe_parameters(*(a[100] for a in parameter_block), seed=1, event_id=1)
    assert list(ours) == list(PARAMETER_COLUMNS) == [*expected, *EXTRA]
    assert all(ours[name].dtype == column.dtype for name, column in PARAMETER_COLUMNS.items())
    assert all(ours[name].shape == (len(parameter_block.image),) for name in PARAMETER_COLUMNS)
    for name, value in expected.items():
        assert np.asarray(value).dtype == PARAMETER_COLUMNS[name].dtype, name


def test_units_are_those_of_ctapipe():
    for group in DEFAULT_IMAGE_PARAMETERS_CAMFRAME.values():
        for name, field in group.fields.items():
            column = PARAMETER_COLUMNS[f"{group.prefix}_{name}"]
            assert u.Unit(column.unit) == u.Unit(field.unit or "")
            assert np.array_equal(
                column.missing, group[name].value if field.unit else group[name], equal_nan=True
            )


def test_all_kinds_of_images_in_double_precision(ours, ctapipe_parameters, parameter_block):
    differing, n_compared = [], 0
    image, time = parameter_block.image.astype(np.float64), parameter_block.peak_time.astype(np.float64)
    for event in np.flatnonzero(~refused_by_ctapipe(parameter_block)):
        mask = parameter_block.mask[event]
        expected = ctapipe_parameters(image[event], time[event], mask, seed=SEED, event_id=event * 3 + 5)
        # angles and positions may pass through zero
        differing += differences(ours, event, expected, lambda column: 1e-9)
        n_compared += np.isfinite(expected["camera_frame_hillas_intensity"])
    assert differing == []
    assert n_compared > 300


def rounding_of_single_precision(peak_time):
    """Return a function: the error that float32 leaves in the moments of the arrival times."""
    relative = 10 * FLOAT32_EPS * np.abs(peak_time).max(initial=1) / max(peak_time.std(), 1e-3)

    def tolerance(column):
        if column == "peak_time_std":
            return 10 * FLOAT32_EPS * np.abs(peak_time).max(initial=1)
        if column.endswith(("_skewness", "_kurtosis")) and "hillas" not in column:
            return 1e-5 + relative * (30 if column.endswith("kurtosis") else 10)
        return 1e-9

    return tolerance


def test_all_kinds_of_images_in_single_precision(ours, ctapipe_parameters, parameter_block):
    """ctapipe itself computes the statistics in float32; their rounding is the one tolerance more."""
    differing = []
    usable = ~refused_by_ctapipe(parameter_block) & (ours["morphology_n_pixels"] > 3) & (ours["t_lac"] > 0)
    for event in np.flatnonzero(usable):
        image, time, mask = (a[event] for a in parameter_block)
        expected = ctapipe_parameters(image, time, mask, seed=SEED, event_id=event * 3 + 5)
        differing += differences(ours, event, expected, rounding_of_single_precision(time[mask]))
    assert differing == []
    assert usable.sum() > 250


def test_real_events(tables, ctapipe_parameters, real_events):
    samples, baseline = real_events
    block = extract_block(samples, baseline)
    image = block.charge * np.float32(1.02 / 20)
    options = CleaningOptions(min_picture_neighbors=1, time_limit=12.0)
    mask = clean_block(image, block.peak_time, tables, options, 8.0)
    ours = parametrize_block(image, block.peak_time, mask, tables, seed=SEED, event_ids=np.arange(len(image)))
    differing = []
    for event in range(len(image)):
        time = block.peak_time[event].astype(np.float64)
        expected = ctapipe_parameters(
            image[event].astype(np.float64), time, mask[event], seed=SEED, event_id=event
        )
        differing += differences(ours, event, expected, lambda column: 1e-9)
    assert differing == []
    assert np.isfinite(ours["camera_frame_hillas_length"]).sum() > 5


def test_events_without_parameters(ours, parameter_block):
    n_pixels = parameter_block.mask.sum(axis=1)
    size = np.where(parameter_block.mask, parameter_block.image, 0).sum(axis=1)
    without = (n_pixels < 2) | ~(size > 0) | refused_by_ctapipe(parameter_block)
    assert without.sum() > 30
    for name, column in PARAMETER_COLUMNS.items():
        if name not in EXTRA:
            missing = ours[name] == -1 if column.dtype == "int64" else np.isnan(ours[name])
            assert missing[without].all(), name
    assert (ours["morphology_n_pixels"][~without] == n_pixels[~without]).all()


def test_spread_of_arrival_times(ours, parameter_block):
    for event, (image, time, mask) in enumerate(zip(*parameter_block, strict=True)):
        q, t = image[mask].astype(np.float64), time[mask].astype(np.float64)
        got = [ours[name][event] for name in EXTRA]
        if len(q) == 0:
            assert np.isnan(got).all()
            continue
        weighted = np.sqrt(np.sum(q * (t - t.mean()) ** 2) / q.sum()) if q.sum() > 0 else np.nan
        defined = len(q) > 1 and q.std() > 0 and t.std() > 0
        correlation = np.corrcoef(t, q)[0, 1] if defined else np.nan
        expected = [t.std(), weighted, np.ptp(t), correlation]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-9, equal_nan=True)


def test_result_does_not_depend_on_blocks_or_order(ours, parameter_block, tables):
    ids = event_ids(parameter_block)
    order = np.random.default_rng(1).permutation(len(ids))
    for part in np.array_split(order, 9):
        block = [a[part] for a in parameter_block]
        again = parametrize_block(*block, tables, seed=SEED, event_ids=ids[part])
        for name in PARAMETER_COLUMNS:
            np.testing.assert_array_equal(again[name], ours[name][part], err_msg=name)


def test_no_events(tables):
    empty = np.zeros((0, 1296), dtype=np.float32)
    columns = parametrize_block(empty, empty, empty > 0, tables, seed=SEED)
    assert all(len(values) == 0 for values in columns.values())


def _line_and_residual(ours, event, block, geometry):
    mask = block.mask[event]
    psi = np.deg2rad(ours["camera_frame_hillas_psi"][event])
    dx = geometry.pix_x.to_value("m")[mask] - ours["camera_frame_hillas_x"][event]
    dy = geometry.pix_y.to_value("m")[mask] - ours["camera_frame_hillas_y"][event]
    along, time = dx * np.cos(psi) + dy * np.sin(psi), block.peak_time[event][mask].astype(np.float64)
    slope, intercept = (ours[f"camera_frame_timing_{name}"][event] for name in ("slope", "intercept"))
    squared = np.sort((slope * along + intercept - time) ** 2)
    return along, time, slope, squared[: int(0.85 * len(squared))].sum()


def test_timing_is_one_of_the_answers_of_ctapipe(ours, parameter_block, geometry):
    """Whatever ctapipe's generator draws, our line is among its lines, and mostly the best of them."""
    n_best, events = 0, np.flatnonzero(np.isfinite(ours["camera_frame_timing_slope"]))[::4]
    for event in events:
        along, time, slope, residual = _line_and_residual(ours, event, parameter_block, geometry)
        # of three pixels each pair is a perfect fit, so that any single start may win
        n_starts = 1 if len(time) == 3 else 5
        fits = [lts_linear_regression(along, time, n_starts, rng=np.random.default_rng(i)) for i in range(60)]
        assert min(abs(beta[0] - slope) for beta, _ in fits) <= 1e-5 * abs(slope) + 1e-6
        n_best += residual <= min(error for _, error in fits) * (1 + 1e-9) + 1e-9
    assert len(events) > 80
    assert n_best > 0.8 * len(events)


def test_seed_and_event_choose_the_starts(parameter_block, tables):
    timing = "camera_frame_timing_slope"
    slopes = [
        parametrize_block(
            *parameter_block, tables, seed=seed, event_ids=np.full(len(parameter_block.image), id_)
        )
        for seed, id_ in [(1, 1), (1, 1), (2, 1), (1, 2)]
    ]
    np.testing.assert_array_equal(slopes[0][timing], slopes[1][timing])
    for other in slopes[2:]:
        assert not np.array_equal(slopes[0][timing], other[timing], equal_nan=True)
        for name in PARAMETER_COLUMNS:
            if not name.startswith("camera_frame_timing"):
                np.testing.assert_array_equal(slopes[0][name], other[name])


def test_axis_of_symmetric_images(tables, geometry):
    """Where ctapipe leaves the axis to rounding errors, ours has one agreed direction."""
    neighbors = geometry.neighbor_matrix
    mask = np.zeros((2, 1296), dtype=bool)
    mask[0, 600] = mask[0, neighbors[600]] = True
    same_x = np.abs(tables.x - tables.x[600]) < 1e-6
    mask[1] = same_x & (neighbors[600] | (np.arange(1296) == 600))
    image, time = np.full((2, 1296), 7, dtype=np.float32), np.zeros((2, 1296), dtype=np.float32)
    ours = parametrize_block(image, time, mask, tables, seed=SEED)
    assert mask.sum(axis=1).tolist() == [7, 3]
    assert ours["camera_frame_hillas_psi"].tolist() == [0, 90]
    assert ours["camera_frame_hillas_width"][0] == pytest.approx(ours["camera_frame_hillas_length"][0])
    assert ours["camera_frame_hillas_width"][1] == 0
    assert np.isnan(ours["camera_frame_hillas_width_uncertainty"][1])


def test_arrays_must_fit_each_other(tables, parameter_block):
    image, peak_time, mask = (a[:4] for a in parameter_block)
    baseline = np.zeros(image.shape)
    samples = np.zeros((*image.shape, 50), dtype=np.int16)
    for refused in [
        lambda: parametrize_block(image, peak_time[:3], mask, tables, seed=SEED),
        lambda: parametrize_block(image[:, 1:], peak_time[:, 1:], mask[:, 1:], tables, seed=SEED),
        lambda: parametrize_block(image, peak_time, mask, tables, seed=SEED, event_ids=[1, 2]),
        lambda: clean_block(image, peak_time[:3], tables, CleaningOptions(), 8.0),
        lambda: extract_block(samples, baseline[:3]),
        lambda: find_saturated_pulses(samples, baseline[:, 1:], image),
        lambda: interpolate_bad_pixels(image.copy(), peak_time.copy(), mask[:2], tables),
    ]:
        with pytest.raises(ValueError, match="shape"):
            refused()
