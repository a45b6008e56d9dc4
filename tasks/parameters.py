"""What the command and luigi.cfg decide: the night, the paths of the site, and how a night is processed."""

import datetime
from configparser import InterpolationError
from pathlib import Path
from typing import TypeVar

import luigi
from luigi.parameter import ParameterVisibility

from sst1m.errors import ConfigError
from sst1m.names import target_name_problem
from sst1m.night_science import SETUPS, SciencePaths, Setup

__all__ = [
    "NightParameter",
    "analysis_dir",
    "last_night",
    "night",
    "night_options",
    "optional_site_path",
    "science_paths",
    "site",
    "site_path",
    "telescope_ids",
    "wanted_setups",
]

_C = TypeVar("_C", bound=luigi.Config)


def last_night() -> datetime.date:
    """Return the evening of yesterday (UTC): in the morning, that of the night that has just ended."""
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


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
    quality_file = _SitePath("limits of the quality checks, e.g. a copy of config/quality.toml")
    sources_file = _SitePath("catalogue of sources (ECSV), e.g. a copy of config/sources.ecsv")
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
    irf_method = luigi.ChoiceParameter(
        default="interpolate",
        choices=("interpolate", "nearest"),
        description="response of an observation: between the nodes of the production, or of the nearest one",
    )
    quality = luigi.ChoiceParameter(
        default="all",
        choices=("all", "usable", "good"),
        description="runs that go into photon lists: all, those that are not bad, those that are good",
    )
    version = luigi.Parameter(
        default="",
        description="directory below ana_dir for this analysis, beside older ones; empty: ana_dir itself",
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
    if "\0" in value:
        raise ConfigError(f"[site] {name} = {value!r} has a NUL in it, as no path has; write it again")
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


def analysis_dir() -> Path:
    """
    Return the root of the products: ``[site] ana_dir``, and below it the version that ``[night]`` names.

    Raises
    ------
    ConfigError
        If the version cannot be the name of a directory.
    """
    version = night_options().version
    if problem := version and target_name_problem(version):
        raise ConfigError(f"[night] version = {version!r} cannot be a directory: {problem}")
    return site_path("ana_dir") / version if version else site_path("ana_dir")


def science_paths() -> SciencePaths:
    """Return where the site keeps models, responses, cuts and sources; None for what it does not name."""
    return SciencePaths(
        mono_model_dir=optional_site_path("mono_model_dir"),
        stereo_model_dir=optional_site_path("stereo_model_dir"),
        irf_dir=optional_site_path("irf_dir"),
        eff_cut_dir_mono=optional_site_path("eff_cut_dir_mono"),
        eff_cut_dir_stereo=optional_site_path("eff_cut_dir_stereo"),
        sources_file=optional_site_path("sources_file"),
        irf_method=night_options().irf_method,
        quality=night_options().quality,
        quality_file=optional_site_path("quality_file"),
    )


def wanted_setups() -> list[Setup]:
    """Return the telescope set-ups that ``[night]`` asks for."""
    wanted = night_options()
    both = wanted.cs1 and wanted.cs2
    chosen = {"cs1": wanted.cs1, "cs2": wanted.cs2, "stereo": wanted.stereo and both}
    return [setup for setup in SETUPS if chosen[setup]]


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
