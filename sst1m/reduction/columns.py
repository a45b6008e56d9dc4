"""The columns that SST-1M adds to ctapipe's image parameters, and how they follow from them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..instrument.subarray import EQUIVALENT_FOCAL_LENGTH
from ..times import ns_to_utc_unix

__all__ = ["EXTRA_COLUMNS", "PRECISE_TIME_COLUMNS", "derived_features", "time_columns"]

#: Name: (dtype, unit, description) of the table ``/sst1m/dl1/event/telescope/parameters/tel_XXX``.
EXTRA_COLUMNS: dict[str, tuple[str, str, str]] = {
    "time_ns": ("i8", "ns", "trigger time, nanoseconds TAI since 1970-01-01T00:00:00 TAI"),
    "local_time": ("f8", "s", "trigger time, UTC unix seconds"),
    "date": ("i4", "", "night, YYYYMMDD"),
    "swat_event_id": ("i8", "", "array event number of the SWAT, 0: none"),
    "camera_event_id": ("i8", "", "event number of the camera"),
    "log_camera_frame_hillas_intensity": ("f8", "", "log10 of the intensity in p.e."),
    "camera_frame_hillas_wl": ("f8", "", "width / length"),
    "t_rms": ("f8", "ns", "rms of the peak times of the cleaned pixels"),
    "t_rms_w": ("f8", "ns", "rms of the peak times about their mean, weighted by charge"),
    "t_lac": ("f8", "ns", "latest minus earliest peak time of the cleaned pixels"),
    "len_st": ("f8", "", "correlation of peak time and charge of the cleaned pixels"),
    "meanQ": ("f4", "", "mean charge of the pedestal events in force, p.e.; the NSB level"),
    "intensity_drop": ("f4", "", "voltage drop by which charges were divided, camera median"),
    "vdrop_flag": ("u1", "", "0: valid, else the voltage drop was clamped or unknown"),
    "raised_threshold_fraction": ("f4", "", "fraction of pixels with a raised picture threshold"),
    "n_saturated_pixels": ("i2", "", "number of pixels with a saturated pulse"),
    "equivalent_focal_length": ("f8", "m", "equivalent focal length"),
    "true_az_tel": ("f8", "deg", "azimuth of the optical axis"),
    "true_alt_tel": ("f8", "deg", "altitude of the optical axis"),
}

#: Added by ``--precise-timestamps`` for readers that know only these; ``time_ns`` holds the same.
PRECISE_TIME_COLUMNS: dict[str, tuple[str, str, str]] = {
    "time_wr_full_seconds": ("i8", "s", "whole seconds TAI since 1970"),
    "time_wr_frac_seconds": ("f8", "s", "rest, exact to the nanosecond"),
}


def derived_features(parameters: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """
    Return the features that are functions of the image parameters.

    Parameters
    ----------
    parameters : mapping of str to ndarray, shape=(n_events,)
        At least intensity, width and length; NaN where an image has no parameters.

    Returns
    -------
    dict of str to ndarray, shape=(n_events,)
        ``log_camera_frame_hillas_intensity`` and ``camera_frame_hillas_wl``; NaN where undefined.
    """
    intensity = np.asarray(parameters["camera_frame_hillas_intensity"], dtype=np.float64)
    width = np.asarray(parameters["camera_frame_hillas_width"], dtype=np.float64)
    length = np.asarray(parameters["camera_frame_hillas_length"], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "log_camera_frame_hillas_intensity": np.where(intensity > 0, np.log10(intensity), np.nan),
            "camera_frame_hillas_wl": np.where(length > 0, width / length, np.nan),
        }


def time_columns(time_ns: NDArray[np.int64], date: int, *, precise: bool) -> dict[str, NDArray[Any]]:
    """Return the columns that say when each event was; `date` is the night as YYYYMMDD."""
    columns: dict[str, NDArray[Any]] = {
        "time_ns": time_ns,
        "local_time": ns_to_utc_unix(time_ns),
        "date": np.full(len(time_ns), date, dtype=np.int32),
        "equivalent_focal_length": np.full(len(time_ns), EQUIVALENT_FOCAL_LENGTH.to_value("m")),
    }
    if precise:
        seconds, rest = np.divmod(time_ns, 1_000_000_000)
        columns["time_wr_full_seconds"] = seconds
        columns["time_wr_frac_seconds"] = rest / 1e9
    return columns
