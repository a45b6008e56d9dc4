"""Traffic lights: quantities of a run or a night against limits from ``config/quality.toml``."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ..config.fields import Section
from ..errors import ConfigError
from ..names import printable
from ..night_science import DEFAULT_LIMITS
from ..sources import Source
from ..toml_file import read_toml

__all__ = [
    "LEVELS",
    "Check",
    "Limits",
    "NightLimits",
    "QualityLimits",
    "RunLimits",
    "Strictness",
    "check",
    "check_run",
    "is_accepted",
    "read_limits",
    "run_quantities",
    "target_offset_deg",
    "worst",
]

Level = Literal["good", "warning", "bad", "unknown"]
#: From best to worst; what is not known is no reason to doubt what is.
LEVELS: tuple[Level, ...] = ("unknown", "good", "warning", "bad")
Strictness = Literal["all", "usable", "good"]


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError(f"the lowest value {limits[0]:g} is above the highest {limits[1]:g}")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class Limits(Section):
    """Two ranges ``[lowest, highest]`` of a quantity, the narrow one inside the wide one."""

    good: Range
    usable: Range

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if self.good[0] < self.usable[0] or self.good[1] > self.usable[1]:
            raise ValueError("'good' reaches beyond 'usable'; make 'usable' the wider range")
        return self

    def level(self, value: float | None) -> Level:
        """Return the light of a value."""
        if value is None:
            return "unknown"
        if self.good[0] <= value <= self.good[1]:
            return "good"
        return "warning" if self.usable[0] <= value <= self.usable[1] else "bad"


def _limits(text: str) -> Any:  # noqa: ANN401 - pydantic's own type
    return Field(default=None, description=text)


class RunLimits(Section):
    """Limits of quantities of a run."""

    ontime_s: Limits | None = _limits("time from the first to the last trigger without pauses [s]")
    zenith_deg: Limits | None = _limits("mean zenith angle [deg]")
    nsb_mhz: Limits | None = _limits("level of the night sky [MHz per pixel]")
    trigger_rate_hz: Limits | None = _limits("events that are no pedestals, per live time [Hz]")
    pedestal_rate_hz: Limits | None = _limits("interleaved pedestals per on-time [Hz]")
    cleaned_fraction: Limits | None = _limits("events with an image after cleaning, of all but pedestals")
    pedestals_survived: Limits | None = _limits("pedestals that survive cleaning, of all pedestals")
    raised_threshold_fraction: Limits | None = _limits("pixels whose cleaning threshold was raised, mean")
    voltage_drop_clamped: Limits | None = _limits("events whose voltage drop is beyond what was measured")
    bad_pixels: Limits | None = _limits("pixels that are replaced by their neighbours")
    dead_time_fraction: Limits | None = _limits("time in which the camera could not trigger")
    target_offset_deg: Limits | None = _limits("angle between optical axis and target [deg]")


class NightLimits(Section):
    """Limits of quantities of a night; where there are several values, the worst one counts."""

    runs_done: Limits | None = _limits("runs with a DL1 file, of those that should have one")
    products_done: Limits | None = _limits("products after DL1 that are made, of those that are possible")
    matched_fraction: Limits | None = _limits("events with a partner, of the telescope that has fewer")
    clock_known: Limits | None = _limits("spans of time in which the clock offset stands out")
    quiet_pixels: Limits | None = _limits("pixels that hardly fluctuate")
    noisy_pixels: Limits | None = _limits("pixels that fluctuate more than twice as much as the median")
    mc_intensity_ratio: Limits | None = _limits("median intensity of images, relative to simulated protons")
    irf_not_interpolated: Limits | None = _limits("photon lists with a response that is a fallback")


class QualityLimits(Section):
    """All limits."""

    run: RunLimits = RunLimits()
    night: NightLimits = NightLimits()


@dataclass(frozen=True)
class Check:
    """
    One light.

    Parameters
    ----------
    name : str
        Of the quantity.
    value : float or None
        What was found.
    level : str
        One of `LEVELS`.
    good, usable : tuple of float or None
        Limits; None where there are none.
    what : str
        Meaning of the quantity, and what the value belongs to.
    """

    name: str
    value: float | None
    level: Level
    good: tuple[float, float] | None
    usable: tuple[float, float] | None
    what: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def read_limits(path: Path | None = None) -> QualityLimits:
    """
    Read limits; without a path those of the checkout.

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value in it is wrong.
    """
    path = DEFAULT_LIMITS if path is None else path
    try:
        return QualityLimits.model_validate(_with_tuples(read_toml(path, "limits of quality")))
    except ValidationError as failure:
        raise ConfigError(f"{path}: {printable('; '.join(_problems(failure)))}") from None


def _with_tuples(value: object) -> Any:  # noqa: ANN401 - a TOML value
    if isinstance(value, Mapping):
        return {name: _with_tuples(item) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    return value


def _problems(failure: ValidationError) -> Iterable[str]:
    """Put pydantic's errors into the words of the file."""
    for error in failure.errors(include_url=False):
        key = ".".join(map(str, error["loc"]))
        if error["type"] == "extra_forbidden":
            section = {"run": RunLimits, "night": NightLimits}.get(str(error["loc"][0]), QualityLimits)
            yield f"{key} is unknown; known are {', '.join(section.model_fields)}"
        else:
            yield f"{key}: {error['msg'].removeprefix('Value error, ')}"


