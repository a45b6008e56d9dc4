"""Finds the file of a production by its name."""

from difflib import get_close_matches
from pathlib import Path

from ..errors import ConfigError

__all__ = ["find_production"]


def find_production(name: str, directories: tuple[Path, ...]) -> Path:
    """
    Return the file of a production.

    Parameters
    ----------
    name : str
        A path that ends with ``.toml``, or the name of a file without the ending.
    directories : tuple of Path
        Where named files are looked for, first match first.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name.endswith(".toml"):
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; give the TOML file of a production")
        return path
    for directory in directories:
        if (path := directory / f"{name}.toml").is_file():
            return path.absolute()
    known = sorted({path.stem for directory in directories for path in directory.glob("*.toml")})
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
    places = ", ".join(str(directory) for directory in directories)
    raise ConfigError(f"production {name!r}: no {name}.toml in {places}; {hint}; a path works, too")
