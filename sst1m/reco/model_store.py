"""
Forests on disk: found by node, checked against their card, loaded once per process.

Model files are code: they are only loaded from the directory that the configuration names, and only if
their content is that which training wrote down.
"""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ..config import AnalysisConfig
from ..errors import ConfigError, InputError, ModelMismatchError, UnreadableError
from ..nodes import Node, NodeChoice, nearest_node
from .features import feature_names
from .forest import FlatForest
from .model_card import ForestCard, ModelCard, card_name

__all__ = [
    "ModelSet",
    "ModelStore",
    "TelescopeModels",
    "forget_models",
    "load_forest",
    "model_telescope",
    "require_inside",
]

_MODEL_TELESCOPES = {1: 1, 2: 2, 21: 1, 22: 2}
#: Telescopes of nodes that stay in memory; a night needs both telescopes of one or two nodes.
_CACHE_SIZE = 4


def model_telescope(tel_id: int) -> int:
    """Return the number by which models know a telescope: 21 is 1 and 22 is 2."""
    return _MODEL_TELESCOPES[tel_id]


@dataclass(frozen=True, eq=False)
class TelescopeModels:
    """
    The forests of one telescope.

    Parameters
    ----------
    card : ModelCard
        What they are.
    card_sha256 : str
        Checksum of the card, which holds those of the files.
    forests : mapping of str to FlatForest
        By the stem of their files.
    """

    card: ModelCard
    card_sha256: str
    forests: Mapping[str, FlatForest]


@dataclass(frozen=True, eq=False)
class ModelSet:
    """
    The forests of some telescopes at one node.

    Parameters
    ----------
    node : Node
        Where they were trained.
    directory : Path
        Where they lie.
    telescopes : mapping of int to TelescopeModels
        By telescope, 1 and 2.
    """

    node: Node
    directory: Path
    telescopes: Mapping[int, TelescopeModels]

    def check_config(self, config: AnalysisConfig) -> None:
        """
        Refuse models that do not fit a configuration.

        Raises
        ------
        ModelMismatchError
            Naming what differs.
        """
        for models in self.telescopes.values():
            wanted = feature_names(config, stereo=models.card.stereo)
            try:
                models.card.check_features(wanted, config.disp_method)
            except ModelMismatchError as error:
                raise ModelMismatchError(f"{self.directory}: {error}") from None


class ModelStore:
    """
    The models of a production.

    Parameters
    ----------
    model_dir : Path
        With one directory per node, or itself the directory of the only node.
    stereo : bool
        Whether they are for images of both telescopes.

    Raises
    ------
    InputError
        There is no such directory.
    """

    def __init__(self, model_dir: Path, stereo: bool) -> None:
        if not model_dir.is_dir():
            raise InputError(
                f"{model_dir}: there is no such directory of models; train them or correct the path"
            )
        self.model_dir, self.stereo = model_dir, stereo

    def nodes(self) -> dict[Node, Path]:
        """Return the directories of all nodes that have a card."""
        if cards := sorted(self.model_dir.glob("card_tel_*.json")):
            card, _ = ModelCard.read(cards[0])
            return {Node.parse(card.node): self.model_dir}
        found = {}
        for directory in sorted(path for path in self.model_dir.iterdir() if path.is_dir()):
            if any(directory.glob("card_tel_*.json")):
                try:
                    found[Node.parse(directory.name)] = directory
                except ConfigError:
                    continue
        return found

    def nearest(self, wanted: Node, *, max_distance: float = 2.0) -> NodeChoice:
        """
        Return the node nearest to some conditions.

        Raises
        ------
        ModelMismatchError
            There is none, or none near enough.
        """
        try:
            return nearest_node(self.nodes(), wanted, max_distance=max_distance)
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{self.model_dir}: {error}") from None

    def load(self, node: Node, telescopes: tuple[int, ...]) -> ModelSet:
        """
        Return the checked forests of a node; what this process has loaded before is not read again.

        Parameters
        ----------
        node : Node
            One of `nodes`.
        telescopes : tuple of int
            1 and 2.

        Raises
        ------
        InputError
            A file is missing or unreadable.
        ModelMismatchError
            There is no such node, or a file is not what its card says.
        """
        nodes = self.nodes()
        if node not in nodes:
            known = ", ".join(map(str, sorted(nodes))) or "none"
            raise ModelMismatchError(f"{self.model_dir} has no models of {node}; there are: {known}")
        directory = nodes[node]
        return ModelSet(node, directory, {t: self._telescope(node, directory, t) for t in telescopes})

    def _telescope(self, node: Node, directory: Path, telescope: int) -> TelescopeModels:
        path = require_inside(directory / card_name(telescope), self.model_dir)
        card, sha256 = ModelCard.read(path)
        key = (str(path.resolve()), sha256)
        try:
            card.check_place(telescope, node, stereo=self.stereo)
            card.check_libraries()
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{path}: {error}") from None
        if key not in _CACHE:
            forests = {
                stem: load_forest(require_inside(directory / entry.file, self.model_dir), entry)
                for stem, entry in card.forests.items()
            }
            _CACHE[key] = TelescopeModels(card, sha256, forests)
        _CACHE.move_to_end(key)
        while len(_CACHE) > _CACHE_SIZE:
            _CACHE.popitem(last=False)
        return _CACHE[key]


