"""The packaged catalogue of sources; no astropy here, so that commands start at once."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

from ..ecsv import read_ecsv
from ..errors import InputError

__all__ = ["Source", "known_sources", "source_named"]


@dataclass(frozen=True)
class Source:
    """A source: its name and ICRS position [deg]."""

    name: str
    ra_deg: float
    dec_deg: float


@cache
def known_sources() -> dict[str, Source]:
    """Return the sources of the packaged catalogue by name."""
    with as_file(files("sst1m") / "resources" / "sources.ecsv") as path:
        table = read_ecsv(path)
    return {name: Source(name, float(ra), float(dec)) for _, (name, ra, dec) in table.rows}


def source_named(name: str) -> Source:
    """
    Return a source of the catalogue.

    Raises
    ------
    InputError
        It is not in the catalogue.
    """
    try:
        return known_sources()[name]
    except KeyError:
        raise InputError(
            f"no source named {name!r}; known are {', '.join(known_sources())}; "
            "give --ra and --dec for another"
        ) from None
