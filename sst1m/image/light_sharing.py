"""How much of the light lies at the border of the camera, and how much in the core of the image."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .selection import SelectedPixels
from .tables import CameraTables

__all__ = ["concentration_block", "leakage_block"]


@njit(cache=True, nogil=True, error_model="numpy")
def _leakage_events(events, first, border_width, charge, out):
    for event in events:
        pixels_1 = pixels_2 = light_1 = light_2 = total = 0.0
        for i in range(first[event], first[event + 1]):
            total += charge[i]
            if border_width[i] > 0:
                pixels_2 += 1
                light_2 += charge[i]
            if border_width[i] == 1:
                pixels_1 += 1
                light_1 += charge[i]
        n_pixels = first[event + 1] - first[event]
        out[0, event], out[1, event] = pixels_1 / n_pixels, pixels_2 / n_pixels
        out[2, event], out[3, event] = light_1 / total, light_2 / total


def leakage_block(
    selected: SelectedPixels, events: NDArray[np.int64], tables: CameraTables
) -> dict[str, NDArray[np.float64]]:
    """
    Return the fractions of pixels and of charge in the one or two outermost rings of the camera.

    Parameters
    ----------
    selected : SelectedPixels
        Surviving pixels of the block.
    events : ndarray of int64, shape=(n_parametrized,)
        The events to parametrize.
    tables : CameraTables
        The camera.

    Notes
    -----
    Definition: ``ctapipe.image.leakage_parameters``.
    """
    out = np.full((4, selected.n_events), np.nan)
    _leakage_events(events, selected.first, tables.border_width[selected.pixel], selected.charge, out)
    names = ("pixels_width_1", "pixels_width_2", "intensity_width_1", "intensity_width_2")
    return dict(zip(names, out, strict=True))


@njit(error_model="numpy")
def _in_ellipse(dx, dy, length, width, cos_psi, sin_psi):
    along, across = dx * cos_psi + dy * sin_psi, dy * cos_psi - dx * sin_psi
    return along**2 / length**2 + across**2 / width**2 <= 1


@njit(cache=True, nogil=True, error_model="numpy")
def _concentration_events(events, first, x, y, diameter, charge, ellipse, out):
    for event in events:
        size, cog_x, cog_y, length, width, psi = ellipse[:, event]
        cos_psi, sin_psi = np.cos(psi), np.sin(psi)
        near_cog = core = brightest = 0.0
        for i in range(first[event], first[event + 1]):
            dx, dy = x[i] - cog_x, y[i] - cog_y
            brightest = max(brightest, charge[i])
            if dx * dx + dy * dy < diameter[i] ** 2:
                near_cog += charge[i]
            if width > 0 and _in_ellipse(dx, dy, length, width, cos_psi, sin_psi):
                core += charge[i]
        out[0, event], out[1, event], out[2, event] = near_cog / size, core / size, brightest / size


def concentration_block(
    selected: SelectedPixels,
    events: NDArray[np.int64],
    hillas: dict[str, NDArray[np.float64]],
    tables: CameraTables,
) -> dict[str, NDArray[np.float64]]:
    """
    Return the fractions of the charge near the centre of gravity, in the Hillas ellipse and in one pixel.

    Parameters
    ----------
    selected : SelectedPixels
        Surviving pixels of the block.
    events : ndarray of int64, shape=(n_parametrized,)
        The events to parametrize.
    hillas : dict of ndarray, shape=(n_events,)
        Result of `hillas_block`.
    tables : CameraTables
        The camera.

    Notes
    -----
    Definition: ``ctapipe.image.concentration_parameters``; an image without width has core 0. A pixel exactly
    on the ellipse, which needs charges in simple ratios, is in or out by rounding errors in both.
    """
    out = np.full((3, selected.n_events), np.nan)
    ellipse = np.stack([hillas[name] for name in ("intensity", "x", "y", "length", "width", "psi")])
    diameter = tables.diameter[selected.pixel]
    _concentration_events(
        events, selected.first, selected.x, selected.y, diameter, selected.charge, ellipse, out
    )
    return dict(zip(("cog", "core", "pixel"), out, strict=True))
