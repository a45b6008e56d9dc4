"""Loads once, before processes are forked, what every shard and every later step would load again."""

import importlib
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .plan import PlannedProduction
from .source import Simulator

if TYPE_CHECKING:
    from ..config import McConfig

__all__ = ["preload", "warm_up"]

_N_SHOWERS = 20
_LATER = ("reco.training", "reco.reconstruct", "irf.maker", "irf.optimise", "performance.measure")


def preload() -> None:
    """Import what training, reconstruction and responses need."""
    for name in _LATER:
        with suppress(ImportError):
            importlib.import_module(f"sst1m.{name}")


def warm_up(planned: PlannedProduction, config: "McConfig") -> None:
    """
    Import everything, and simulate a few showers where that is what the shards will do.

    Raises
    ------
    Sst1mError
        As a real shard would; the caller may well ignore it here, the shard itself says it better.
    """
    preload()
    from . import write_shard

    if not isinstance(planned.production.source, Simulator):
        importlib.import_module("sst1m.reduction.simtel")
        return
    from dataclasses import replace

    from .plan import Shard

    sample = replace(planned.samples[0], n_showers=_N_SHOWERS)
    with tempfile.TemporaryDirectory(prefix="sst1m-") as directory:
        write_shard.simulate(planned, Shard(sample, 0), config, Path(directory, "warm_dl1.h5"))
