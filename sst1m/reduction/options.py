"""What a reduction is asked to do, and what it reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ReductionOptions", "ReductionSummary"]


@dataclass(frozen=True)
class ReductionOptions:
    """
    Choices of the command that are not part of the analysis configuration.

    Parameters
    ----------
    precise_timestamps : bool
        Add the White-Rabbit time as two columns, beside ``time_ns``, which is always there.
    pixel_charges : Path or None
        Write the charges of the pedestal events into this file.
    reclean_with : Path or None
        Take the cleaning thresholds from the pedestal charges of this file, written by an earlier pass.
    """

    precise_timestamps: bool = False
    pixel_charges: Path | None = None
    reclean_with: Path | None = None


@dataclass(frozen=True)
class ReductionSummary:
    """
    What happened to a run; everything here is also in ``/sst1m/info`` of the product.

    Parameters
    ----------
    n_events : int
        Events in the raw file.
    n_events_written : int
        Events in the product: all but the pedestal events.
    info : dict
        The whole content of ``/sst1m/info``.
    """

    n_events: int
    n_events_written: int
    info: dict[str, Any]
