"""Moments of the charge distribution of cleaned images, after Hillas."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .selection import SelectedPixels
from .tables import CameraTables

__all__ = ["HILLAS_NAMES", "hillas_block"]

#: Rows of the result, angles in radians.
HILLAS_NAMES = (
    "intensity",
    "skewness",
    "kurtosis",
    "x",
    "y",
    "r",
    "phi",
    "length",
    "length_uncertainty",
    "width",
    "width_uncertainty",
    "psi",
    "psi_uncertainty",
    "transverse_cog_uncertainty",
)

# ctapipe rounds smaller variances to zero, so that a line of pixels has width 0 and not NaN
_ZERO_VARIANCE = np.finfo(np.float64).eps
_VERTICAL = 1e-9
_ROUND = 1e-12


@njit
def _first_moments(x, y, charge):
    size = sum_x = sum_y = 0.0
    for i in range(len(charge)):
        size += charge[i]
        sum_x += charge[i] * x[i]
        sum_y += charge[i] * y[i]
    return size, sum_x / size, sum_y / size


@njit
def _covariance(x, y, charge, size, cog_x, cog_y):
    var_x = var_y = cov_xy = 0.0
    for i in range(len(charge)):
        dx, dy = x[i] - cog_x, y[i] - cog_y
        var_x += charge[i] * dx * dx
        var_y += charge[i] * dy * dy
        cov_xy += charge[i] * dx * dy
    return var_x / size, var_y / size, cov_xy / size


@njit(error_model="numpy")
def _principal_axes(var_x, var_y, cov_xy):
    # The smaller eigenvalue as determinant over the larger, in the order that avoids overflow and most of the
    # cancellation (the 2x2 step of LAPACK, dlaev2).
    large = 0.5 * (var_x + var_y + np.hypot(var_x - var_y, 2 * cov_xy))
    small = max(var_x, var_y) / large * min(var_x, var_y) - cov_xy / large * cov_xy
    if not abs(large) > _ZERO_VARIANCE:
        return 0.0, 0.0, np.nan
    length = np.sqrt(large)
    width = np.sqrt(small) if abs(small) > _ZERO_VARIANCE else 0.0
    psi = 0.5 * np.arctan2(2 * cov_xy, var_x - var_y)
    # where rounding errors would choose the axis or its name, one is chosen here
    if large - small < _ROUND * large:
        psi = 0.0
    elif psi < _VERTICAL - 0.5 * np.pi:
        psi = 0.5 * np.pi
    return length, width, psi


@njit(error_model="numpy")
def _moments_along_axis(x, y, charge, cog_x, cog_y, psi, size, length):
    third = fourth = 0.0
    cos_psi, sin_psi = np.cos(psi), np.sin(psi)
    for i in range(len(charge)):
        along = (x[i] - cog_x) * cos_psi + (y[i] - cog_y) * sin_psi
        third += charge[i] * along**3
        fourth += charge[i] * along**4
    return third / size / length**3, fourth / size / length**4


@njit(error_model="numpy")
def _axis_uncertainties(x, y, density, cog_x, cog_y, psi, length, width):
    # weighted straight-line fit of the transverse on the longitudinal coordinate
    s0 = s1 = s2 = t0 = t1 = 0.0
    cos_psi, sin_psi = np.cos(psi), np.sin(psi)
    for i in range(len(density)):
        dx, dy = x[i] - cog_x, y[i] - cog_y
        along, across = dx * cos_psi + dy * sin_psi, dy * cos_psi - dx * sin_psi
        s0 += density[i]
        s1 += density[i] * along
        s2 += density[i] * along * along
        t0 += density[i] * across
        t1 += density[i] * along * across
    determinant = s0 * s2 - s1 * s1
    tilt = (s0 * t1 - s1 * t0) / determinant
    elongation = 1 + np.tan(width / length * np.pi / 2) ** 2
    psi_uncertainty = np.sqrt(s0 / determinant + tilt * tilt) * elongation
    return psi_uncertainty, np.sqrt(s2 / determinant * (1 + np.sin(tilt) ** 2))


@njit(error_model="numpy")
def _size_uncertainties(x, y, charge, cog_x, cog_y, psi, size, var_x, var_y, cov_xy):
    # numerators of the uncertainties of length and width; see Notes of hillas_block
    cos_2psi, sin_2psi = np.cos(2 * psi), np.sin(2 * psi)
    a, b = (1 + cos_2psi) / 2, (1 - cos_2psi) / 2
    along = across = 0.0
    for i in range(len(charge)):
        dx, dy = x[i] - cog_x, y[i] - cog_y
        p, q, r = (dx * dx - var_x) / size, (dy * dy - var_y) / size, (dx * dy - cov_xy) / size
        along += (a * p + b * q + sin_2psi * r) ** 2 * charge[i]
        across += (b * p + a * q - sin_2psi * r) ** 2 * charge[i]
    return np.sqrt(along) / 2, np.sqrt(across) / 2


@njit(error_model="numpy")
def _shape(x, y, charge, density, out):
    size, cog_x, cog_y = _first_moments(x, y, charge)
    var_x, var_y, cov_xy = _covariance(x, y, charge, size, cog_x, cog_y)
    length, width, psi = _principal_axes(var_x, var_y, cov_xy)
    out[0], out[3], out[4], out[7], out[9] = size, cog_x, cog_y, length, width
    out[5], out[6] = np.hypot(cog_x, cog_y), np.arctan2(cog_y, cog_x)
    if length == 0:
        return
    out[11] = psi
    out[1], out[2] = _moments_along_axis(x, y, charge, cog_x, cog_y, psi, size, length)
    out[12], out[13] = _axis_uncertainties(x, y, density, cog_x, cog_y, psi, length, width)
    along, across = _size_uncertainties(x, y, charge, cog_x, cog_y, psi, size, var_x, var_y, cov_xy)
    out[8] = along / length
    if width > 0:
        out[10] = across / width


@njit(cache=True, nogil=True)
def _hillas_events(events, first, x, y, charge, density, out):
    row = np.empty(out.shape[0])
    for event in events:
        own = slice(first[event], first[event + 1])
        row[:] = np.nan
        _shape(x[own], y[own], charge[own], density[own], row)
        out[:, event] = row


def hillas_block(
    selected: SelectedPixels, events: NDArray[np.int64], tables: CameraTables
) -> dict[str, NDArray[np.float64]]:
    """
    Return the Hillas parameters of a block of images.

    Parameters
    ----------
    selected : SelectedPixels
        Surviving pixels of the block.
    events : ndarray of int64, shape=(n_parametrized,)
        The events to parametrize.
    tables : CameraTables
        The camera.

    Returns
    -------
    dict of ndarray of float64, shape=(n_events,)
        The names of `HILLAS_NAMES`; lengths in metres, angles in radians, NaN in all other events.

    Notes
    -----
    Definition: ``ctapipe.image.hillas_parameters``, with its principal axes of the charge-weighted
    covariance, its uncertainties of length and width (an internal note of MAGIC) and of axis and centre of
    gravity (a weighted straight line through the pixels). Two freedoms of that definition are fixed here: an
    axis along y has ``psi = +pi/2``, and a perfectly round image, whose axis is undefined, has ``psi = 0``.
    """
    out = np.full((len(HILLAS_NAMES), selected.n_events), np.nan)
    density = selected.charge / tables.area[selected.pixel]
    _hillas_events(events, selected.first, selected.x, selected.y, selected.charge, density, out)
    return dict(zip(HILLAS_NAMES, out, strict=True))
