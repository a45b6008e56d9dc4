"""Which events of the two telescopes are one shower, and the stereo events made of them."""

from .night import match_night
from .pairs import Coincidences, read_coincidences, write_coincidences
from .stereo_dl1 import StereoSummary, stereo_name, write_stereo_run

__all__ = [
    "Coincidences",
    "StereoSummary",
    "match_night",
    "read_coincidences",
    "stereo_name",
    "write_coincidences",
    "write_stereo_run",
]
