"""
How far off the direction of an event is: a forest that learns it from simulated gamma rays after DL2.

What it predicts divides events into classes of like angular resolution (`sst1m.irf.event_classes`).
"""

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import QTable
from numpy.typing import NDArray

from ..checkpoint import committed
from ..config import AnalysisConfig
from ..errors import DataQualityError, InputError, ModelMismatchError
from ..events import ReconstructedEvents, TelescopeSetup
from ..io.dl2 import read_dl2
from ..layout_mc import mc_setup
from ..provenance import provenance_json, utc_now
from .features import GAMMA, feature_matrix, finite_rows
from .forest import FlatForest
from .forest_files import TrainedForest, fit_forest, store_forest, training_input
from .model_card import ForestCard, StoredCard, difference, library_versions
from .model_store import load_forest, require_inside
from .selection import select_events

__all__ = [
    "MisdirectionCard",
    "MisdirectionModel",
    "MisdirectionSummary",
    "misdirection_features",
    "require_gammas",
    "train_misdirection",
]

STEM = "reg_misdirection"
#: What the forest learns: log10 of the angle between reconstructed and true direction in degrees.
TARGET = "log_misdirection"

#: Nothing is reconstructed better than this; the logarithm needs an end.
_LEAST_DEG = 1e-3
_FEWEST = 20
_TELESCOPE = re.compile(r"_tel([12])\Z")
_LOGARITHM = "log_"


@dataclass(frozen=True)
class MisdirectionCard(StoredCard):
    """
    The misdirection forest of a telescope set-up at one node.

    Parameters
    ----------
    tel_setup : str
        ``tel_001``, ``tel_002`` or ``stereo``.
    node : str
        Name of the node.
    config_fingerprint : str
        Of the configuration in training.
    models : dict of str to str
        Checksums of the cards of the forests that reconstructed the events, by telescope.
    forests : dict of str to ForestCard
        The only one, by the stem of its file.
    libraries : dict of str to str
        Versions in training.
    training : dict
        File with its checksum, and numbers of events.
    provenance : dict
        Software, command and time.
    """

    command: ClassVar[str] = "train-rfs-misdirection"

    tel_setup: str
    node: str
    config_fingerprint: str
    models: dict[str, str]
    forests: dict[str, ForestCard]
    libraries: dict[str, str]
    training: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MisdirectionSummary:
    """
    What was trained.

    Parameters
    ----------
    path : Path
        The card beside the forest.
    card : MisdirectionCard
        Its content.
    seconds : float
        That training took.
    """

    path: Path
    card: MisdirectionCard
    seconds: float


def card_path(directory: Path, tel_setup: TelescopeSetup) -> Path:
    """Return the path of the card of a set-up, which has the name of simulations also for data."""
    return directory / f"card_misdirection_{mc_setup(tel_setup)}.json"


def misdirection_features(config: AnalysisConfig, tel_setup: TelescopeSetup) -> tuple[str, ...]:
    """Return what the forest of a set-up looks at; telescopes are called 1 and 2, also in data."""
    if tel_setup == "stereo":
        return config.misdirection_regression_features_stereo
    return config.mono_features(config.misdirection_regression_features_mono)


