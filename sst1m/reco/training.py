"""
Training of the forests of one telescope: energy, disp and particle.

The particle forest may use the reconstructed energy and disp. Those of the gammas that energy and disp were
learned from would be too good, so temporary forests are trained with two thirds of the gammas, and the
particle forest sees the other third, and the protons, as the temporary forests reconstruct them.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import committed
from ..config import AnalysisConfig
from ..config.columns import RECONSTRUCTED_FEATURES
from ..errors import ConfigError
from ..io.dl1_events import read_dl1_events
from ..nodes import Node
from ..provenance import provenance_json, utc_now
from .conditions import observed_node
from .features import TARGETS, feature_matrix, feature_names
from .forest_files import TrainedForest, fit_forest, store_forest, training_input
from .model_card import ForestCard, ModelCard, card_name, library_versions, model_key
from .predict import Forests, predict_disp, predict_energy
from .training_sample import Sample, mixing_numbers, read_sample

__all__ = ["TrainingSummary", "train_forests"]

Progress = Callable[[str, int, int], object]

_CLASSIFIERS = ("class_disp_sign", "class_gh")
#: Part of the gammas that the temporary forests learn from.
_FIRST_STAGE = 0.67


@dataclass(frozen=True)
class TrainingSummary:
    """
    What was trained.

    Parameters
    ----------
    card : Path
        The card beside the forests.
    node : Node
        Where they were trained.
    counts : dict
        By particle: events of the file, what each step removed, what was used.
    forests : dict of str to ForestCard
        Size and speed of each forest, by the stem of its file.
    seconds : float
        That training took.
    """

    card: Path
    node: Node
    counts: dict[str, dict[str, int]]
    forests: dict[str, ForestCard]
    seconds: float


def train_forests(
    gamma_dl1: Path,
    proton_dl1: Path | None,
    output_dir: Path,
    *,
    config: AnalysisConfig,
    telescope: int,
    stereo: bool,
    node: Node | None = None,
    plot_features: bool = False,
    progress: Progress | None = None,
) -> TrainingSummary:
    """
    Train the forests of one telescope and write them with their card, the card last.

    Parameters
    ----------
    gamma_dl1 : Path
        Diffuse gamma rays, DL1 of simulations.
    proton_dl1 : Path or None
        Protons; without them no particle forest is trained.
    output_dir : Path
        Directory of the node: ``reg_energy_tel_001.sav`` and so on, and ``card_tel_001.json``.
    config : AnalysisConfig
        Features, hyper-parameters, selection, size and mixture of the sample.
    telescope : int
        1 or 2.
    stereo : bool
        For images of both telescopes, with the features of their common geometry.
    node : Node, optional
        Where the events were simulated; taken from the gamma file where left out.
    plot_features : bool
        Also plot the importances of the features.
    progress : callable, optional
        Called with what is done next, the steps done and all steps.

    Raises
    ------
    ConfigError
        There is no such telescope, or a file holds other particles.
    InputError
        A file is no DL1 file of simulations.
    DataQualityError
        Too few events.
    """
    if telescope not in (1, 2):
        raise ConfigError(f"there is no telescope {telescope} in simulations; give 1 or 2")
    started, clock = utc_now(), time.monotonic()
    names = feature_names(config, stereo=stereo)
    if proton_dl1 is None:
        del names["class_gh"]
    steps = _Steps(progress, len(names) + 2)
    steps("reading events")
    samples = _read_samples(gamma_dl1, proton_dl1, config, telescope=telescope, stereo=stereo)
    trainer = _Trainer(config, names, np.random.default_rng([_seed(config), telescope, int(stereo)]))
    trained = trainer.train(samples, steps)
    steps("writing forests")
    card = _new_card(gamma_dl1, proton_dl1, samples, config, telescope=telescope, stereo=stereo, node=node)
    path = _write(output_dir, card, trained, config, started, plot_features=plot_features)
    steps("done")
    counts = card.training["counts"]
    return TrainingSummary(path, Node.parse(card.node), counts, card.forests, time.monotonic() - clock)


def _read_samples(
    gamma_dl1: Path, proton_dl1: Path | None, config: AnalysisConfig, *, telescope: int, stereo: bool
) -> dict[str, Sample]:
    about = {"telescope": telescope, "stereo": stereo, "with_protons": proton_dl1 is not None}
    samples = {"gamma": read_sample(gamma_dl1, config, gammas=True, **about)}
    if proton_dl1 is not None:
        samples["proton"] = read_sample(proton_dl1, config, gammas=False, **about)
    return samples


def _new_card(
    gamma_dl1: Path,
    proton_dl1: Path | None,
    samples: dict[str, Sample],
    config: AnalysisConfig,
    *,
    telescope: int,
    stereo: bool,
    node: Node | None,
) -> ModelCard:
    """Return the card, still without forests."""
    return ModelCard(
        telescope=telescope,
        stereo=stereo,
        disp_method=config.disp_method,
        node=str(node or _simulated_node(gamma_dl1, telescope)),
        config_fingerprint=config.fingerprint(),
        forests={},
        libraries=library_versions(),
        training={
            "counts": {particle: sample.counts for particle, sample in samples.items()},
            "n_wanted": config.analysis.n_training_events,
            "inputs": [training_input(path) for path in (gamma_dl1, proton_dl1) if path is not None],
        },
    )


def _write(
    output_dir: Path,
    card: ModelCard,
    trained: dict[str, TrainedForest],
    config: AnalysisConfig,
    started: str,
    *,
    plot_features: bool,
) -> Path:
    """Write the forests, and last the card that names them; return its path."""
    path, key = output_dir / card_name(card.telescope), model_key(card.telescope)
    path.unlink(missing_ok=True)
    for stem, result in trained.items():
        title = f"{stem} {key} {card.node}" if plot_features else ""
        card.forests[stem] = store_forest(output_dir, stem, key, result, plot_title=title)
    card.provenance.update(_provenance(path, card, config, started))
    with committed(path) as part:
        part.write_bytes(card.to_json())
    return path


class _Steps:
    """Counts the steps of a training for whoever watches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, -1

    def __call__(self, what: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(what, min(self._done, self._total), self._total)


def _seed(config: AnalysisConfig) -> int:
    return config.random_forest_regressor_args.random_state


class _Trainer:
    """Trains the forests of one telescope; its random numbers draw, split and mix the samples."""

    def __init__(
        self, config: AnalysisConfig, names: dict[str, tuple[str, ...]], rng: np.random.Generator
    ) -> None:
        self._config, self._names, self._rng = config, names, rng

    def train(self, samples: dict[str, Sample], steps: _Steps) -> dict[str, TrainedForest]:
        """Return the forests by the stem of their files."""
        gammas = samples["gamma"].drawn(self._config.analysis.n_training_events, self._rng)
        samples["gamma"].counts["n_drawn"] = len(gammas)
        trained = {}
        for stem in [stem for stem in self._names if stem != "class_gh"]:
            steps(f"training {stem}")
            trained[stem] = self._fit(stem, {"gamma": gammas})
        if "proton" in samples:
            steps("training class_gh")
            mixed = self._mixture(gammas, samples["proton"])
            trained["class_gh"] = self._fit("class_gh", mixed)
        return trained

    def _mixture(self, gammas: Sample, protons: Sample) -> dict[str, Sample]:
        if set(self._names["class_gh"]) & set(RECONSTRUCTED_FEATURES):
            gammas, protons = self._reconstructed(gammas, protons)
        analysis = self._config.analysis
        n_gamma, n_proton = mixing_numbers(
            len(gammas), len(protons), analysis.n_training_events, analysis.gamma_to_proton_training_ratio
        )
        return {"gamma": gammas.drawn(n_gamma, self._rng), "proton": protons.drawn(n_proton, self._rng)}

    def _reconstructed(self, gammas: Sample, protons: Sample) -> tuple[Sample, Sample]:
        """Return events that the temporary forests have not seen, with the energy and disp they give them."""
        order = self._rng.permutation(len(gammas))
        first, second = np.split(order, [round(_FIRST_STAGE * len(gammas))])
        learned, unseen = gammas.take(np.sort(first)), gammas.take(np.sort(second))
        stems = [stem for stem in self._names if stem != "class_gh"]
        temporary = {stem: self._fit(stem, {"gamma": learned}).flat for stem in stems}
        forests = Forests(temporary, self._names)
        return tuple(
            sample.adding(predict_energy(forests, sample.columns) | predict_disp(forests, sample.columns))
            for sample in (unseen, protons)
        )

    def _fit(self, stem: str, samples: dict[str, Sample]) -> TrainedForest:
        names = self._names[stem]
        inputs = np.concatenate([feature_matrix(sample.columns, names) for sample in samples.values()])
        targets = np.stack(
            [np.concatenate([s.columns[t] for s in samples.values()]) for t in TARGETS[stem]], axis=1
        )
        forest = fit_forest(inputs, targets, self._config, classifier=stem in _CLASSIFIERS)
        counts = {particle: len(sample) for particle, sample in samples.items()}
        return TrainedForest(forest, names, TARGETS[stem], inputs, counts)


def _simulated_node(path: Path, telescope: int) -> Node:
    return observed_node(read_dl1_events(path, (telescope,)), (telescope,))


def _provenance(path: Path, card: ModelCard, config: AnalysisConfig, started: str) -> dict[str, Any]:
    text = provenance_json(
        product=path,
        run={"telescope": card.telescope, "stereo": card.stereo, "node": card.node},
        inputs=card.training["inputs"],
        config={"fingerprint": card.config_fingerprint, "values": config.canonical()},
        started=started,
        counts=card.training["counts"],
        options={},
        calibration={},
    )
    return json.loads(text)
