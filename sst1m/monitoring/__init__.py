"""What a run says about itself: live time, level of the night sky, mean pointing."""

from .conditions import mean_pointing, observing_conditions
from .live_time import LiveTime, common_live_time, measure_live_time
from .nsb import NightSkyMonitor

__all__ = [
    "LiveTime",
    "NightSkyMonitor",
    "common_live_time",
    "mean_pointing",
    "measure_live_time",
    "observing_conditions",
]
