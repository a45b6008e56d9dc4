"""The card beside the forests of a telescope: what they were made from and what they must answer."""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import ConfigError, ModelMismatchError, UnreadableError
from ..json_object import json_object, sealed
from ..nodes import Node
from .features import TARGETS

__all__ = [
    "CARD_FORMAT",
    "ForestCard",
    "ModelCard",
    "Probe",
    "StoredCard",
    "card_name",
    "difference",
    "library_versions",
    "model_key",
]

#: Version of the content of a card.
CARD_FORMAT = 1
#: Answers may differ by so much, relative to 1 or to the answer.
PROBE_TOLERANCE = 1e-6
#: Of these, the first two parts of the version must be the same as in training: their files depend on it.
_LIBRARIES = ("scikit-learn", "numpy", "joblib")
_BINDING = ("scikit-learn",)
#: Every key known, no value ever converted: a card with anything else was not written by training.
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def model_key(telescope: int) -> str:
    """Return ``tel_001`` or ``tel_002``, by which the files of telescope 1 or 2 are known."""
    return f"tel_{telescope:03d}"


def card_name(telescope: int) -> str:
    """Return the name of the card of a telescope."""
    return f"card_{model_key(telescope)}.json"


def library_versions() -> dict[str, str]:
    """Return the versions of what model files depend on."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


@dataclass(frozen=True)
class Probe:
    """
    Some inputs and what the forest answered right after training.

    Parameters
    ----------
    inputs : list of list of float
        Rows of features.
    answers : list of list of float
        Rows of outputs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    inputs: list[list[float]]
    answers: list[list[float]]

    def shape_problem(self, n_features: int) -> str:
        """Say why a forest with so many features cannot be asked at all; empty if it can."""
        if not self.inputs or len(self.inputs) != len(self.answers):
            return f"the card has {len(self.inputs)} inputs to try it with and {len(self.answers)} answers"
        if {len(row) for row in self.inputs} != {n_features} or len({len(row) for row in self.answers}) > 1:
            return f"the rows to try it with do not all have {n_features} features and as many answers"
        return ""

    def problem(self, answers: NDArray[np.float64]) -> str:
        """Say how the answers of a loaded forest differ; empty if they are right."""
        expected = np.asarray(self.answers, dtype=np.float64)
        if expected.shape != answers.shape:
            return f"it gives {answers.shape[1]} numbers instead of {expected.shape[1]}"
        worst = np.max(np.abs(answers - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0)
        return (
            f"its answers differ by {worst:.2g} from those it was stored with"
            if worst > PROBE_TOLERANCE
            else ""
        )


@dataclass(frozen=True)
class ForestCard:
    """
    One forest.

    Parameters
    ----------
    file, sha256, size : str, str, int
        Its file.
    features : list of str
        Inputs in their order.
    targets : list of str
        What it learned.
    classes : list of int or None
        Of a classifier, in the order of its answers.
    n_trees, n_nodes, max_depth : int
        How large it is.
    n_events : dict of str to int
        Of the training sample, by particle.
    events_per_second : float
        How fast one core evaluates it.
    importances : list of float
        Of the features, in their order; their sum is 1.
    probe : Probe
        To recognise it by.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    file: str
    sha256: str
    size: int
    features: list[str]
    targets: list[str]
    classes: list[int] | None
    n_trees: int
    n_nodes: int
    max_depth: int
    n_events: dict[str, int]
    events_per_second: float
    importances: list[float]
    probe: Probe


class StoredCard:
    """
    What all cards share: JSON on disk, the versions of the libraries, forests by the stem of their files.

    A subclass is a frozen dataclass with at least ``node``, ``forests`` and ``libraries``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    node: str
    forests: dict[str, ForestCard]
    libraries: dict[str, str]
    #: Command that writes the card, for messages.
    command: ClassVar[str]

    def to_json(self) -> bytes:
        """Return the content of the file, with a checksum of its own."""
        return (json.dumps(sealed({"format": CARD_FORMAT} | asdict(self)), indent=1) + "\n").encode()

    @classmethod
    def read(cls, path: Path) -> tuple[Self, str]:
        """
        Read a card; also return its sha256.

        Raises
        ------
        UnreadableError
            There is none that can be read.
        ModelMismatchError
            It is none that this version understands.
        """
        try:
            text = path.read_bytes()
        except OSError as error:
            raise UnreadableError(
                f"{path}: there is no model card ({error.strerror}); forests without one are not used: "
                f"check the disk, or train them with {cls.command}"
            ) from None
        try:
            return cls._from_dict(json_object(text)), hashlib.sha256(text).hexdigest()
        except (ValueError, KeyError, ConfigError) as error:
            raise ModelMismatchError(
                f"{path} is not a model card of this version ({_reason(error)}); train again"
            ) from None

    @classmethod
    def _from_dict(cls, content: dict[str, Any]) -> Self:
        if content.pop("format") != CARD_FORMAT:
            raise ValueError("its format is another one")
        card = TypeAdapter(cls).validate_json(json.dumps(content))
        Node.parse(card.node)
        return card

    def check_libraries(self) -> None:
        """
        Refuse models that another version of a library made.

        Raises
        ------
        ModelMismatchError
            Naming the library.
        """
        here = library_versions()
        for name in _BINDING:
            made = self.libraries.get(name, "unknown")
            if made.split(".")[:2] != here[name].split(".")[:2]:
                raise ModelMismatchError(
                    f"the models were trained with {name} {made}, installed is {here[name]}; "
                    "train again or install that version"
                )


@dataclass(frozen=True)
class ModelCard(StoredCard):
    """
    All forests of one telescope at one node.

    Parameters
    ----------
    telescope : int
        1 or 2.
    stereo : bool
        For images of both telescopes.
    disp_method : str
        ``disp_norm_sign`` or ``disp_vector``.
    node : str
        Name of the node.
    config_fingerprint : str
        Of the configuration in training.
    forests : dict of str to ForestCard
        By the stem of their files.
    libraries : dict of str to str
        Versions in training.
    training : dict
        Files with their checksums, and how many events each step kept.
    provenance : dict
        Software, command and time.
    """

    command: ClassVar[str] = "train-rfs"

    telescope: int
    stereo: bool
    disp_method: str
    node: str
    config_fingerprint: str
    forests: dict[str, ForestCard]
    libraries: dict[str, str]
    training: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def check_place(self, telescope: int, node: Node, *, stereo: bool) -> None:
        """
        Refuse models of another telescope or node, or of mono for stereo and the reverse.

        Raises
        ------
        ModelMismatchError
            Naming what differs.
        """
        kinds = {True: "stereo", False: "mono"}
        if (self.telescope, self.stereo) != (telescope, stereo):
            raise ModelMismatchError(
                f"these are {kinds[self.stereo]} models of telescope {self.telescope}, wanted are "
                f"{kinds[stereo]} models of telescope {telescope}; give the directory of those"
            )
        if Node.parse(self.node) != node:
            raise ModelMismatchError(
                f"these are models of {self.node}, wanted are those of {node}; put them where they belong"
            )

    def check_features(self, wanted: Mapping[str, tuple[str, ...]], disp_method: str) -> None:
        """
        Refuse models with other features than the configuration names.

        Parameters
        ----------
        wanted : mapping of str to tuple of str
            Features of each forest (`sst1m.reco.features.feature_names`).
        disp_method : str
            Of the configuration.

        Raises
        ------
        ModelMismatchError
            Naming the forest and the features.
        """
        if not self.stereo and self.disp_method != disp_method:
            raise ModelMismatchError(
                f"the models were trained with disp_method {self.disp_method}, the configuration says "
                f"{disp_method}; change it or train again"
            )
        for stem, names in wanted.items():
            if stem not in self.forests:
                hint = " (trained without protons)" if stem == "class_gh" else ""
                raise ModelMismatchError(
                    f"the models of {model_key(self.telescope)} lack {stem}{hint}; train again"
                )
            if tuple(self.forests[stem].features) != tuple(names):
                raise ModelMismatchError(
                    f"{stem} of {model_key(self.telescope)} was trained with other features than the "
                    f"configuration names: {difference(self.forests[stem].features, names)}; "
                    "use the lists of training or train again"
                )
            learned = tuple(self.forests[stem].targets)
            if learned != TARGETS[stem]:
                raise ModelMismatchError(
                    f"{stem} of {model_key(self.telescope)} has learned {', '.join(learned)} and not "
                    f"{', '.join(TARGETS[stem])}; train again"
                )


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split())


def difference(trained: list[str], wanted: tuple[str, ...]) -> str:
    """Say in what the features of a forest and those that are wanted differ."""
    only_trained = [name for name in trained if name not in wanted]
    only_wanted = [name for name in wanted if name not in trained]
    parts = []
    if only_trained:
        parts.append(f"only the models have {', '.join(only_trained)}")
    if only_wanted:
        parts.append(f"only the configuration has {', '.join(only_wanted)}")
    return "; ".join(parts) or "they come in another order"
