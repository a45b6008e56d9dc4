"""Camera calibration: gain, voltage drop, window, cabling, dead pixels."""

from .gains import PixelCalibration, load_pixel_calibration
from .modules import channel_of_pixel
from .pedestals import (
    ImageStates,
    MonitoringRow,
    PedestalSamples,
    PedestalTracker,
    SampleStates,
    is_pedestal,
    pedestal_samples,
    state_of_events,
)
from .telescope import TelescopeCalibration, load_telescope_calibration
from .vdrop import DropFlag, VoltageDrop, nsb_rate, voltage_drop
from .window import load_window_transmission

__all__ = [
    "DropFlag",
    "ImageStates",
    "MonitoringRow",
    "PedestalSamples",
    "PedestalTracker",
    "PixelCalibration",
    "SampleStates",
    "TelescopeCalibration",
    "VoltageDrop",
    "channel_of_pixel",
    "is_pedestal",
    "load_pixel_calibration",
    "load_telescope_calibration",
    "load_window_transmission",
    "nsb_rate",
    "pedestal_samples",
    "state_of_events",
    "voltage_drop",
]
