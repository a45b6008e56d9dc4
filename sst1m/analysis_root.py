"""An analysis root holds the products of one configuration; it remembers which."""

import json
from collections.abc import Mapping
from pathlib import Path

from sst1m.checkpoint import held_lock, sweep_parts, write_json
from sst1m.errors import ConfigError
from sst1m.json_object import json_object

__all__ = ["RECORD_NAME", "check_analysis_root", "claim_analysis_root"]

RECORD_NAME = "analysis.json"
_SHOWN_KEYS = 6
_SHOWN_LENGTH = 40
_ABSENT = object()


def claim_analysis_root(
    ana_dir: Path, fingerprint: str, values: Mapping[str, object], options: Mapping[str, object]
) -> None:
    """
    Bind an analysis root to a configuration, or make sure that it is bound to this one.

    Parameters
    ----------
    ana_dir : Path
        Root of the analysis; made where it does not exist.
    fingerprint : str
        Fingerprint of the configuration.
    values : mapping
        All keys of the configuration with their values, to say later what differs.
    options : mapping
        Options outside the configuration that change what products contain.

    Raises
    ------
    ConfigError
        If the root holds products of another configuration.
    OutputError
        If the root cannot be written to.
    """
    path = ana_dir / RECORD_NAME
    if not path.exists():
        with held_lock(ana_dir / ".analysis.lock"):
            # Another process may have been first while this one waited for the lock.
            sweep_parts(path)
            if not path.exists():
                write_json(
                    path, {"fingerprint": fingerprint, "options": dict(options), "config": dict(values)}
                )
    check_analysis_root(ana_dir, fingerprint, values, options)


def check_analysis_root(
    ana_dir: Path, fingerprint: str, values: Mapping[str, object], options: Mapping[str, object]
) -> None:
    """
    Make sure that an analysis root is not bound to another configuration; parameters as in
    `claim_analysis_root`.

    Raises
    ------
    ConfigError
        If the root holds products of another configuration: says which keys differ.
    """
    path = ana_dir / RECORD_NAME
    if not path.exists():
        return
    known = _read(path)
    if known["fingerprint"] == fingerprint and known["options"] == dict(options):
        return
    before = _leaves(known["config"], "") | _leaves(known["options"], "[night] ")
    now = _leaves(values, "") | _leaves(options, "[night] ")
    raise ConfigError(
        f"{ana_dir} holds products of another configuration ({path.name}): {_difference(before, now)}; "
        "go back to the old values, or choose a new ana_dir for the new ones"
    )


def _read(path: Path) -> dict[str, object]:
    try:
        record = json_object(path.read_text())
        return {key: record[key] for key in ("fingerprint", "options", "config")}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"{path}: is not the record of an analysis ({error}); restore it, or choose a new ana_dir; "
            "remove it only if all products there are of the present configuration"
        ) from None


def _leaves(value: object, key: str) -> dict[str, object]:
    """Return the values of a nested mapping by their key path."""
    if not isinstance(value, Mapping):
        return {key: value}
    leaves: dict[str, object] = {}
    for name, item in value.items():
        leaves |= _leaves(item, f"{key}.{name}" if key and not key.endswith(" ") else f"{key}{name}")
    return leaves


def _difference(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    keys = [key for key in sorted({*before, *now}) if before.get(key, _ABSENT) != now.get(key, _ABSENT)]
    parts = [f"{key} was {_shown(before, key)}, is {_shown(now, key)}" for key in keys[:_SHOWN_KEYS]]
    if len(keys) > _SHOWN_KEYS:
        parts.append(f"and {len(keys) - _SHOWN_KEYS} more")
    return "; ".join(parts) or "values that this version no longer knows"


def _shown(values: Mapping[str, object], key: str) -> str:
    if key not in values:
        return "absent"
    text = json.dumps(values[key], default=str)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."
