"""The catalogue of sources, ``config/sources.ecsv``; no astropy here, so that commands start at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sst1m.ecsv import read_ecsv
from sst1m.errors import ConfigError, InputError
from sst1m.names import shown, target_name_problem

__all__ = ["DEFAULT_SOURCES", "Source", "SourceCatalogue", "read_sources"]

#: The catalogue of the checkout that this package is imported from.
DEFAULT_SOURCES = Path(__file__).resolve().parent.parent / "config" / "sources.ecsv"

_COLUMNS = ("name", "ra", "dec", "aliases")


@dataclass(frozen=True)
class Source:
    """A source: its name and ICRS position [deg]."""

    name: str
    ra_deg: float
    dec_deg: float


@dataclass(frozen=True)
class SourceCatalogue:
    """
    Sources by name.

    Parameters
    ----------
    path : Path
        The file they come from.
    sources : mapping of str to Source
        By name, in the order of the file.
    aliases : mapping of str to str
        Name of a source by each of its spellings: names and aliases without blanks, ``_`` and case.
    """

    path: Path
    sources: Mapping[str, Source]
    aliases: Mapping[str, str]

    def named(self, name: str) -> Source:
        """
        Return a source by its name or another name of it; blanks, underscores and case do not count.

        Raises
        ------
        InputError
            It is not in the catalogue: says how to add it.
        """
        spelling = _spelling(name)
        if spelling in self.aliases:
            return self.sources[self.aliases[spelling]]
        near = get_close_matches(spelling, self.aliases, n=1)
        hint = f", is it {self.aliases[near[0]]}?" if near else ""
        raise InputError(
            f"no source named {shown(name)} in {self.path}{hint}; to add it append a line "
            f"'{'NAME' if target_name_problem(name) else name},<ra>,<dec>,' with its ICRS position [deg]"
        )

    def __contains__(self, name: str) -> bool:
        return _spelling(name) in self.aliases


def read_sources(path: Path | None = None) -> SourceCatalogue:
    """
    Read a catalogue of sources.

    Parameters
    ----------
    path : Path, optional
        A table with the columns name, ra, dec [deg] and aliases (separated by ``;``); without it that of
        the checkout.

    Raises
    ------
    ConfigError
        The table cannot be read, a position is none, or two sources share a name.
    """
    path = DEFAULT_SOURCES if path is None else path
    table = read_ecsv(path)
    if table.names[:3] != _COLUMNS[:3] or set(table.names[3:]) - {"aliases"}:
        raise ConfigError(f"{path}: has the columns {table.shown_names()}; it needs {', '.join(_COLUMNS)}")
    sources: dict[str, Source] = {}
    aliases: dict[str, str] = {}
    for number, (name, ra, dec, *others) in table.rows:
        where = f"{path} line {number}"
        sources[name] = _source(name, ra, dec, where)
        for other in (name, *filter(None, "".join(others).split(";"))):
            if aliases.setdefault(_spelling(other), name) != name:
                raise ConfigError(f"{where}: {shown(other)} is also a name of {aliases[_spelling(other)]}")
    if len(sources) != len(table.rows):
        raise ConfigError(f"{path}: a source is listed twice; remove one of its lines")
    return SourceCatalogue(path, sources, aliases)


def _source(name: str, ra: str, dec: str, where: str) -> Source:
    if problem := target_name_problem(name):
        raise ConfigError(f"{where}: {shown(name)} cannot name a source: {problem}")
    try:
        source = Source(name, float(ra), float(dec))
    except ValueError:
        raise ConfigError(f"{where}: {shown(ra)}, {shown(dec)} are not two numbers [deg]") from None
    if not (0 <= source.ra_deg < 360 and -90 <= source.dec_deg <= 90):
        raise ConfigError(f"{where}: ra {ra}, dec {dec} is no position; ra is in [0, 360), dec in [-90, 90]")
    return source


def _spelling(name: str) -> str:
    return name.replace(" ", "").replace("_", "").casefold()
