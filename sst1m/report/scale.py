"""Scales of charts: from numbers to places, and the ticks that people like to read."""

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis", "Scale", "finite"]

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
#: Steps between ticks of time [s].
_TIME_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_DAY = 86400
#: More days than this get ticks with dates instead of hours.
_MANY_DAYS = 3
_MOST_DECADES = 7
#: Powers of ten beyond this are written with an exponent.
_LONGEST = 3
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: A scale that spans fewer decades than this gets ticks within them.
_FEW_DECADES = 1.7


@dataclass(frozen=True)
class Axis:
    """
    One axis of a chart.

    Parameters
    ----------
    label : str
        Quantity and unit.
    kind : {"linear", "log", "time", "date"}
        Times and dates are unix seconds, UTC; a date has no time of the day.
    low, high : float, optional
        Ends; without them those of the data.
    """

    label: str
    kind: str = "linear"
    low: float | None = None
    high: float | None = None


def finite(values: Iterable[float | None], *, positive: bool = False) -> list[float]:
    """Return the numbers among values."""
    numbers = [float(v) for v in values if v is not None]
    return [v for v in numbers if math.isfinite(v) and (v > 0 or not positive)]


class Scale:
    """
    Places of numbers along an axis.

    Parameters
    ----------
    axis : Axis
        What is shown.
    values : iterable of float or None
        All that should be seen.
    start, stop : float
        Places of the two ends.
    """

    def __init__(self, axis: Axis, values: Iterable[float | None], start: float, stop: float) -> None:
        self.axis, self._start, self._stop = axis, start, stop
        self._log = axis.kind == "log"
        seen = finite([*values, axis.low, axis.high], positive=self._log) or [1.0]
        low, high = self._ends(min(seen), max(seen))
        self.low = low if axis.low is None else axis.low
        self.high = high if axis.high is None else axis.high

    def _ends(self, low: float, high: float) -> tuple[float, float]:
        """Leave a margin around what should be seen."""
        if self._log:
            margin = (high / low) ** 0.05 if high > low else 2.0
            return low / margin, high * margin
        alone = {"time": 60.0, "date": float(_DAY)}.get(self.axis.kind, 0.1 * abs(high) or 1.0)
        margin = 0.05 * (high - low) or alone
        return low - margin, high + margin

    def place(self, value: float | None) -> float | None:
        """Return the place of a number, beyond the ends where it lies beyond them; None where it has none."""
        if value is None or not math.isfinite(value) or (self._log and value <= 0):
            return None
        if self._log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self._start + min(max(part, -1.0), 2.0) * (self._stop - self._start)

    def ticks(self, wanted: int) -> list[tuple[float, str]]:
        """Return about so many ticks: numbers and their texts."""
        if self.axis.kind in ("time", "date"):
            return self._time_ticks(wanted)
        if self._log:
            return [(value, _power(value)) for value in self._log_values()]
        step = _nice((self.high - self.low) / wanted)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)]

    def _log_values(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        span = math.log10(self.high / self.low)
        parts = (1, 2, 5) if span < _FEW_DECADES else (1,)
        every = max(1, math.ceil((last - first) / _MOST_DECADES))
        found = [part * 10.0**decade for decade in range(first, last + 1, every) for part in parts]
        return [value for value in found if self.low <= value <= self.high]

    def _time_ticks(self, wanted: int) -> list[tuple[float, str]]:
        span = self.high - self.low
        step = next((s for s in _TIME_STEPS if span / s <= wanted), 0)
        if not step or span > _MANY_DAYS * _DAY or self.axis.kind == "date":
            step = _DAY * max(1, math.ceil(span / _DAY / wanted))
        form = "%Y-%m-%d" if step >= _DAY else "%H:%M:%S" if step < _TIME_STEPS[6] else "%H:%M"
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(float(n * step), _utc(n * step).strftime(form)) for n in range(first, last + 1)]


def _power(value: float) -> str:
    """Return a number as text, large and small powers of ten with an exponent."""
    exponent = round(math.log10(value))
    if abs(exponent) > _LONGEST and math.isclose(value, 10.0**exponent):
        return "10" + str(exponent).translate(_RAISED)
    return f"{value:g}"


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _nice(step: float) -> float:
    """Return a round number that is not smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(nice * power for nice in _STEPS if nice * power >= step * (1 - 1e-9))
