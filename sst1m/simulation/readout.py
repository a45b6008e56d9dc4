"""One run of one telescope: showers and pedestals in the order of time, digitised, triggered, written."""

from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..calib.pedestals import PEDESTAL_EVENT_TYPE
from ..io.rawfile import EventIndex
from .camera import CameraModel, Digitiser, RawEvents, wired
from .photoelectrons import PhotoElectrons
from .raw_writer import RawWriter
from .schedule import PlannedRun
from .trigger import cluster_maxima, survives_dead_time, trigger_threshold

__all__ = ["MINIMAL_PE", "Recorded", "TelescopeReadout", "array_event_numbers"]

#: Events with less light than this [p.e.] in a telescope cannot trigger it and are not digitised.
MINIMAL_PE = 30
_SHOWER_EVENT_TYPE = 1
_NO_SHOWER = -1
_CLOCK_JITTER_NS = 2.0


@dataclass(frozen=True)
class Recorded:
    """
    Events that a telescope records, in the order of time.

    Attributes
    ----------
    time_ns : ndarray of int64, shape=(n_events,)
        TAI nanoseconds since 1970.
    shower : ndarray of int64, shape=(n_events,)
        Row of the shower; -1 for a pedestal.
    raw : RawEvents
        In the order of the pixels.
    """

    time_ns: NDArray[np.int64]
    shower: NDArray[np.int64]
    raw: RawEvents


class TelescopeReadout:
    """
    Writes the raw file of one run.

    Parameters
    ----------
    run : PlannedRun
        Telescope, begin and end.
    writer : RawWriter
        Open.
    model : CameraModel
        The camera, in the order of the channels.
    nsb_mhz : float
        Night sky [MHz per pixel].
    pedestal_hz : float
        Rate of pedestal events [Hz].
    seed : sequence of int
        Of the night, and of this group of runs.
    """

    def __init__(
        self,
        run: PlannedRun,
        writer: RawWriter,
        model: CameraModel,
        *,
        nsb_mhz: float,
        pedestal_hz: float,
        seed: tuple[int, int],
    ) -> None:
        pixels, self._channel = wired(model, run.start_ns)
        self._run = run
        self._writer = writer
        self._digitiser = Digitiser(pixels, nsb_mhz, seed[0])
        sky, pulse = self._digitiser.sky, self._digitiser.pulse
        self._threshold = trigger_threshold(pixels, float(pulse.values.max()), float(np.sqrt(sky.variance)))
        self._rng = np.random.default_rng([*seed, run.tel_id, 21])
        self.pedestal_times = _clock_ticks(run, pedestal_hz, self._rng)
        self._last_ns = run.start_ns - 1_000_000_000

    def __enter__(self) -> "TelescopeReadout":
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    @property
    def n_events(self) -> int:
        """Events written so far."""
        return self._writer.n_events

    def record(
        self, shower: NDArray[np.int64], time_ns: NDArray[np.int64], light: PhotoElectrons, slot: slice
    ) -> Recorded:
        """
        Return what the telescope records of some showers and of the pedestals among them.

        Parameters
        ----------
        shower : ndarray of int64, shape=(n_showers,)
            Rows of the showers.
        time_ns : ndarray of int64, shape=(n_showers,)
            Arrival of their light at this telescope.
        light : PhotoElectrons
            Their photo-electrons.
        slot : slice
            Pedestals of the same time, of `pedestal_times`.
        """
        bright = (
            (light.counts >= MINIMAL_PE) & (time_ns >= self._run.start_ns) & (time_ns < self._run.stop_ns)
        )
        candidates = np.flatnonzero(bright)
        jitter = np.rint(self._rng.normal(scale=_CLOCK_JITTER_NS, size=len(candidates))).astype(np.int64)
        pedestals = self.pedestal_times[slot]
        times = np.concatenate([time_ns[candidates] + jitter, pedestals])
        rows = np.concatenate([shower[candidates], np.full(len(pedestals), _NO_SHOWER)])
        # the last event of `with_darkness` is a pedestal
        sources = np.concatenate([candidates, np.full(len(pedestals), len(light))])
        order = np.argsort(times, kind="stable")
        times, rows, sources = times[order], rows[order], sources[order]
        raw = self._digitiser(light.with_darkness().take(sources), self._rng)
        kept = (rows == _NO_SHOWER) | (cluster_maxima(raw) >= self._threshold)
        kept[kept] = survives_dead_time(np.concatenate([[self._last_ns], times[kept]]))[1:]
        if kept.any():
            self._last_ns = int(times[kept][-1])
        return Recorded(times[kept], rows[kept], raw.select(kept))

    def write(self, events: Recorded, array_numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Write recorded events with their numbers of the array; return the camera's own numbers."""
        numbers = self._writer.n_events + 1 + np.arange(len(events.time_ns))
        index = EventIndex(
            event_number=numbers,
            array_event_number=array_numbers,
            event_type=np.where(events.shower == _NO_SHOWER, PEDESTAL_EVENT_TYPE, _SHOWER_EVENT_TYPE),
            time_ns=events.time_ns,
        )
        raw = events.raw.reordered(self._channel)
        self._writer.append(raw.samples, index, baseline=raw.baseline, present=raw.present)
        return numbers


def _clock_ticks(run: PlannedRun, rate_hz: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the times of the pedestals: a regular clock with a phase of its own."""
    if rate_hz <= 0:
        return np.zeros(0, dtype=np.int64)
    period = round(1e9 / rate_hz)
    return np.arange(run.start_ns + int(rng.integers(period)), run.stop_ns, period, dtype=np.int64)


def array_event_numbers(recorded: dict[int, Recorded], first: int) -> dict[int, NDArray[np.int64]]:
    """
    Return the numbers that the array trigger gives: one per shower, however many telescopes recorded it.

    Parameters
    ----------
    recorded : dict of int to Recorded
        Events by telescope.
    first : int
        The first number; they go on in the order of time.
    """
    sizes = [len(events.time_ns) for events in recorded.values()]
    shower = np.concatenate([events.shower for events in recorded.values()])
    times = np.concatenate([events.time_ns for events in recorded.values()])
    # pedestals are events of their own: a key below all rows of showers
    key = np.where(shower == _NO_SHOWER, -2 - np.arange(len(shower)), shower)
    _, first_place, event = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty(len(first_place), dtype=np.int64)
    earliest = np.full(len(first_place), np.iinfo(np.int64).max)
    np.minimum.at(earliest, event, times)
    rank[np.argsort(earliest, kind="stable")] = np.arange(len(rank))
    numbers = np.split(first + rank[event], np.cumsum(sizes)[:-1])
    return dict(zip(recorded, numbers, strict=True))
