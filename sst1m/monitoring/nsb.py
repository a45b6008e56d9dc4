"""Night sky of a run, from the fluctuation of its interleaved pedestals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..calib.vdrop import largest_variance, nsb_rate

if TYPE_CHECKING:
    from ..reduction.waveforms import ChargeBlock

__all__ = ["NightSky", "NightSkyMonitor"]


@dataclass(frozen=True)
class NightSky:
    """
    Level of the night sky during a run.

    Parameters
    ----------
    mhz : float or None
        Photo-electron rate of the median pixel [MHz per pixel]; None where it is not known.
    note : str
        Why it is not known, or why it is only a limit; empty otherwise.
    """

    mhz: float | None
    note: str = ""


class NightSkyMonitor:
    """
    Adds up the pedestals of a run while its blocks stream by.

    Parameters
    ----------
    tel_id : int
        21 or 22.
    bad : ndarray of bool, shape=(n_pixels,)
        Pixels that do not count.

    Notes
    -----
    The mean over the pedestals of the standard deviation of the 50 raw samples, of the median pixel, gives
    the rate by the measured relation of `sst1m.calib.vdrop` (slopes: arXiv:1910.00348, figure 11.1). That is
    the scale of the simulator, whose sky is tuned so that this relation finds it again, and hence of the
    nodes of a production.
    """

    def __init__(self, tel_id: int, bad: NDArray[np.bool_]) -> None:
        self._tel_id = tel_id
        self._good = ~np.asarray(bad, dtype=bool)
        self._sum = np.zeros(len(self._good))
        self._count = np.zeros(len(self._good), dtype=np.int64)

    def watched(self, blocks: Iterator["ChargeBlock"]) -> Iterator["ChargeBlock"]:
        """Yield the blocks unchanged."""
        for block in blocks:
            self.add(block.samples.std)
            yield block

    def add(self, std: NDArray[np.float64]) -> None:
        """
        Take pedestals.

        Parameters
        ----------
        std : ndarray of float64, shape=(n_pedestals, n_pixels)
            Of their raw samples [ADC]; NaN where a pixel is absent.
        """
        known = np.isfinite(std)
        self._sum += np.where(known, std, 0.0).sum(axis=0)
        self._count += known.sum(axis=0)

    def result(self) -> NightSky:
        """Return the level of all that was added."""
        seen = self._good & (self._count > 0)
        if not seen.any():
            reason = "no good pixel" if self._count.any() else "no pedestal events"
            return NightSky(None, f"not measured: {reason}")
        variance = float(np.median(self._sum[seen] / self._count[seen])) ** 2
        limit = largest_variance(self._tel_id)
        note = ""
        if variance > limit:
            note = (
                f"lower limit: the variance {variance:.1f} ADC² lies above the measured range ({limit:.1f})"
            )
        return NightSky(float(nsb_rate(variance, self._tel_id)), note)
