"""What a simulated night depends on, and whether it was made before; nothing heavy is imported here."""

import datetime
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import ConfigError
from ..json_object import json_object
from ..sources import Source

#: Goes up whenever the same specification would give other bytes than before.
_MAKER = 1
_FIRST_YEAR, _LAST_YEAR = 1980, 2200
_MOST_RUNS, _DAY_MINUTES = 9999, 24 * 60

__all__ = ["NightSpec", "night_is_complete", "simulation_directory", "specification_path"]


@dataclass(frozen=True)
class NightSpec:
    """
    Everything that a simulated night depends on.

    Parameters
    ----------
    date : datetime.date
        Date of the evening on which the night begins.
    source : Source
        The target.
    flux : float
        Gamma rays of the source, in units of the Crab nebula.
    wobbles : tuple of str
        Taken in turn by the runs.
    n_runs : int
        Runs on the source of each telescope.
    seed : int
        The same seed gives the same bytes.
    run_seconds : float
        Length of a run [s].
    interval_minutes : float
        From the begin of a run to that of the next one [min].
    pedestal_hz : float
        Rate of interleaved pedestal events [Hz].
    background : float
        Protons, as a fraction of their real flux.
    nsb_mhz : float
        Night sky [MHz per pixel].
    wobble_deg : float
        Distance of the wobbles from the source [deg].
    calibration_runs : bool
        Whether each telescope takes a dark run and a run of transition.
    missing_runs : bool
        Whether telescope 22 has lost its last run, where there are three or more.
    """

    date: datetime.date
    source: Source
    flux: float = 1.0
    wobbles: tuple[str, ...] = ("W1", "W2")
    n_runs: int = 4
    seed: int = 1
    run_seconds: float = 30.0
    interval_minutes: float = 20.0
    pedestal_hz: float = 100.0
    background: float = 1.0
    nsb_mhz: float = 100.0
    wobble_deg: float = 0.7
    calibration_runs: bool = True
    missing_runs: bool = True

    def __post_init__(self) -> None:
        amounts = ("flux", "background", "nsb_mhz", "pedestal_hz", "wobble_deg", "seed")
        sizes = ("n_runs", "run_seconds", "interval_minutes")
        # Written so that NaN is wrong, too.
        wrong = [name for name in amounts if not 0 <= getattr(self, name) < math.inf]
        wrong += [name for name in sizes if not 0 < getattr(self, name) < math.inf]
        if not _FIRST_YEAR <= self.date.year <= _LAST_YEAR:
            wrong.append(f"date (only {_FIRST_YEAR} to {_LAST_YEAR})")
        if self.n_runs > _MOST_RUNS or self.interval_minutes > _DAY_MINUTES:
            wrong.append("n_runs, interval_minutes (longer than a day, or more runs than numbers)")
        if not (0 <= self.source.ra_deg < 360 and -90 <= self.source.dec_deg <= 90):
            wrong.append("ra, dec (no position)")
        if self.run_seconds > 60 * self.interval_minutes:
            wrong.append("interval_minutes (shorter than a run)")
        if self.nsb_mhz > 800:
            wrong.append("nsb_mhz (the voltage drop was never measured there)")
        if not self.wobbles:
            wrong.append("wobbles (none)")
        if wrong:
            raise ConfigError(f"a night cannot be simulated with these values: {', '.join(wrong)}")

    def fingerprint(self) -> str:
        """Return a digest of the values, to recognise the same night."""
        text = json.dumps([_MAKER, asdict(self)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def simulation_directory(root: Path, spec: NightSpec) -> Path:
    """Return where specification and truth of a simulated night lie below the raw root."""
    return Path(root, "simulation", f"{spec.date:%Y%m%d}")


def specification_path(root: Path, spec: NightSpec) -> Path:
    """Return the file that says what was simulated, and whether it is complete."""
    return simulation_directory(root, spec) / "night.json"


def night_is_complete(spec: NightSpec, root: Path) -> bool:
    """Whether this very night was simulated before, to its end."""
    try:
        made = json_object(specification_path(root, spec).read_text())
        same = made["fingerprint"] == spec.fingerprint() and made["complete"] is True
        return same and all(Path(root, name).is_file() for name in made["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
