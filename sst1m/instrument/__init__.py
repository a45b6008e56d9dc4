"""The instrument: camera, telescopes and their positions, from built-in rules and figures."""

from .camera import N_PIXELS, N_SAMPLES, camera_geometry, camera_readout
from .subarray import TEL_IDS, sst1m_subarray, telescope_location

__all__ = [
    "N_PIXELS",
    "N_SAMPLES",
    "TEL_IDS",
    "camera_geometry",
    "camera_readout",
    "sst1m_subarray",
    "telescope_location",
]
