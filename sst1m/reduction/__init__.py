"""Reduction of raw and simulated files to DL1."""

from .options import ReductionOptions, ReductionSummary
from .raw import reduce_raw_run
from .simtel import reduce_simtel

__all__ = ["ReductionOptions", "ReductionSummary", "reduce_raw_run", "reduce_simtel"]
