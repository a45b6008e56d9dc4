"""Block kernels: from waveforms to images and image parameters."""

from .cleaning import CleaningOptions, clean_block
from .columns import PARAMETER_COLUMNS, ParameterColumn
from .extraction import ExtractedBlock, extract_block
from .interpolation import interpolate_bad_pixels
from .parameters import parametrize_block
from .saturation import SaturatedPulses, find_saturated_pulses
from .tables import CameraTables

__all__ = [
    "PARAMETER_COLUMNS",
    "CameraTables",
    "CleaningOptions",
    "ExtractedBlock",
    "ParameterColumn",
    "SaturatedPulses",
    "clean_block",
    "extract_block",
    "find_saturated_pulses",
    "interpolate_bad_pixels",
    "parametrize_block",
]
