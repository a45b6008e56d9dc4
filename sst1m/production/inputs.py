"""Files that lie on disk and become shards: which belong to which sample, remembered in one list."""

import glob
import logging
from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path

from ..checkpoint import held_lock, sweep_parts, write_json
from ..errors import ConfigError, InputError
from ..json_object import json_object
from ..layout_mc import Particle, ProductionLayout, Role
from ..nodes import Node
from .model import Production
from .source import Files

__all__ = ["add_new_inputs", "input_file", "listed_inputs"]

log = logging.getLogger(__name__)

_LIST = "inputs.json"


def input_file(
    production: Production, layout: ProductionLayout, sample: tuple[Particle, Node, Role], index: int
) -> Path | None:
    """
    Return the file that a shard is made from; None where it is simulated.

    Parameters
    ----------
    production, layout
        The production.
    sample : tuple
        Particle, node and role.
    index : int
        Number of the shard.
    """
    source = production.source
    if not isinstance(source, Files):
        return None
    particle, node, role = sample
    if source.is_numbered:
        return Path(source.path(particle, role, node, index))
    return Path(listed_inputs(production, layout)[f"{particle}/{node}/{role}"][index])


def listed_inputs(production: Production, layout: ProductionLayout) -> Mapping[str, list[str]]:
    """
    Return the files of each sample, under ``particle/node/role``, where a pattern with wildcards names them.

    The first call looks on the disk and writes the list; later ones read it, so that a shard keeps its
    number when more files arrive (`add_new_inputs`).

    Raises
    ------
    InputError
        A sample has no file.
    ConfigError
        The list cannot be read.
    """
    source = production.source
    if not isinstance(source, Files) or source.is_numbered:
        return {}
    path = layout.root / _LIST
    if not path.exists():
        with held_lock(layout.locks / f"{_LIST}.lock"):
            sweep_parts(path)
            if not path.exists():
                _write(path, source, _found(production, source))
    return _read(path, source, path.stat().st_mtime_ns)


def add_new_inputs(production: Production, layout: ProductionLayout) -> None:
    """Append files that have arrived to the list, except to samples that are merged already."""
    source = production.source
    if not isinstance(source, Files) or source.is_numbered:
        return
    known = {key: list(names) for key, names in listed_inputs(production, layout).items()}
    n_added = 0
    for key, found in _found(production, source).items():
        new = sorted(set(found) - set(known.get(key, ())))
        particle, node, role = key.split("/")
        if new and layout.merged(particle, Node.parse(node), role).exists():
            log.warning("%s: %d files came after the merge and are not used, e.g. %s", key, len(new), new[0])
            continue
        known.setdefault(key, []).extend(new)
        n_added += len(new)
    if n_added:
        with held_lock(layout.locks / f"{_LIST}.lock"):
            _write(layout.root / _LIST, source, known)
        log.info("%d files have arrived since the last call", n_added)


def _write(path: Path, source: Files, files: Mapping[str, list[str]]) -> None:
    write_json(path, {"pattern": source.pattern, "files": files})


@lru_cache(maxsize=2)
def _read(path: Path, source: Files, _mtime_ns: int) -> dict[str, list[str]]:
    try:
        record = json_object(path.read_text())
        files = {key: [str(name) for name in names] for key, names in record["files"].items()}
        pattern = record["pattern"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); restore it, or remove it if nothing was made yet"
        ) from None
    if pattern != source.pattern:
        raise ConfigError(
            f"{path} lists files of another pattern ({pattern}); go back to that pattern, or give the "
            "production a new name"
        )
    return files


def _found(production: Production, source: Files) -> dict[str, list[str]]:
    """Look for the files of every sample."""
    files = {}
    for particle, beam in production.particles.given().items():
        for role, node in product(beam.roles, production.axes.nodes):
            pattern = source.path(particle, role, node, 0)
            found = sorted(glob.glob(pattern))
            if not found:
                raise InputError(f"{particle} {node} {role}: no file matches {pattern}")
            files[f"{particle}/{node}/{role}"] = found
    return files
