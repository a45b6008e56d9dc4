"""What the command and luigi.cfg decide: the night, the paths of the site, and how a night is processed."""

import datetime
from configparser import InterpolationError
from pathlib import Path
from typing import TypeVar

import luigi
from luigi.parameter import ParameterVisibility

from sst1m.errors import ConfigError

__all__ = [
    "NightParameter",
    "night",
    "night_options",
    "optional_site_path",
    "site",
    "site_path",
    "telescope_ids",
]

_C = TypeVar("_C", bound=luigi.Config)


class NightParameter(luigi.DateParameter):
    """Date of the evening on which a night begins, ``YYYY-MM-DD``."""

    def parse(self, s: str) -> datetime.date:
        """Read a date; `ConfigError` where it is none."""
        try:
            return super().parse(s)
        except ValueError:
            raise ConfigError(
                f"--date {s!r} is not a date; write YYYY-MM-DD, the evening of the night"
            ) from None


class _SitePath(luigi.OptionalStrParameter):
    """A path of the site; it has no default, and what needs it says so when it is missing."""

    def __init__(self, description: str) -> None:
        super().__init__(default=None, description=description, visibility=ParameterVisibility.HIDDEN)


class site(luigi.Config):  # noqa: N801 - the class name is the section's name in luigi.cfg
    """Section ``[site]`` of luigi.cfg: where data, configuration, models and products are."""

    root_dir = _SitePath("root of the raw files (cs1/data/raw/...)")
    ana_dir = _SitePath("root of the products")
    config_file = _SitePath("configuration of the analysis (JSON)")
    calibration_dir = _SitePath("calibration files that the configuration names without a directory")
    irf_dir = _SitePath("instrument responses")
    mono_model_dir = _SitePath("forests of the single telescopes")
    stereo_model_dir = _SitePath("forests of both telescopes together")
    eff_cut_dir_mono = _SitePath("energy-dependent gammaness cuts of the single telescopes")
    eff_cut_dir_stereo = _SitePath("energy-dependent gammaness cuts of both telescopes together")
    mc_dir = _SitePath("root of the simulations")
    mc_config_file = _SitePath("configuration of the simulations' analysis (JSON)")


class night(luigi.Config):  # noqa: N801 - the class name is the section's name in luigi.cfg
    """Section ``[night]`` of luigi.cfg: what is made of a night."""

    cs1 = luigi.BoolParameter(
        default=True, parsing=luigi.BoolParameter.EXPLICIT_PARSING, description="telescope 1"
    )
    cs2 = luigi.BoolParameter(
        default=True, parsing=luigi.BoolParameter.EXPLICIT_PARSING, description="telescope 2"
    )
    stereo = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="both telescopes together (from the DL1 of both; no effect on DL1)",
    )
    settle_minutes = luigi.FloatParameter(
        default=15.0,
        description="an incomplete raw file changed less than this ago [min] is still being copied",
    )
    precise_timestamps = luigi.BoolParameter(
        default=True,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="White-Rabbit times as two more columns",
    )
    px_charges = luigi.BoolParameter(
        default=False,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="a file with the charges of the pedestal events beside each product",
    )


def site_path(name: str) -> Path:
    """
    Return a path of ``[site]``.

    Raises
    ------
    ConfigError
        If luigi.cfg does not give it, or it depends on the directory in which the command is started.
    """
    return site_paths(name)[0]


def site_paths(*names: str) -> list[Path]:
    """
    Return paths of ``[site]``, in the order of their names.

    Raises
    ------
    ConfigError
        Naming all that are missing.
    """
    paths = {name: optional_site_path(name) for name in names}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        flags = " ".join(f"--site-{name.replace('_', '-')}" for name in missing)
        raise ConfigError(
            f"[site] {', '.join(missing)} not set; luigi reads luigi.cfg in the directory where it is "
            f"started and the file that LUIGI_CONFIG_PATH names: add it there, or give {flags}"
        )
    return [path for path in paths.values() if path is not None]


def optional_site_path(name: str) -> Path | None:
    """
    Return a path of ``[site]``, None where it is not set.

    Raises
    ------
    ConfigError
        If it depends on the directory in which the command is started.
    """
    value = getattr(_section(site), name)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ConfigError(f"[site] {name} = {value} is not absolute; write the whole path")
    return path


def _section(section: type[_C]) -> _C:
    """Read a section of luigi.cfg; `ConfigError` where a value cannot be understood."""
    try:
        return section()
    except (ValueError, InterpolationError) as error:
        raise ConfigError(f"luigi.cfg, [{section.__name__}]: {error.__cause__ or error} ({error})") from None


def night_options() -> night:
    """
    Return the section ``[night]``.

    Raises
    ------
    ConfigError
        If one of its values cannot be understood.
    """
    return _section(night)


def telescope_ids() -> tuple[int, ...]:
    """
    Return the ids of the telescopes that ``[night]`` asks for.

    Raises
    ------
    ConfigError
        If it asks for none.
    """
    wanted = night_options()
    ids = tuple(tel_id for tel_id, on in ((21, wanted.cs1), (22, wanted.cs2)) if on)
    if not ids:
        raise ConfigError("[night] cs1 and cs2 are both false: no telescope is left; set one of them to true")
    return ids
