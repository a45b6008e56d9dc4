"""Guards around luigi.cfg: unknown keys are errors, and exit codes tell the truth without it, too."""

from collections import defaultdict
from configparser import InterpolationError
from difflib import get_close_matches

from luigi import Config, retcodes
from luigi.configuration import get_config
from luigi.task_register import Register

from sst1m.errors import ConfigError

__all__ = ["check_luigi_cfg", "set_truthful_defaults"]

# Whoever imports the tasks without luigi's command line knows the section [retcode], too.
_RETCODE = retcodes.retcode

# Sections that luigi reads without declaring their keys.
_FREE_SECTIONS = frozenset({"DEFAULT", "logging", "resources"})

# luigi's own defaults end with status 0 after a failed task, and believe a task that says it is done.
_DEFAULTS = {
    "core": {"local_scheduler": "true", "no_lock": "true", "log_level": "WARNING"},
    # A file that arrives meanwhile is found by RunNight itself; luigi would call it a failed dependency.
    "worker": {"check_complete_on_run": "true", "check_unfulfilled_deps": "false"},
    # A manifest that a new raw file has made old is due again at once; for ten seconds luigi would only spin.
    "scheduler": {"stable_done_cooldown_secs": "0"},
    "retcode": {
        "already_running": "10",
        "missing_data": "20",
        "not_run": "20",
        "task_failed": "30",
        "scheduling_error": "35",
        "unhandled_exception": "40",
    },
}


def set_truthful_defaults() -> None:
    """
    Set what luigi.cfg leaves open so that a failure never looks like a success.

    Raises
    ------
    ConfigError
        If a value that luigi.cfg gives to luigi itself cannot be understood.
    """
    config = get_config()
    for section, values in _DEFAULTS.items():
        for key, value in values.items():
            if not config.has_option(section, key):
                config.set(section, key, value)
    _check_values()


def _check_values() -> None:
    """Raise `ConfigError` for a value that luigi itself cannot read: it would end with a traceback."""
    for section in _DEFAULTS:
        try:
            Register.get_task_cls(section)()
        except (ValueError, InterpolationError) as error:
            raise ConfigError(f"luigi.cfg, [{section}]: {error.__cause__ or error} ({error})") from None


def _keys_by_section() -> dict[str, list[str]]:
    config = get_config()
    if hasattr(config, "sections"):
        return {section: [key for key in config._sections[section]] for section in config.sections()}
    return {section: list(values) for section, values in config.data.items() if isinstance(values, dict)}


def _known_keys() -> dict[str, set[str]]:
    """Return the keys that the configuration classes and tasks known to luigi read, by section."""
    known: dict[str, set[str]] = defaultdict(set)
    for family in Register.task_names():
        task_class = Register.get_task_cls(family)
        known[family] |= {name for name, _ in task_class.get_params()}
        known[family] |= set(getattr(task_class, "ignore_unconsumed", ()))
        for _, parameter in task_class.get_params():
            place = getattr(parameter, "_config_path", None)
            if place:
                known[place["section"]].add(place["name"].replace("-", "_"))
    return known


def check_luigi_cfg() -> None:
    """
    Compare every section and key of luigi.cfg with those that exist.

    Raises
    ------
    ConfigError
        Naming each unknown one, with the nearest that exists: luigi itself would ignore it.
    """
    known = _known_keys()
    problems = []
    for section, keys in _keys_by_section().items():
        if section in _FREE_SECTIONS:
            continue
        if section not in known:
            configs = [family for family in known if _is_config(family)]
            problems.append(f"section [{section}] is unknown{_suggestion(section, configs)}")
            continue
        unknown = [key for key in keys if key.replace("-", "_") not in known[section]]
        problems += [f"[{section}] {key} is unknown{_suggestion(key, known[section])}" for key in unknown]
    if problems:
        raise ConfigError("luigi.cfg: " + "; ".join(problems))


def _is_config(family: str) -> bool:
    return family in Register.task_names() and issubclass(Register.get_task_cls(family), Config)


def _suggestion(word: str, choices: "set[str] | list[str]") -> str:
    close = get_close_matches(word, sorted(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(choices)[:20])}"
