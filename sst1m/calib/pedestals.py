"""
Sliding pedestals: what the night sky does to each pixel, from the pedestal events of the run itself.

Definition. Pedestal events are those of camera event type 8 exactly. An event with k pedestals before it in
the file is described by the last min(k, 100) of them (raw samples) and the last min(k, 1000) (images). While
k is still below 100 (1000), the first 100 (1000) pedestals of the file, or all that there are, take their
place. Nothing depends on how the file is cut into blocks.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..instrument import N_PIXELS
from .ring import PedestalRing

__all__ = [
    "DEAD_PIXEL_STD",
    "IMAGE_RING",
    "MONITORING_STEP",
    "PEDESTAL_EVENT_TYPE",
    "SAMPLE_RING",
    "ImageStates",
    "MonitoringRow",
    "PedestalSamples",
    "PedestalTracker",
    "SampleStates",
    "is_pedestal",
    "pedestal_samples",
    "state_of_events",
]

PEDESTAL_EVENT_TYPE = 8
SAMPLE_RING = 100
IMAGE_RING = 1000
MONITORING_STEP = 20
#: a pixel whose pedestal samples fluctuate less [ADC] is dead
DEAD_PIXEL_STD = 2.5


def is_pedestal(event_type: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which events are pedestals: camera event type 8 and no other bit."""
    return np.asarray(event_type) == PEDESTAL_EVENT_TYPE


