"""
Geometry of a shower from the images of both telescopes, all events at once.

The method is that of ctapipe's `HillasReconstructor` (Hofmann et al. 1999, Astropart. Phys. 12, 135), which
reconstructs event by event; this module gives the same numbers for whole tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .criteria import criteria_met
from .directions import camera_to_direction, direction_to_camera, direction_vector, horizontal, mean_direction

__all__ = ["ArrayLayout", "StereoGeometry", "stereo_geometry"]

#: The second point of an image's axis lies a tenth of the camera's radius from the first, as in ctapipe.
_STEP = 0.1

Values = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class ArrayLayout:
    """
    Where two telescopes stand and how they image the sky.

    Parameters
    ----------
    positions : ndarray, shape=(2, 3)
        To the north, to the west and up from the centre of the array [m].
    height_m : float
        Height of the centre above the ellipsoid [m].
    focal_length_m : ndarray, shape=(2,)
        Effective focal lengths [m].
    camera_radius_m : float
        Mean distance of the border pixels from the centre [m].
    """

    positions: Values
    height_m: float
    focal_length_m: Values
    camera_radius_m: float


@dataclass(frozen=True, eq=False)
class StereoGeometry:
    """
    Reconstructed geometry; NaN where it is not valid.

    Parameters
    ----------
    alt, az : ndarray, shape=(n_events,)
        Direction of origin [rad].
    core_x, core_y : ndarray, shape=(n_events,)
        Where the axis meets the ground, to the north and to the west [m].
    h_max : ndarray, shape=(n_events,)
        Height of the maximum above sea level [m].
    impact_distance : ndarray, shape=(n_events, 2)
        Of each telescope to the shower axis [m].
    is_valid : ndarray of bool, shape=(n_events,)
        Whether both images meet the criteria and their axes meet.
    """

    alt: Values
    az: Values
    core_x: Values
    core_y: Values
    h_max: Values
    impact_distance: Values
    is_valid: NDArray[np.bool_]


def stereo_geometry(
    images: Sequence[Columns], layout: ArrayLayout, criteria: Sequence[tuple[str, str]]
) -> StereoGeometry:
    """
    Reconstruct direction, core and height of showers that both telescopes have seen.

    Parameters
    ----------
    images : sequence of two mappings of str to ndarray, shape=(n_events,)
        Image parameters of telescope 1 and of telescope 2, row by row of the same event: those that the
        criteria name, ``camera_frame_hillas_{x,y,psi,width}`` [m, m, deg, m], ``true_alt_tel`` and
        ``true_az_tel`` [deg].
    layout : ArrayLayout
        Of the two telescopes.
    criteria : sequence of (name, expression)
        Of images that take part (``ShowerProcessor.HillasReconstructor.StereoQualityQuery``).

    Notes
    -----
    The array points to the mean direction of the two telescopes.
    """
    n_events = len(images[0]["camera_frame_hillas_x"])
    usable = np.ones(n_events, dtype=bool)
    for image in images:
        width = np.asarray(image["camera_frame_hillas_width"])
        usable &= criteria_met(criteria, image, n_events) & np.isfinite(width) & (width != 0)
    result = np.full((7, n_events), np.nan)
    if usable.any():
        result[:, usable] = _reconstruct([_Axis.of(image, usable) for image in images], layout)
    valid = np.isfinite(result).all(axis=0)
    result[:, ~valid] = np.nan
    return StereoGeometry(*result[:5], result[5:].T.copy(), valid)


@dataclass(frozen=True, eq=False)
class _Axis:
    """Two points of the main axis of images in the camera [m], and where the telescope looked [rad]."""

    x: Values
    y: Values
    psi: Values
    alt: Values
    az: Values

    @classmethod
    def of(cls, columns: Columns, chosen: NDArray[np.bool_]) -> "_Axis":
        hillas = (np.asarray(columns[f"camera_frame_hillas_{name}"])[chosen] for name in ("x", "y"))
        names = ("camera_frame_hillas_psi", "true_alt_tel", "true_az_tel")
        angles = (np.deg2rad(np.asarray(columns[name], dtype=np.float64)[chosen]) for name in names)
        return cls(*hillas, *angles)

    def directions(self, focal_length: float, step: float) -> tuple[Values, Values]:
        """Return the directions of the centre of gravity and of the point one step [m] along the axis."""
        step_x, step_y = step * np.cos(self.psi), step * np.sin(self.psi)
        cog = camera_to_direction(self.x, self.y, focal_length, self.alt, self.az)
        ahead = camera_to_direction(self.x + step_x, self.y + step_y, focal_length, self.alt, self.az)
        return cog, ahead


def _reconstruct(axes: Sequence[_Axis], layout: ArrayLayout) -> Values:
    """Return alt, az, core x and y, height and both impact distances, shape=(7, n_events)."""
    step = _STEP * layout.camera_radius_m
    points = [axis.directions(f, step) for axis, f in zip(axes, layout.focal_length_m, strict=True)]
    pointing = mean_direction(
        np.stack([direction_vector(axis.alt, axis.az) for axis in axes], axis=1), np.ones((1, 2))
    )
    planes = [np.cross(cog, ahead) for cog, ahead in points]
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = np.cross(*planes)
        direction *= np.where(direction[:, 2] < 0, -1, 1)[:, np.newaxis]
        direction /= np.linalg.norm(direction, axis=1)[:, np.newaxis]
        core = _core(points, pointing, layout)
        height = _nearest_point(np.stack([cog for cog, _ in points], axis=1), layout.positions)[:, 2]
        distances = [_distance_to_axis(core, direction, position) for position in layout.positions]
    return np.stack([*horizontal(direction), core[:, 0], core[:, 1], height + layout.height_m, *distances])


def _core(points: Sequence[tuple[Values, Values]], pointing: Values, layout: ArrayLayout) -> Values:
    """
    Return where the image axes, drawn from the telescopes in the tilted plane, meet on the ground.

    Notes
    -----
    Angles of the axes are measured in a common camera that looks to the array's pointing (Gasparetto 2020,
    PhD thesis, 7.1.4).
    """
    alt, az = horizontal(pointing)
    # Rows: unit vectors of the tilted plane's x, y and z in the ground frame.
    tilted = np.stack(
        [direction_vector(alt - np.pi / 2, az), direction_vector(0 * alt, az - np.pi / 2), pointing], axis=1
    )
    lines = []
    for (cog, ahead), focal_length in zip(points, layout.focal_length_m, strict=True):
        x_cog, y_cog = direction_to_camera(cog, focal_length, alt, az)
        x_ahead, y_ahead = direction_to_camera(ahead, focal_length, alt, az)
        psi = np.arctan((y_cog - y_ahead) / (x_cog - x_ahead))
        lines.append(np.stack([np.cos(psi), np.sin(psi), 0 * psi], axis=-1))
    positions = np.einsum("eij,tj->eti", tilted, layout.positions)
    meeting = _nearest_point(np.stack(lines, axis=1), positions)
    meeting[:, 2] = 0.0
    ground = np.einsum("eij,ei->ej", tilted, meeting)
    return ground - pointing * (ground[:, 2] / pointing[:, 2])[:, np.newaxis]


def _nearest_point(lines: Values, origins: Values) -> Values:
    """
    Return the points with the least sum of squared distances to several lines; NaN for parallel lines.

    Parameters
    ----------
    lines : ndarray, shape=(n_events, n_lines, 3)
        Unit vectors along the lines.
    origins : ndarray, shape=(n_events, n_lines, 3) or (n_lines, 3)
        One point of each line.
    """
    across = lines[..., :, np.newaxis] * lines[..., np.newaxis, :] - np.eye(3)
    total = across.sum(axis=1)
    wanted = np.einsum("etij,etj->ei", across, np.broadcast_to(origins, lines.shape))
    parallel = ~(np.abs(np.linalg.det(total)) > 0)
    total[parallel] = np.eye(3)
    meeting = np.linalg.solve(total, wanted[..., np.newaxis])[..., 0]
    meeting[parallel] = np.nan
    return meeting


def _distance_to_axis(core: Values, direction: Values, position: Values) -> Values:
    return np.linalg.norm(np.cross(position - core, direction), axis=1)
