"""The events that forests learn from: selected, drawn and mixed with explicit seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import AnalysisConfig
from ..errors import ConfigError, DataQualityError, InputError
from ..io.dl1_events import read_dl1_events
from .features import GAMMA, feature_names, with_truth
from .selection import image_cuts
from .usable import UsableEvents, usable_events

__all__ = ["Sample", "mixing_numbers", "read_sample"]

#: Fewer cannot be split into training and prediction, let alone into leaves.
_FEWEST = 20
#: What training needs beside the features.
_KEPT = (
    *("event_id", "camera_frame_hillas_psi", "true_shower_primary_id", "log_true_energy"),
    *("disp_norm", "disp_dx", "disp_dy", "disp_sign"),
)


@dataclass(frozen=True, eq=False)
class Sample:
    """
    Events of one telescope and one particle, with truth.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape=(n_events,)
        Features and truth.
    counts : dict of str to int
        ``n_dl1``, what each step removed, ``n_usable``.
    """

    columns: Mapping[str, NDArray[Any]]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.columns["event_id"])

    def take(self, rows: NDArray[np.int64]) -> "Sample":
        """Return some of the events."""
        return Sample({name: values[rows] for name, values in self.columns.items()}, self.counts)

    def adding(self, more: Mapping[str, NDArray[Any]]) -> "Sample":
        """Return the same events with further columns."""
        return Sample({**self.columns, **more}, self.counts)

    def drawn(self, n_events: int, rng: np.random.Generator) -> "Sample":
        """Return so many events at random, in their order; all of them if there are not more."""
        if n_events >= len(self):
            return self
        return self.take(np.sort(rng.choice(len(self), n_events, replace=False)))


def read_sample(
    path: Path, config: AnalysisConfig, *, telescope: int, stereo: bool, gammas: bool, with_protons: bool
) -> Sample:
    """
    Read the training events of one particle: selected, with all features defined.

    Parameters
    ----------
    path : Path
        DL1 file of simulations.
    config : AnalysisConfig
        Features, event selection, least energies.
    telescope : int
        1 or 2.
    stereo : bool
        Only events that both telescopes have; the selection holds for both.
    gammas : bool
        Whether the file must hold gamma rays; else it must hold none.
    with_protons : bool
        Whether the features of the particle forest must be defined.

    Raises
    ------
    ConfigError
        The file holds another particle.
    InputError
        The file holds no simulation.
    DataQualityError
        Too few events are left.
    """
    dl1 = read_dl1_events(path, (1, 2) if stereo else (telescope,))
    if dl1.thrown is None:
        raise InputError(f"{path} holds no simulation, so nothing can be learned from it")
    events = usable_events(dl1, config, stereo=stereo, with_protons=with_protons)
    events = _selected(events, config)
    mine = with_truth(events.telescopes[telescope - 1 if stereo else 0])
    _check_particle(path, mine["true_shower_primary_id"], gammas=gammas)
    counts = events.counts | {"n_usable": len(mine)}
    if len(mine) < _FEWEST:
        steps = ", ".join(f"{name} {number}" for name, number in counts.items())
        raise DataQualityError(
            f"{path}: {len(mine)} events are too few to train with ({steps}); simulate more or loosen cuts"
        )
    names = feature_names(config, stereo=stereo)
    kept = {*_KEPT, *(name for features in names.values() for name in features)}
    return Sample({name: mine[name] for name in sorted(kept & set(mine.columns))}, counts)


def _selected(events: UsableEvents, config: AnalysisConfig) -> UsableEvents:
    for name, (low, high) in image_cuts(config).items():
        passed = [(e[name] >= low) & (e[name] <= high) for e in events.telescopes]
        events = events.keeping(np.logical_and.reduce(passed), name)
    return events


def _check_particle(path: Path, primary: NDArray[np.integer], *, gammas: bool) -> None:
    found = set(np.unique(primary).tolist())
    if found and (found == {GAMMA}) != gammas:
        wanted = "gamma rays" if gammas else "protons"
        raise ConfigError(
            f"{path} holds the primaries {sorted(found)}, wanted are {wanted}; give the right file"
        )


def mixing_numbers(n_gamma: int, n_proton: int, n_wanted: int, ratio: float) -> tuple[int, int]:
    """
    Return how many gammas and protons make up a training sample.

    Parameters
    ----------
    n_gamma, n_proton : int
        There are.
    n_wanted : int
        Size of the sample.
    ratio : float
        Gammas per proton; where one kind is short, the other is reduced to keep it.
    """
    gammas = min(n_gamma, int(n_wanted * ratio / (1 + ratio)))
    protons = min(n_proton, int(n_wanted / (1 + ratio)))
    return min(gammas, round(protons * ratio)), min(protons, round(gammas / ratio))