def feature_columns(events: ReconstructedEvents, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """
    Return features of DL2 events by their names in the configuration.

    Raises
    ------
    ModelMismatchError
        The events lack one.
    """
    return {name: _feature(events.table, name) for name in names}


def _feature(table: QTable, name: str) -> NDArray[Any]:
    for known in (name, _TELESCOPE.sub(r"_tel2\1", name)):
        if known in table.colnames:
            column = table[known]
            return np.asarray(column.value if isinstance(column, u.Quantity) else column)
    if name.startswith(_LOGARITHM):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log10(_feature(table, name.removeprefix(_LOGARITHM)))
    raise ModelMismatchError(
        f"the events have no column '{name}', which the misdirection forest looks at; reconstruct them again"
    )


def train_misdirection(
    gamma_dl2: Path, output_dir: Path, *, config: AnalysisConfig, plot_features: bool = False
) -> MisdirectionSummary:
    """
    Train the misdirection forest of a telescope set-up and write it with its card, the card last.

    Parameters
    ----------
    gamma_dl2 : Path
        Diffuse gamma rays; not those that the forests of energy and direction were trained with, of which
        the directions are too good.
    output_dir : Path
        Directory of the node: ``reg_misdirection_stereo.sav`` and ``card_misdirection_stereo.json``.
    config : AnalysisConfig
        Features, hyper-parameters, event selection, ``n_training_events``.
    plot_features : bool
        Also plot the importances of the features.

    Raises
    ------
    InputError
        The file is no DL2 file of simulated gamma rays, or does not say where it was simulated.
    DataQualityError
        Too few events.
    """
    started, clock = utc_now(), time.monotonic()
    events = read_dl2(gamma_dl2)
    require_gammas(events, gamma_dl2, "misdirection is learned")
    trained, counts = _train(events, config, gamma_dl2)
    card = MisdirectionCard(
        tel_setup=events.tel_setup,
        node=str(events.node),
        config_fingerprint=config.fingerprint(),
        models=model_checksums(events),
        forests={},
        libraries=library_versions(),
        training={"counts": counts, "inputs": [training_input(gamma_dl2)]},
    )
    path = card_path(output_dir, events.tel_setup)
    path.unlink(missing_ok=True)
    title = f"{STEM} {card.tel_setup} {card.node}" if plot_features else ""
    card.forests[STEM] = store_forest(output_dir, STEM, card.tel_setup, trained, plot_title=title)
    card.provenance.update(_provenance(path, card, config, started))
    with committed(path) as part:
        part.write_bytes(card.to_json())
    return MisdirectionSummary(path, card, time.monotonic() - clock)


def model_checksums(events: ReconstructedEvents) -> dict[str, str]:
    """Return the checksums of the cards of the forests that reconstructed events, by telescope."""
    telescopes = (events.info.get("models") or {}).get("telescopes") or {}
    return {str(tel): str(card.get("card_sha256")) for tel, card in telescopes.items()}


def require_gammas(events: ReconstructedEvents, path: Path, purpose: str) -> None:
    """
    Refuse what is no DL2 of simulated gamma rays at a node.

    Parameters
    ----------
    events : ReconstructedEvents
        The file in memory.
    path : Path
        The file.
    purpose : str
        What is done with them, for the message.

    Raises
    ------
    InputError
        Saying what the file is.
    """
    if not events.simulated or np.any(np.asarray(events.table["true_shower_primary_id"]) != GAMMA):
        raise InputError(
            f"{path}: holds other than simulated gamma rays, from which {purpose}; give a DL2 file of those"
        )
    if events.node is None:
        raise InputError(f"{path}: does not say which node it was simulated at; make it again with dl1-dl2")


def _train(
    events: ReconstructedEvents, config: AnalysisConfig, path: Path
) -> tuple[TrainedForest, dict[str, int]]:
    names = misdirection_features(config, events.tel_setup)
    selected = events.select(select_events(events, config).mask)
    columns = feature_columns(selected, names)
    target = _log_misdirection(selected)
    usable = finite_rows(columns | {TARGET: target}, (*names, TARGET))
    rows, wanted = np.flatnonzero(usable), config.analysis.n_training_events
    if len(rows) > wanted:
        rng = np.random.default_rng(config.random_forest_regressor_args.random_state)
        rows = np.sort(rng.choice(rows, int(wanted), replace=False))
    if len(rows) < _FEWEST:
        raise DataQualityError(
            f"{path}: {len(rows)} of {len(events)} events are too few to train with; "
            "simulate more or loosen cuts"
        )
    inputs = feature_matrix(columns, names)[rows]
    forest = fit_forest(inputs, target[rows, np.newaxis], config, classifier=False)
    counts = {"n_dl2": len(events), "n_selected": len(selected), "n_usable": int(usable.sum())}
    trained = TrainedForest(forest, names, (TARGET,), inputs, {"gamma": len(rows)})
    return trained, counts | {"n_used": len(rows)}


def _log_misdirection(events: ReconstructedEvents) -> NDArray[np.float64]:
    table = events.table
    angle = angular_separation(table["reco_az"], table["reco_alt"], table["true_az"], table["true_alt"])
    return np.log10(np.maximum(angle.to_value(u.deg), _LEAST_DEG))


def _provenance(path: Path, card: MisdirectionCard, config: AnalysisConfig, started: str) -> dict[str, Any]:
    text = provenance_json(
        product=path,
        run={"tel_setup": card.tel_setup, "node": card.node},
        inputs=card.training["inputs"],
        config={"fingerprint": card.config_fingerprint, "values": config.canonical()},
        started=started,
        counts=card.training["counts"],
        options={},
        calibration={},
    )
    return json.loads(text)


@dataclass(frozen=True, eq=False)
class MisdirectionModel:
    """
    A checked misdirection forest.

    Parameters
    ----------
    card : MisdirectionCard
        What it is.
    card_sha256 : str
        Checksum of the card, which holds that of the file.
    path : Path
        The card.
    forest : FlatForest
        Ready to answer.
    """

    card: MisdirectionCard
    card_sha256: str
    path: Path
    forest: FlatForest

    @classmethod
    def for_events(
        cls, models_dir: Path, events: ReconstructedEvents, config: AnalysisConfig
    ) -> "MisdirectionModel":
        """
        Load the forest that was trained with events that the same forests have reconstructed.

        Parameters
        ----------
        models_dir : Path
            With one directory per node, or itself the directory of the only node.
        events : ReconstructedEvents
            Of data or of simulations.
        config : AnalysisConfig
            Whose features must be those of the forest.

        Raises
        ------
        InputError
            There is none.
        ModelMismatchError
            It is of other forests, another set-up or other features, or not what its card says.
        """
        own = models_dir / str(events.node)
        path = require_inside(card_path(own if own.is_dir() else models_dir, events.tel_setup), models_dir)
        card, sha256 = MisdirectionCard.read(path)
        try:
            card.check_libraries()
            _check_fit(card, events, config)
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{path}: {error}") from None
        entry = card.forests[STEM]
        file = require_inside(path.with_name(entry.file), models_dir)
        return cls(card, sha256, path, load_forest(file, entry))

    def predict(self, events: ReconstructedEvents) -> NDArray[np.float64]:
        """Return log10 of the misdirection [deg], shape=(n_events,); NaN where a feature is undefined."""
        names = tuple(self.card.forests[STEM].features)
        columns = feature_columns(events, names)
        predicted, rows = np.full(len(events), np.nan), finite_rows(columns, names)
        predicted[rows] = self.forest.predict(feature_matrix(columns, names)[rows])[:, 0]
        return predicted


def _check_fit(card: MisdirectionCard, events: ReconstructedEvents, config: AnalysisConfig) -> None:
    if STEM not in card.forests:
        raise ModelMismatchError(f"it names no {STEM}; train again")
    if (card.tel_setup, card.node) != (mc_setup(events.tel_setup), str(events.node)):
        raise ModelMismatchError(
            f"the misdirection forest is of {card.tel_setup} at {card.node}, the events were "
            f"reconstructed as {events.tel_setup} by the forests of {events.node}; "
            "give the directory of those"
        )
    if tuple(card.forests[STEM].targets) != (TARGET,):
        raise ModelMismatchError(f"{STEM} has learned something else than {TARGET}; train again")
    if card.models != model_checksums(events):
        raise ModelMismatchError(
            "the misdirection forest was trained with events that other forests have reconstructed; train it "
            "again, or reconstruct the events with the same forests"
        )
    wanted, trained = misdirection_features(config, events.tel_setup), card.forests[STEM].features
    if tuple(trained) != wanted:
        raise ModelMismatchError(
            f"{STEM} was trained with other features than the configuration names: "
            f"{difference(trained, wanted)}; use the lists of training or train again"
        )