def require_inside(path: Path, directory: Path) -> Path:
    """
    Return a path that stays inside a directory of models, all links followed.

    Raises
    ------
    ModelMismatchError
        It leaves the directory.
    """
    try:
        inside = path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        # A circle of links is a RuntimeError, a NUL in the name a ValueError.
        raise ModelMismatchError(f"{directory}: {str(path)!r} names no file there ({error})") from None
    if not inside:
        raise ModelMismatchError(
            f"{path} lies outside the directory of models {directory.resolve()}; model files are "
            "code, so only those inside are loaded: copy it there if you trust it"
        )
    return path


_CACHE: OrderedDict[tuple[str, str], TelescopeModels] = OrderedDict()


def forget_models() -> None:
    """Free the memory of all forests that this process has loaded."""
    _CACHE.clear()


def load_forest(path: Path, entry: ForestCard) -> FlatForest:
    """
    Load one forest and compare it with what its card says.

    Raises
    ------
    UnreadableError
        The file is missing or unreadable.
    ModelMismatchError
        It is not what its card says.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableError(
            f"{path}: the model file cannot be read ({error.strerror}); check the disk, or train again"
        ) from None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ModelMismatchError(
            f"{path} is not the file that training wrote (its sha256 differs from the card); train again"
        )
    # What was compared with the card is what gets loaded, whoever replaces the file meanwhile.
    forest = joblib.load(io.BytesIO(content))
    problem = _forest_problem(forest, entry)
    if not problem:
        flat = FlatForest.of(forest)
        problem = entry.probe.problem(flat.predict(np.asarray(entry.probe.inputs, dtype=np.float32)))
    if problem:
        raise ModelMismatchError(f"{path} does not fit its card: {problem}; train again")
    return flat


def _forest_problem(forest: object, entry: ForestCard) -> str:
    """Say in what a loaded object differs from its card; empty if in nothing."""
    kind = RandomForestRegressor if entry.classes is None else RandomForestClassifier
    if not isinstance(forest, kind):
        return f"it is a {type(forest).__name__}, not a {kind.__name__}"
    if forest.n_features_in_ != len(entry.features):
        return f"it takes {forest.n_features_in_} features, the card names {len(entry.features)}"
    if entry.classes is not None and forest.classes_.tolist() != entry.classes:
        return f"its classes are {forest.classes_.tolist()}, the card says {entry.classes}"
    if entry.classes is None and forest.n_outputs_ != len(entry.targets):
        return f"it has {forest.n_outputs_} outputs, the card names {len(entry.targets)}"
    return entry.probe.shape_problem(len(entry.features))
