"""Parts of the truth in simulated DL1 files that ctapipe's event source looks for, whoever simulated them."""

from typing import Any

import numpy as np
import tables
from ctapipe.containers import (
    CameraHillasParametersContainer,
    ConcentrationContainer,
    IntensityStatisticsContainer,
    LeakageContainer,
    MorphologyContainer,
    TelEventIndexContainer,
)
from ctapipe.io import HDF5TableWriter
from numpy.typing import NDArray

from ..image import CameraTables, parametrize_block
from .dl1_tables import SUBARRAY_TRIGGER, TELESCOPE_TRIGGER, make_empty

__all__ = ["create_true_parameters", "interleave_triggers", "true_parameters", "true_parameters_table"]

_GROUPS = ("camera_frame_hillas", "leakage", "concentration", "morphology", "intensity")


def true_parameters_table(tel_id: int) -> str:
    """Return the path of the parameters of the images without noise."""
    return f"/simulation/event/telescope/parameters/tel_{tel_id:03d}"


def create_true_parameters(writer: HDF5TableWriter, tel_id: int) -> tables.Table:
    """Create the empty table of the parameters of the images without noise."""
    key = TelEventIndexContainer(obs_id=np.int64(0), event_id=np.int64(0), tel_id=np.int16(tel_id))
    containers = [
        CameraHillasParametersContainer(prefix="true_camera_frame_hillas"),
        LeakageContainer(prefix="true_leakage"),
        ConcentrationContainer(prefix="true_concentration"),
        MorphologyContainer(prefix="true_morphology"),
        IntensityStatisticsContainer(prefix="true_intensity"),
    ]
    return make_empty(writer, true_parameters_table(tel_id), [key, *containers])


def true_parameters(image: NDArray[np.int32], camera: CameraTables) -> dict[str, NDArray[Any]]:
    """
    Return the parameters of all pixels with light, as `ctapipe.image.ImageProcessor` computes them.

    Parameters
    ----------
    image : ndarray of int, shape=(n_events, n_pixels)
        Photo-electrons without noise.
    camera : CameraTables
        The camera.
    """
    light = np.asarray(image, dtype=np.float32)
    found = parametrize_block(light, np.zeros_like(light), light > 0, camera, seed=0)
    return {f"true_{name}": values for name, values in found.items() if name.startswith(_GROUPS)}


def interleave_triggers(h5file: tables.File) -> None:
    """
    Bring the triggers of all telescopes into the order of the array events.

    They arrive telescope by telescope; ctapipe's `HDF5EventSource` takes the next row for each telescope
    of an event without looking at its number.
    """
    table = h5file.get_node(TELESCOPE_TRIGGER)
    table.flush()
    if not table.nrows:
        return
    array_table = h5file.get_node(SUBARRAY_TRIGGER)
    array_table.flush()
    place = {event: number for number, event in enumerate(array_table.col("event_id").tolist())}
    rows = table.read()
    order = np.array([place[event] for event in rows["event_id"].tolist()])
    table.modify_rows(0, rows=rows[np.lexsort((rows["tel_id"], order))])
