"""Raw file names and TARGET strings: text from outside, read by strict rules before it names a file."""

import datetime
import re
from dataclasses import dataclass
from typing import Literal

from sst1m.errors import RawFileError

__all__ = [
    "RESERVED_NAMES",
    "UNDEFINED_WOBBLE",
    "RawName",
    "Target",
    "parse_target",
    "printable",
    "shown",
    "target_name_problem",
    "wobble_problem",
]

UNDEFINED_WOBBLE = "UNDEF"
"""What stands for the wobble in a product name when the header gives a pointing but no ``WN``."""

RESERVED_NAMES = frozenset(
    {"attempts", "cs1", "cs2", "log", "logs", "quarantine", "report", "stereo", "unknown"}
)
"""Names the night directory needs for itself (compared without case); no target may take them."""

Kind = Literal["science", "dark", "transition", "test", "unknown"]

# First words of TARGET that mean "not an observation", as the operators really write them.
_KIND_OF_WORD: dict[str, Kind] = {
    "dark": "dark",
    "drak": "dark",
    "transition": "transition",
    "bias": "test",
    "wrtest": "test",
    "unknown": "unknown",
}

_RAW_NAME = re.compile(r"SST1M([12])_([0-9]{8})_([0-9]{4})\.fits\.fz", re.ASCII)
_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,63}", re.ASCII)
_WOBBLE = re.compile(r"W[0-9]{1,3}", re.ASCII)
_WOBBLE_AT_END = re.compile(r"(?<=.)W[0-9]{1,3}\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True, order=True)
class RawName:
    """The name of a raw file: telescope, night and run.

    Parameters
    ----------
    tel : int
        Number of the telescope, 1 or 2, as in the file name.
    date : datetime.date
        Date of the evening on which the night began.
    run : int
        Number of the file within its night and telescope, 0 to 9999.
    """

    tel: int
    date: datetime.date
    run: int

    @classmethod
    def parse(cls, name: str) -> "RawName":
        """Read ``SST1M{1,2}_{YYYYMMDD}_{NNNN}.fits.fz``.

        Raises
        ------
        RawFileError
            If the name has another shape or its date is not a day of the calendar.
        """
        match = _RAW_NAME.fullmatch(name)
        if match is None:
            raise RawFileError(
                f"{shown(name)} is not a raw name: expected SST1M{{1,2}}_YYYYMMDD_NNNN.fits.fz"
            )
        try:
            date = datetime.datetime.strptime(match[2], "%Y%m%d").date()
        except ValueError:
            raise RawFileError(f"{shown(name)} is not a raw name: {match[2]} is not a date") from None
        return cls(int(match[1]), date, int(match[3]))

    @property
    def tel_id(self) -> int:
        """Telescope id in the data, 21 or 22."""
        return 20 + self.tel

    @property
    def obs_id(self) -> int:
        """Identifier of the observation, the digits ``YYYYMMDDNNNN``."""
        return int(f"{self.date:%Y%m%d}{self.run:04d}")

    @property
    def stem(self) -> str:
        """The name without its suffixes; every product of this run begins with it."""
        return f"SST1M{self.tel}_{self.date:%Y%m%d}_{self.run:04d}"

    def __str__(self) -> str:
        return f"{self.stem}.fits.fz"


@dataclass(frozen=True)
class Target:
    """What a TARGET header says about a run.

    Parameters
    ----------
    name : str
        Name of the target, fit to be a directory name; empty where none could be read.
    wobble : str
        ``W1`` and the like; ``UNDEF`` where the header has none.
    ra_deg, dec_deg : float or None
        Pointing of the telescope (not of the source), ICRS [deg]; None where not given.
    kind : str
        ``science``, ``dark``, ``transition``, ``test`` or ``unknown``.
    reason : str
        Why the kind is not ``science``, or why there is no pointing; empty otherwise.
    """

    name: str
    wobble: str
    ra_deg: float | None
    dec_deg: float | None
    kind: Kind
    reason: str = ""


def shown(text: str, limit: int = 60) -> str:
    """Text from outside in quotes, on one line, ASCII and shortened, fit for a message or a table."""
    return ascii(text if len(text) <= limit else text[: limit - 1] + "…")


def printable(text: str) -> str:
    """Text with words from outside in it, fit for a terminal: printable characters and line ends only."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def target_name_problem(name: str) -> str:
    """Say why a target name cannot be a directory name; empty where it can."""
    if _TARGET_NAME.fullmatch(name) is None:
        return "allowed are 1 to 64 letters, digits and +._-, beginning with a letter or digit"
    if ".." in name:
        return "two dots in a row are not allowed"
    if name.casefold() in RESERVED_NAMES:
        return "the night directory needs this name for itself"
    return ""


def wobble_problem(wobble: str) -> str:
    """Say why a wobble tag cannot be part of a product name; empty where it can."""
    if wobble == UNDEFINED_WOBBLE or _WOBBLE.fullmatch(wobble):
        return ""
    return f"expected W and one to three digits, or {UNDEFINED_WOBBLE}"


def parse_target(header: str | None) -> Target:
    """Read a TARGET header: name, wobble tag and pointing, separated by commas or underscores.

    Coordinates and wobble are taken from the right, so a name may itself contain the separator. The string
    is data from outside: whatever does not fit the rules gives a reason, never a directory.

    Parameters
    ----------
    header : str or None
        The value of the header keyword; None where the file has none.
    """
    if header is None or not header.strip():
        return Target("", UNDEFINED_WOBBLE, None, None, "unknown", "the file has no TARGET")
    text = header.strip(" ")
    separator = _separator(text)
    tokens = [token.strip(" ") for token in text.split(separator)] if separator else [text]
    kind = _KIND_OF_WORD.get(re.split(r"[,_ ]", text, maxsplit=1)[0].casefold())
    if kind is not None:
        return Target("", UNDEFINED_WOBBLE, None, None, kind, f"TARGET is {shown(header)}")
    ra_deg, dec_deg, problem = _take_pointing(tokens)
    wobble = _take_wobble(tokens)
    name = (separator or "").join(tokens).replace(" ", "")
    if name_problem := target_name_problem(name):
        reason = f"TARGET {shown(header)} gives no valid target name: {name_problem}"
        return Target("", UNDEFINED_WOBBLE, None, None, "unknown", reason)
    return Target(name, wobble, ra_deg, dec_deg, "science", problem and f"TARGET {shown(header)}: {problem}")


def _separator(text: str) -> str | None:
    """Return the separator that leaves two numbers at the end; without coordinates the one that occurs."""
    for separator in (",", "_"):
        tokens = text.split(separator)
        if len(tokens) >= 3 and all(_NUMBER.fullmatch(token.strip(" ")) for token in tokens[-2:]):
            return separator
    return next((separator for separator in (",", "_") if separator in text), None)


def _take_pointing(tokens: list[str]) -> tuple[float | None, float | None, str]:
    """Remove the coordinates from the end of the tokens; None and a reason where they are not valid."""
    if len(tokens) < 3 or not all(_NUMBER.fullmatch(token) for token in tokens[-2:]):
        return None, None, "it has no coordinates at its end"
    ra_deg, dec_deg = float(tokens[-2]), float(tokens[-1])
    del tokens[-2:]
    # The pattern has no way to write inf or nan, but 1e99 passes: the ranges stop it.
    if not 0.0 <= ra_deg < 360.0:
        return None, None, f"right ascension {ra_deg:g} is outside [0, 360)"
    if not -90.0 <= dec_deg <= 90.0:
        return None, None, f"declination {dec_deg:g} is outside [-90, 90]"
    return ra_deg, dec_deg, ""


def _take_wobble(tokens: list[str]) -> str:
    """Remove a wobble tag that stands alone at the end; one written onto the name stays part of it."""
    if len(tokens) > 1 and _WOBBLE.fullmatch(tokens[-1]):
        return tokens.pop()
    head, separator, tail = tokens[-1].rpartition("_") if "_" in tokens[-1] else tokens[-1].rpartition(" ")
    if separator and head and _WOBBLE.fullmatch(tail):
        tokens[-1] = head
        return tail
    at_end = _WOBBLE_AT_END.search(tokens[-1])
    return at_end.group() if at_end else UNDEFINED_WOBBLE
