"""A directory of products belongs to one production and one configuration; it remembers which."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from ..analysis_root import check_analysis_root, claim_analysis_root
from ..config import McConfig
from ..errors import ConfigError
from .plan import PlannedProduction

__all__ = ["check_production_root", "check_responses", "claim_production_root", "claim_responses"]


def claim_production_root(planned: PlannedProduction, config: McConfig) -> None:
    """
    Bind the directory of a production to its file and to the configuration of the analysis.

    Raises
    ------
    ConfigError
        If it holds products of others: says which keys differ.
    OutputError
        If it cannot be written to.
    """
    _in_our_words(claim_analysis_root, planned, config)


def check_production_root(planned: PlannedProduction, config: McConfig) -> None:
    """
    Make sure that the directory of a production is not bound to others, without writing.

    Raises
    ------
    ConfigError
        If it is: says which keys differ.
    """
    _in_our_words(check_analysis_root, planned, config)


def claim_responses(planned: PlannedProduction, config: McConfig, irf_dir: Path) -> None:
    """
    Bind a version in the tree of responses to a production: two would overwrite each other's responses.

    Raises
    ------
    ConfigError
        If another production has made responses of this version.
    OutputError
        If the tree cannot be written to.
    """
    _with_version(claim_analysis_root, planned, config, irf_dir)


def check_responses(planned: PlannedProduction, config: McConfig, irf_dir: Path) -> None:
    """
    Make sure that a version in the tree of responses is not bound to another production, without writing.

    Raises
    ------
    ConfigError
        If it is.
    """
    _with_version(check_analysis_root, planned, config, irf_dir)


def _with_version(
    function: Callable[..., None], planned: PlannedProduction, config: McConfig, irf_dir: Path
) -> None:
    version = planned.production.irf_version
    try:
        _claim(function, irf_dir / "data" / ".productions" / version, planned, config)
    except ConfigError as error:
        raise ConfigError(
            f"version {version} of the responses in {irf_dir} was made by another production or "
            f"configuration; give irf_version in {planned.file} another value ({error})"
        ) from None


def _claim(function: Callable[..., None], root: Path, planned: PlannedProduction, config: McConfig) -> None:
    values = {"production": planned.production.identity(), "config": config.canonical()}
    both = json.dumps([planned.production.fingerprint(), config.fingerprint()])
    function(root, hashlib.sha256(both.encode()).hexdigest(), values, {})


def _in_our_words(function: Callable[..., None], planned: PlannedProduction, config: McConfig) -> None:
    try:
        _claim(function, planned.layout.root, planned, config)
    except ConfigError as error:
        text = str(error).replace("choose a new ana_dir", "give the production a new name")
        raise ConfigError(text) from None
