"""The DigiCam camera: 1296 hexagonal pixels in 48 rows, and its read-out."""

from functools import cache
from importlib.resources import files

import astropy.units as u
import numpy as np
from astropy.table import Table
from ctapipe.coordinates import CameraFrame
from ctapipe.instrument import CameraDescription, CameraGeometry, CameraReadout
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

__all__ = [
    "EFFECTIVE_FOCAL_LENGTH",
    "N_PIXELS",
    "N_SAMPLES",
    "SAMPLING_RATE",
    "camera_description",
    "camera_geometry",
    "camera_readout",
    "pixel_positions",
]

N_PIXELS = 1296
N_SAMPLES = 50
SAMPLING_RATE = 0.25 * u.GHz
EFFECTIVE_FOCAL_LENGTH = 5.69705 * u.m

_N_ROWS = 48
_PITCH_MM = 24.3
_ROW_PITCH_MM = _PITCH_MM * np.sqrt(3) / 2
_FLAT_TO_FLAT_M = 23.3e-3
_PULSE_STEP_NS = 0.1
_PULSE_SAMPLES = 1520


def _row_of_pixels(row: int) -> tuple[int, float]:
    """Return the number of pixels of a row and the x of its first pixel [mm]."""
    if row < 12:
        return 3 * row + 1, 12.15 - 36.45 * row
    if row < 36:
        return 36, -425.25 if row % 2 == 0 else -437.40
    return 35 - 3 * (row - 36), -400.95 + 36.45 * (row - 36)


def pixel_positions() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return the pixel centres in ctapipe's camera frame.

    Returns
    -------
    x, y : ndarray, shape=(n_pixels,)
        Positions [m] in the order of the software pixel ids.

    Notes
    -----
    The mechanical drawing counts rows upwards; the camera frame of ctapipe is its mirror image,
    ``x = -y_drawing`` and ``y = -x_drawing``.
    """
    x_mm, y_mm = [], []
    for row in range(_N_ROWS):
        n_pixels, first = _row_of_pixels(row)
        x_mm.append(first + _PITCH_MM * np.arange(n_pixels))
        y_mm.append(np.full(n_pixels, -498.05 + _ROW_PITCH_MM * row))
    return -np.concatenate(y_mm) / 1000, -np.concatenate(x_mm) / 1000


@cache
def camera_geometry() -> CameraGeometry:
    """Return the geometry of the camera, the same for both telescopes, in the camera frame."""
    x, y = pixel_positions()
    area = np.sqrt(3) / 2 * _FLAT_TO_FLAT_M**2
    return CameraGeometry(
        name="DigiCam",
        pix_id=np.arange(N_PIXELS),
        pix_x=x * u.m,
        pix_y=y * u.m,
        pix_area=np.full(N_PIXELS, area) * u.m**2,
        pix_type="hexagonal",
        pix_rotation=30 * u.deg,
        cam_rotation=0 * u.deg,
        frame=CameraFrame(focal_length=EFFECTIVE_FOCAL_LENGTH),
    )


def _reference_pulse(tel_id: int) -> NDArray[np.float64]:
    """Return the single photo-electron pulse every 0.1 ns, from its template every 1 ns."""
    template = Table.read(str(files("sst1m") / "resources" / "reference_pulse.ecsv"), format="ascii.ecsv")
    time = np.asarray(template["time"])
    pulse = CubicSpline(time, np.asarray(template[f"tel_{tel_id:03d}"]))
    fine = np.arange(_PULSE_SAMPLES) * _PULSE_STEP_NS
    return np.where(fine <= time[-1], pulse(fine), 0.0)


@cache
def camera_readout(tel_id: int) -> CameraReadout:
    """
    Return the read-out of one telescope: 50 samples of 4 ns and the pulse that it records.

    Parameters
    ----------
    tel_id : int
        21 or 22.
    """
    return CameraReadout(
        name="DigiCam",
        sampling_rate=SAMPLING_RATE,
        reference_pulse_shape=_reference_pulse(tel_id)[np.newaxis],
        reference_pulse_sample_width=_PULSE_STEP_NS * u.ns,
        n_channels=1,
        n_pixels=N_PIXELS,
        n_samples=N_SAMPLES,
    )


def camera_description(tel_id: int) -> CameraDescription:
    """Return geometry and read-out of the camera of telescope 21 or 22."""
    return CameraDescription(name="DigiCam", geometry=camera_geometry(), readout=camera_readout(tel_id))
