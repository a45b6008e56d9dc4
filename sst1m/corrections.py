"""The operator's word on the runs of a night: what overrules or completes the headers of the raw files."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from sst1m.ecsv import read_ecsv
from sst1m.errors import ConfigError
from sst1m.names import shown, target_name_problem, wobble_problem

__all__ = ["COLUMNS", "Correction", "corrections_digest", "read_corrections"]

COLUMNS = ("tel", "run", "target", "wobble", "ra", "dec", "exclude", "reason")
_REQUIRED = ("tel", "run")
_TELESCOPES = {"1": 21, "2": 22, "21": 21, "22": 22}
_T = TypeVar("_T")
_YES, _NO = ("true", "yes", "1"), ("", "false", "no", "0")


@dataclass(frozen=True)
class Correction:
    """
    One row of ``corrections.ecsv``; empty or None keeps what the header says.

    Parameters
    ----------
    tel_id : int
        21 or 22.
    run : int
        Number of the run.
    target, wobble : str
        Name and wobble tag to be used.
    ra_deg, dec_deg : float or None
        Pointing of the telescope, ICRS [deg].
    exclude : bool
        The run is not to be reduced.
    reason : str
        Why.
    line : int
        Line in the file.
    """

    tel_id: int
    run: int
    target: str = ""
    wobble: str = ""
    ra_deg: float | None = None
    dec_deg: float | None = None
    exclude: bool = False
    reason: str = ""
    line: int = 0


def corrections_digest(path: Path) -> str:
    """Return a digest of the file, empty where there is none: a change of it reopens the night."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path and its rights"
        ) from None


def read_corrections(path: Path) -> dict[tuple[int, int], Correction]:
    """
    Read ``corrections.ecsv``; no file means no corrections.

    Returns
    -------
    dict
        Correction by telescope id and run.

    Raises
    ------
    ConfigError
        With everything that is wrong with the file, line by line.
    """
    if not path.exists():
        return {}
    table = read_ecsv(path)
    problems = _column_problems(table.names)
    corrections: dict[tuple[int, int], Correction] = {}
    for line, cells in table.rows if not problems else ():
        row = _Row(dict.fromkeys(COLUMNS, "") | dict(zip(table.names, cells, strict=True)), line)
        correction = row.correction()
        problems += row.problems
        if correction is None:
            continue
        key = (correction.tel_id, correction.run)
        if key in corrections:
            problems.append(
                f"line {line}: telescope {key[0]} run {key[1]} stands in line {corrections[key].line} already"
            )
        corrections[key] = correction
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return corrections


def _column_problems(names: tuple[str, ...]) -> list[str]:
    problems = []
    for name in names:
        if name not in COLUMNS:
            close = get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(COLUMNS)}"
            problems.append(f"unknown column {shown(name)}: {hint}")
        elif names.count(name) > 1:
            problems.append(f"column {name!r} stands more than once")
    return list(dict.fromkeys(problems)) + [
        f"column {name!r} is missing" for name in _REQUIRED if name not in names
    ]


class _Row:
    """Reads the cells of one row and collects what is wrong with them."""

    def __init__(self, cells: Mapping[str, str], line: int) -> None:
        self.cells, self.line = cells, line
        self.problems: list[str] = []

    def correction(self) -> Correction | None:
        tel_id = self._value("tel", _TELESCOPES.__getitem__, "1, 2, 21 or 22")
        run = self._value("run", _run_number, "a number from 0 to 9999")
        ra_deg = self._angle("ra", 0.0, 360.0)
        dec_deg = self._angle("dec", -90.0, 90.0)
        if (ra_deg is None) != (dec_deg is None) and not self.problems:
            self._complain("give both ra and dec, or neither")
        for name, problem in (("target", target_name_problem), ("wobble", wobble_problem)):
            if self.cells[name] and (reason := problem(self.cells[name])):
                self._complain(f"{name} {shown(self.cells[name])}: {reason}")
        exclude = self._value("exclude", _yes_or_no, "true or false")
        if exclude and not self.cells["reason"]:
            self._complain("exclude needs a reason")
        if tel_id is None or run is None or self.problems:
            return None
        texts = (self.cells["target"], self.cells["wobble"])
        return Correction(
            tel_id, run, *texts, ra_deg, dec_deg, bool(exclude), self.cells["reason"], self.line
        )

    def _complain(self, text: str) -> None:
        self.problems.append(f"line {self.line}: {text}")

    def _value(self, name: str, read: Callable[[str], _T], allowed: str) -> _T | None:
        try:
            return read(self.cells[name])
        except (KeyError, ValueError):
            self._complain(f"{name} {shown(self.cells[name])}: allowed is {allowed}")
            return None

    def _angle(self, name: str, low: float, high: float) -> float | None:
        if not self.cells[name]:
            return None
        closing = "]" if name == "dec" else ")"

        def in_range(text: str) -> float:
            value = float(text)
            if not math.isfinite(value) or not low <= value <= high or (name == "ra" and value == high):
                raise ValueError(text)
            return value

        return self._value(name, in_range, f"an angle in degrees in [{low:g}, {high:g}{closing}")


def _run_number(text: str) -> int:
    run = int(text)
    if not 0 <= run <= 9999:
        raise ValueError(text)
    return run


def _yes_or_no(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise ValueError(text)