def state_of_events(pedestal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """
    Return for each event of a block the row of the block's tables of states that describes it.

    Parameters
    ----------
    pedestal : ndarray of bool, shape=(n_events,)
        Which events of the block are pedestals.

    Returns
    -------
    ndarray of int64, shape=(n_events,)
        The number of pedestals before it in the block; a pedestal is described by the state before itself.
    """
    pedestal = np.asarray(pedestal, dtype=np.int64)
    return np.cumsum(pedestal) - pedestal


@dataclass(frozen=True)
class PedestalSamples:
    """
    Raw samples of pedestal events, in numbers per pixel.

    Attributes
    ----------
    mean, std : ndarray of float64, shape=(n_pedestals, n_pixels)
        Of the samples [ADC]; NaN where the pixel is absent from the event.
    time_ns : ndarray of int64, shape=(n_pedestals,)
        TAI nanoseconds since 1970.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    time_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_ns)

    def __getitem__(self, rows: slice) -> "PedestalSamples":
        return PedestalSamples(self.mean[rows], self.std[rows], self.time_ns[rows])


@njit(cache=True)
def _sample_moments(samples: np.ndarray, present: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    n_events, n_pixels, n_samples = samples.shape
    for event in range(n_events):
        for pixel in range(n_pixels):
            if not present[event, pixel]:
                continue
            total = 0
            squares = 0
            for sample in range(n_samples):
                value = np.int64(samples[event, pixel, sample])
                total += value
                squares += value * value
            # integers up to here, so that the variance of a constant waveform is exactly 0
            mean[event, pixel] = total / n_samples
            std[event, pixel] = np.sqrt(n_samples * squares - total * total) / n_samples


def pedestal_samples(
    samples: NDArray[np.int16], present: NDArray[np.bool_], time_ns: NDArray[np.int64]
) -> PedestalSamples:
    """
    Return mean and fluctuation of the raw samples of pedestal events.

    Parameters
    ----------
    samples : ndarray of int16, shape=(n_pedestals, n_pixels, n_samples)
        Raw samples [ADC], in the order of the camera's pixels.
    present : ndarray of bool, shape=(n_pedestals, n_pixels)
        Pixels that the event has.
    time_ns : ndarray of int64, shape=(n_pedestals,)
        TAI nanoseconds since 1970.
    """
    mean = np.full(samples.shape[:2], np.nan)
    std = np.full(samples.shape[:2], np.nan)
    _sample_moments(samples, np.asarray(present, dtype=np.bool_), mean, std)
    return PedestalSamples(mean, std, np.asarray(time_ns, dtype=np.int64))


@dataclass(frozen=True)
class SampleStates:
    """
    Fluctuation of the raw samples in each state of a block.

    Attributes
    ----------
    std : ndarray of float64, shape=(n_pedestals + 1, n_pixels)
        Mean over the ring of the events' std [ADC]; row i is the state before pedestal i of the block.
        NaN where a pixel has no pedestal.
    """

    std: NDArray[np.float64]

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Pixels that hardly fluctuate, same shape as ``std``; one without pedestals is not called dead."""
        return self.std < DEAD_PIXEL_STD


@dataclass(frozen=True)
class ImageStates:
    """
    Pedestal charges in each state of a block.

    Attributes
    ----------
    mean, std : ndarray of float64, shape=(n_pedestals + 1, n_pixels)
        Of the ring's images [p.e.]; row i is the state before pedestal i of the block.
    level : ndarray of float64, shape=(n_pedestals + 1,)
        Level of the night sky: mean over the pixels of ``mean`` [p.e.].
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    level: NDArray[np.float64]


@dataclass(frozen=True)
class MonitoringRow:
    """
    The raw pedestal samples of the last (at most 100) pedestal events.

    Attributes
    ----------
    n_events : int
        Pedestals that it describes.
    sample_time_ns, sample_time_min_ns, sample_time_max_ns : int
        Their mean, first and last time, TAI nanoseconds since 1970.
    charge_mean, charge_median, charge_std : ndarray of float64, shape=(n_pixels,)
        Mean and median over the events of the samples' mean, and mean of the samples' std [ADC].
    """

    n_events: int
    sample_time_ns: int
    sample_time_min_ns: int
    sample_time_max_ns: int
    charge_mean: NDArray[np.float64]
    charge_median: NDArray[np.float64]
    charge_std: NDArray[np.float64]


def _finite_mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the mean over the finite values, NaN where there is none."""
    finite = np.isfinite(values)
    if finite.all():
        return values.mean(axis=axis)
    count = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _median_of_events(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Sorting in single precision costs a fifth of np.median, which partitions values that lie far apart in
    # memory; the table stores single precision anyway.
    middle = [(len(values) - 1) // 2, len(values) // 2]
    ordered = np.sort(values.astype(np.float32), axis=0)
    median = np.where(np.isfinite(ordered[-1]), ordered[middle].mean(axis=0, dtype=np.float64), np.nan)
    seen = np.isfinite(values).any(axis=0)
    for pixel in np.flatnonzero(~np.isfinite(median) & seen):
        median[pixel] = np.nanmedian(values[:, pixel])
    return median


class PedestalTracker:
    """
    Follows the pedestals through the blocks of one run.

    Examples
    --------
    The first pedestals are looked at beforehand; their images need the voltage drop of their own states::

        ahead = PedestalTracker()
        ahead.prefill_samples(first[:100])
        states = ahead.add_samples(first[:1000])      # row i: before pedestal i
        images = calibrate(first_raw, states)          # the driver's work

        tracker = PedestalTracker()
        tracker.prefill_samples(first[:100])
        tracker.prefill_images(images)

    Then, for each block::

        pedestal = is_pedestal(block.index.event_type)
        row = state_of_events(pedestal)
        samples = tracker.add_samples(pedestal_samples(...pedestals of the block...))
        drop = voltage_drop(samples.std, tel_id, mode, bad)
        ...                                            # event i: drop.factor[row[i]], samples.dead[row[i]]
        charges = tracker.add_images(images of the block's pedestals)
        ...                                            # event i: charges.mean[row[i]], charges.std[row[i]]
    """

    def __init__(
        self,
        *,
        sample_ring: int = SAMPLE_RING,
        image_ring: int = IMAGE_RING,
        n_pixels: int = N_PIXELS,
        monitor: bool = True,
    ) -> None:
        self._monitor = monitor
        self._stds = PedestalRing(sample_ring, n_pixels)
        self._means = np.full((sample_ring, n_pixels), np.nan)
        self._images = PedestalRing(image_ring, n_pixels)
        self._times = np.zeros(sample_ring, dtype=np.int64)
        self.monitoring: list[MonitoringRow] = []
        self.has_pedestals = False

    @property
    def n_pedestals(self) -> int:
        """Pedestals seen so far."""
        return self._stds.n_seen

    def prefill_samples(self, first: PedestalSamples) -> None:
        """Take the first (at most 100) pedestals of the file, or none if it has none."""
        self.has_pedestals = len(first) > 0
        self._stds.prefill(first.std)

    def prefill_images(self, first: NDArray[np.floating]) -> None:
        """Take the images [p.e.], shape=(n, n_pixels), of the first (at most 1000) pedestals of the file."""
        self._images.prefill(first)

    def add_samples(self, new: PedestalSamples) -> SampleStates:
        """
        Take the raw samples of the next pedestals.

        Parameters
        ----------
        new : PedestalSamples
            Of the pedestals of one block, in their order.

        Returns
        -------
        SampleStates
            One more state than pedestals; look up with `state_of_events`.
        """
        std = np.empty((len(new) + 1, self._stds.rows.shape[1]))
        start = 0
        while True:
            # up to the next monitoring row, so that it describes the ring at that very pedestal
            stop = min(start + MONITORING_STEP - self.n_pedestals % MONITORING_STEP, len(new))
            self._remember(new[start:stop])
            std[start : stop + 1], _ = self._stds.advance(new.std[start:stop])
            if self._monitor and stop > start and self.n_pedestals % MONITORING_STEP == 0:
                self.monitoring.append(self._monitoring_row())
            start = stop
            if start == len(new):
                return SampleStates(std)

    def add_images(self, new: NDArray[np.floating]) -> ImageStates:
        """
        Take the images of the next pedestals.

        Parameters
        ----------
        new : ndarray, shape=(n_pedestals, n_pixels)
            Charges [p.e.]; NaN where a pixel must not count.

        Returns
        -------
        ImageStates
            One more state than pedestals; look up with `state_of_events`.
        """
        mean, std = self._images.advance(new)
        return ImageStates(mean, std, _finite_mean(mean, axis=1))

    def _remember(self, new: PedestalSamples) -> None:
        """Keep what only the monitoring needs."""
        slots = (self.n_pedestals + np.arange(len(new))) % len(self._times)
        self._times[slots] = new.time_ns
        self._means[slots] = new.mean

    def _monitoring_row(self) -> MonitoringRow:
        n_events = min(self.n_pedestals, self._stds.length)
        times = self._times[:n_events]
        start = int(times.min())
        mean, std = self._means[:n_events], self._stds.rows[:n_events]
        return MonitoringRow(
            n_events=n_events,
            sample_time_ns=start + round(float((times - start).mean())),
            sample_time_min_ns=start,
            sample_time_max_ns=int(times.max()),
            charge_mean=_finite_mean(mean, axis=0),
            charge_median=_median_of_events(mean),
            charge_std=_finite_mean(std, axis=0),
        )