def check(name: str, value: float | None, limits: Section, what: str = "") -> Check | None:
    """
    Return the light of a quantity; None where the limits do not speak of it.

    Parameters
    ----------
    name : str
        Of the quantity, a key of the limits.
    value : float or None
        None where it is not known.
    limits : RunLimits or NightLimits
        The limits.
    what : str
        What the value belongs to.
    """
    own: Limits | None = getattr(limits, name)
    if own is None:
        return None
    meaning = type(limits).model_fields[name].description or name
    return Check(
        name, value, own.level(value), own.good, own.usable, f"{meaning}; {what}" if what else meaning
    )


def worst(checks: Iterable[Check]) -> Level:
    """Return the worst light; ``unknown`` where there is none."""
    return max((one.level for one in checks), key=LEVELS.index, default="unknown")


def run_quantities(
    record: Mapping[str, Any], target_offset_deg: float | None = None
) -> dict[str, float | None]:
    """
    Return the quantities of a run.

    Parameters
    ----------
    record : mapping
        Provenance of its DL1 file (the ``.json`` beside it).
    target_offset_deg : float, optional
        Angle between optical axis and target [deg].
    """
    info = record.get("calibration") or {}
    live, pointing = info.get("live_time") or {}, info.get("mean_pointing") or {}
    pedestals, events = info.get("n_pedestal"), info.get("n_events_written")
    altitude, deadc = pointing.get("alt_deg"), live.get("deadc")
    return {
        "ontime_s": live.get("ontime_s"),
        "zenith_deg": None if altitude is None else 90.0 - altitude,
        "nsb_mhz": info.get("nsb_mhz"),
        "trigger_rate_hz": _ratio(events, live.get("livetime_s")),
        "pedestal_rate_hz": _ratio(pedestals, live.get("ontime_s")),
        "cleaned_fraction": _ratio(info.get("n_parametrized"), events),
        "pedestals_survived": _ratio(info.get("n_survived_pedestals"), pedestals),
        "raised_threshold_fraction": info.get("mean_raised_threshold_fraction"),
        "voltage_drop_clamped": _ratio(info.get("n_voltage_drop_clamped"), events),
        "bad_pixels": info.get("n_bad_pixels"),
        "dead_time_fraction": None if deadc is None else 1.0 - deadc,
        "target_offset_deg": target_offset_deg,
    }


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def target_offset_deg(record: Mapping[str, Any], target: Source | None) -> float | None:
    """Return the angle between the optical axis of a run and its target [deg]; None where one is unknown."""
    run = record.get("run") or {}
    ra, dec = run.get("ra_deg"), run.get("dec_deg")
    if target is None or ra is None or dec is None:
        return None
    d1, d2, across = (math.radians(angle) for angle in (target.dec_deg, dec, ra - target.ra_deg))
    haversine = math.sin((d2 - d1) / 2) ** 2 + math.cos(d1) * math.cos(d2) * math.sin(across / 2) ** 2
    return math.degrees(2 * math.asin(math.sqrt(min(haversine, 1.0))))


def check_run(
    record: Mapping[str, Any], limits: RunLimits, target_offset_deg: float | None = None
) -> list[Check]:
    """Return the lights of a run; see `run_quantities`."""
    quantities = run_quantities(record, target_offset_deg)
    found = (check(name, value, limits) for name, value in quantities.items())
    return [one for one in found if one is not None]


def is_accepted(level: Level, strictness: Strictness) -> bool:
    """Whether a run of this light is taken: ``usable`` leaves out bad ones, ``good`` also doubtful ones."""
    worst_allowed: Level = {"all": "bad", "usable": "warning", "good": "good"}[strictness]  # type: ignore[assignment]
    return LEVELS.index(level) <= LEVELS.index(worst_allowed)
