"""From images of simulated events to the block that the DL1 writer takes, whoever simulated them."""

import numpy as np
from numpy.typing import NDArray

from ..image import CameraTables, parametrize_block
from ..instrument.subarray import EQUIVALENT_FOCAL_LENGTH
from ..io.dl1 import Dl1Block
from .cleaning import ImageCleaner
from .columns import EXTRA_COLUMNS, derived_features

__all__ = ["SIMULATION_COLUMNS", "simulated_block"]

#: Our own columns that simulations have too.
SIMULATION_COLUMNS = {
    name: EXTRA_COLUMNS[name]
    for name in (
        "log_camera_frame_hillas_intensity",
        "camera_frame_hillas_wl",
        "t_rms",
        "t_rms_w",
        "t_lac",
        "len_st",
        "equivalent_focal_length",
        "true_az_tel",
        "true_alt_tel",
    )
}


def simulated_block(
    event_id: NDArray[np.int64],
    time_ns: NDArray[np.int64],
    image: NDArray[np.float32],
    peak_time: NDArray[np.float32],
    *,
    az_deg: NDArray[np.float64],
    alt_deg: NDArray[np.float64],
    cleaner: ImageCleaner,
    tables: CameraTables,
    factor: float,
    seed: int,
) -> Dl1Block:
    """
    Clean and parametrise images of one telescope.

    Parameters
    ----------
    event_id, time_ns : ndarray of int64, shape=(n_events,)
        Identity and time [ns TAI since 1970].
    image, peak_time : ndarray of float32, shape=(n_events, n_pixels)
        [p.e.] and [ns].
    az_deg, alt_deg : ndarray, shape=(n_events,)
        Where the telescope looked [deg].
    cleaner, tables
        Of this telescope.
    factor : float
        By which the intensity is multiplied (``NsbCalibrator.intensity_correction``).
    seed : int
        Of the timing fit.
    """
    cleaned = cleaner(image, peak_time)
    parameters = parametrize_block(image, peak_time, cleaned.mask, tables, seed=seed, event_ids=event_id)
    parameters["camera_frame_hillas_intensity"] = parameters["camera_frame_hillas_intensity"] * factor
    focal_length = np.full(len(event_id), EQUIVALENT_FOCAL_LENGTH.to_value("m"))
    extras = parameters | derived_features(parameters)
    extras |= {"true_az_tel": az_deg, "true_alt_tel": alt_deg, "equivalent_focal_length": focal_length}
    return Dl1Block(event_id, time_ns, parameters, extras, image, peak_time, cleaned.mask)
