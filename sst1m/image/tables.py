"""The camera as plain arrays, the form in which compiled kernels can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ctapipe.instrument import CameraGeometry

__all__ = ["SAMPLE_WIDTH_NS", "CameraTables", "require_shape"]

SAMPLE_WIDTH_NS = 4.0


def require_shape(shape: tuple[int, ...], **arrays: NDArray) -> None:
    """
    Refuse arrays of another shape, since a compiled kernel would read beyond their end.

    Parameters
    ----------
    shape : tuple of int
        The shape that all arrays must have.
    **arrays : ndarray
        By the name under which the caller knows them.

    Raises
    ------
    ValueError
        An array has another shape.
    """
    for name, array in arrays.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, but the other arrays need {shape}")


@dataclass(frozen=True, eq=False)
class CameraTables:
    """
    Positions, neighbours and borders of the pixels of one camera, as contiguous arrays.

    Attributes
    ----------
    x, y : ndarray of float64, shape=(n_pixels,)
        Pixel centres in the camera frame [m].
    area : ndarray of float64, shape=(n_pixels,)
        Pixel areas [m2].
    diameter : ndarray of float64, shape=(n_pixels,)
        Pixel widths, ctapipe's ``pixel_width`` [m].
    first_neighbor, neighbors : ndarray of int32, shape=(n_pixels + 1,) and (n_pairs,)
        Neighbours of pixel ``p`` are ``neighbors[first_neighbor[p] : first_neighbor[p + 1]]``, ascending.
    border_width : ndarray of int8, shape=(n_pixels,)
        1 in the outermost ring of pixels, 2 in the ring next to it, 0 elsewhere.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    area: NDArray[np.float64]
    diameter: NDArray[np.float64]
    first_neighbor: NDArray[np.int32]
    neighbors: NDArray[np.int32]
    border_width: NDArray[np.int8]

    @property
    def n_pixels(self) -> int:
        """Number of pixels of the camera."""
        return len(self.x)

    @classmethod
    def from_geometry(cls, geometry: CameraGeometry) -> CameraTables:
        """
        Return the tables of a camera that ctapipe describes.

        Parameters
        ----------
        geometry : ctapipe.instrument.CameraGeometry
            In the camera frame, positions in a length unit.
        """
        adjacency = geometry.neighbor_matrix_sparse.tocsr().sorted_indices()
        inner, outer = geometry.get_border_pixel_mask(2), geometry.get_border_pixel_mask(1)
        return cls(
            x=np.ascontiguousarray(geometry.pix_x.to_value("m"), dtype=np.float64),
            y=np.ascontiguousarray(geometry.pix_y.to_value("m"), dtype=np.float64),
            area=np.ascontiguousarray(geometry.pix_area.to_value("m2"), dtype=np.float64),
            diameter=np.ascontiguousarray(geometry.pixel_width.to_value("m"), dtype=np.float64),
            first_neighbor=adjacency.indptr.astype(np.int32),
            neighbors=adjacency.indices.astype(np.int32),
            border_width=np.where(outer, 1, np.where(inner, 2, 0)).astype(np.int8),
        )
