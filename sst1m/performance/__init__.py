"""What the array can do, measured on simulations: resolutions, separation, effective area, sensitivity."""

from .measure import PerformanceOptions, measure_performance
from .summary import SUMMARY_NAME, PerformanceSummary

__all__ = ["SUMMARY_NAME", "PerformanceOptions", "PerformanceSummary", "measure_performance"]
