"""
Training of the forests of one telescope: energy, disp and particle.

The particle forest may use the reconstructed energy and disp. Those of the gammas that energy and disp were
learned from would be too good, so temporary forests are trained with two thirds of the gammas, and the
particle forest sees the other third, and the protons, as the temporary forests reconstruct them.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ..checkpoint import committed
from ..config import AnalysisConfig
from ..config.columns import RECONSTRUCTED_FEATURES
from ..errors import ConfigError
from ..io.dl1_events import read_dl1_events
from ..nodes import Node
from ..provenance import input_record, provenance_json, utc_now
from .conditions import observed_node
from .features import feature_matrix, feature_names
from .forest import FlatForest
from .importances import plot_importances
from .model_card import ForestCard, ModelCard, Probe, card_name, library_versions, model_key
from .predict import Forests, predict_disp, predict_energy
from .training_sample import Sample, mixing_numbers, read_sample

__all__ = ["TrainingSummary", "train_forests"]

Forest = RandomForestRegressor | RandomForestClassifier
Progress = Callable[[str, int, int], object]

_TARGETS = {
    "reg_energy": ("log_true_energy",),
    "reg_disp_norm": ("disp_norm",),
    "reg_disp": ("disp_dx", "disp_dy"),
    "class_disp_sign": ("disp_sign",),
    "class_gh": ("true_shower_primary_id",),
}
_CLASSIFIERS = ("class_disp_sign", "class_gh")
#: Part of the gammas that the temporary forests learn from.
_FIRST_STAGE = 0.67
_N_PROBES = 10
_N_TIMED = 20_000


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


@dataclass
class _Trained:
    """A forest in memory, with what its card will say."""

    forest: Forest
    features: tuple[str, ...]
    inputs: NDArray[np.float32]
    n_events: dict[str, int]
    flat: FlatForest = field(init=False)

    def __post_init__(self) -> None:
        self.flat = FlatForest.of(self.forest)


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
    with_protons = proton_dl1 is not None
    names = feature_names(config, stereo=stereo)
    if not with_protons:
        del names["class_gh"]
    steps = _Steps(progress, len(names) + 2)
    steps("reading events")
    about = {"telescope": telescope, "stereo": stereo, "with_protons": with_protons}
    samples = {"gamma": read_sample(gamma_dl1, config, gammas=True, **about)}
    if with_protons:
        samples["proton"] = read_sample(proton_dl1, config, gammas=False, **about)
    trainer = _Trainer(config, names, np.random.default_rng([_seed(config), telescope, int(stereo)]))
    trained = trainer.train(samples, steps)
    counts = {particle: sample.counts for particle, sample in samples.items()}
    card = ModelCard(
        telescope=telescope,
        stereo=stereo,
        disp_method=config.disp_method,
        node=str(node or _simulated_node(gamma_dl1, telescope)),
        config_fingerprint=config.fingerprint(),
        forests={},
        libraries=library_versions(),
        training={"counts": counts, "n_wanted": config.analysis.n_training_events},
    )
    steps("writing forests")
    inputs = [_training_file(path) for path in (gamma_dl1, proton_dl1) if path is not None]
    path = output_dir / card_name(telescope)
    path.unlink(missing_ok=True)
    _write_forests(output_dir, card, trained, plot_features=plot_features)
    card.training["inputs"] = inputs
    card.provenance.update(_provenance(path, card, config, inputs, started))
    with committed(path) as part:
        part.write_bytes(card.to_json())
    steps("done")
    return TrainingSummary(path, Node.parse(card.node), counts, card.forests, time.monotonic() - clock)


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

    def train(self, samples: dict[str, Sample], steps: _Steps) -> dict[str, _Trained]:
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

    def _fit(self, stem: str, samples: dict[str, Sample]) -> _Trained:
        names = self._names[stem]
        inputs = np.concatenate([feature_matrix(sample.columns, names) for sample in samples.values()])
        targets = np.stack(
            [np.concatenate([s.columns[t] for s in samples.values()]) for t in _TARGETS[stem]], axis=1
        )
        if stem in _CLASSIFIERS:
            forest = RandomForestClassifier(**self._config.random_forest_classifier_args.model_dump())
        else:
            forest = RandomForestRegressor(**self._config.random_forest_regressor_args.model_dump())
        forest.fit(inputs, targets[:, 0] if targets.shape[1] == 1 else targets)
        # Whoever loads it decides on cores; a stored -1 would take all of them in every process.
        forest.set_params(n_jobs=1, verbose=0)
        return _Trained(forest, names, inputs, {particle: len(s) for particle, s in samples.items()})


def _write_forests(
    output_dir: Path, card: ModelCard, trained: dict[str, _Trained], *, plot_features: bool
) -> None:
    key = model_key(card.telescope)
    for stem, result in trained.items():
        path = output_dir / f"{stem}_{key}.sav"
        with committed(path) as part:
            joblib.dump(result.forest, part, compress=3)
            content = part.read_bytes()
        card.forests[stem] = _forest_card(path, content, stem, result)
        if plot_features:
            title = f"{stem} {key} {card.node}"
            plot_importances(result.forest, result.features, title, output_dir / f"{stem}_features_{key}.png")


def _forest_card(path: Path, content: bytes, stem: str, result: _Trained) -> ForestCard:
    rows = np.linspace(0, len(result.inputs) - 1, _N_PROBES).astype(int)
    probes = np.ascontiguousarray(result.inputs[rows])
    classes = result.forest.classes_.tolist() if stem in _CLASSIFIERS else None
    return ForestCard(
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        features=list(result.features),
        targets=list(_TARGETS[stem]),
        classes=classes,
        n_trees=len(result.forest.estimators_),
        n_nodes=result.flat.n_nodes,
        max_depth=max(tree.get_depth() for tree in result.forest.estimators_),
        n_events=result.n_events,
        events_per_second=_speed(result),
        importances=[float(value) for value in result.forest.feature_importances_],
        probe=Probe(probes.astype(np.float64).tolist(), result.flat.predict(probes).tolist()),
    )


def _speed(result: _Trained) -> float:
    """Return how many events per second one core evaluates, the kernel compiled before."""
    inputs = np.ascontiguousarray(result.inputs[:_N_TIMED])
    result.flat.predict(inputs[:1])
    start = time.perf_counter()
    result.flat.predict(inputs)
    return round(len(inputs) / (time.perf_counter() - start), 1)


def _simulated_node(path: Path, telescope: int) -> Node:
    return observed_node(read_dl1_events(path, (telescope,)), (telescope,))


def _training_file(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return input_record(path, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _provenance(
    path: Path, card: ModelCard, config: AnalysisConfig, inputs: list[dict[str, object]], started: str
) -> dict[str, Any]:
    text = provenance_json(
        product=path,
        run={"telescope": card.telescope, "stereo": card.stereo, "node": card.node},
        inputs=inputs,
        config={"fingerprint": card.config_fingerprint, "values": config.canonical()},
        started=started,
        counts=card.training["counts"],
        options={},
        calibration={},
    )
    return json.loads(text)
