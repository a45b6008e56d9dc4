"""Which gammaness cuts apply to data: one for all, or a table that belongs to the node of the models."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sst1m.config import AnalysisConfig
from sst1m.dl3.names import Dl3Setup
from sst1m.errors import ModelMismatchError
from sst1m.irf.cuts import ENERGY_DEPENDENT, GammanessCuts, event_tag
from sst1m.nodes import Node

__all__ = ["CutTables", "GlobalCut"]

_MC_SETUP: dict[Dl3Setup, str] = {"cs1": "tel_001", "cs2": "tel_002", "stereo": "stereo"}


@dataclass(frozen=True)
class GlobalCut:
    """
    The cut of the configuration, whatever the node.

    Parameters
    ----------
    cuts : GammanessCuts
        A global one.
    """

    cuts: GammanessCuts

    @classmethod
    def from_config(cls, config: AnalysisConfig, event_class: int | None = None) -> "GlobalCut":
        """Return the cut of a configuration, for all events or for those of one class."""
        return cls(GammanessCuts.from_config(config).of_class(event_class))

    @property
    def tag(self) -> str:
        """What names the responses that go with it."""
        return self.cuts.tag

    def at(self, node: Node) -> GammanessCuts:  # noqa: ARG002 - the same everywhere
        """Return the cut."""
        return self.cuts


@dataclass(frozen=True)
class CutTables:
    """
    Energy-dependent cuts of a production, ``<directory>/<node>/gammaness_cuts_<method>_<setup>.h5``.

    Parameters
    ----------
    directory : Path
        Of all nodes.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.
    method : {"efficiency", "significance"}
        How the cuts were chosen.
    event_class : int or None
        Only events of this class pass; None for all.
    """

    directory: Path
    setup: Dl3Setup
    method: Literal["efficiency", "significance"] = "efficiency"
    event_class: int | None = None
    _known: dict[Node, GammanessCuts] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tag(self) -> str:
        """What names the responses that go with them."""
        return event_tag(ENERGY_DEPENDENT, self.event_class)

    def at(self, node: Node) -> GammanessCuts:
        """
        Return the cuts for events that the models of a node reconstructed.

        Raises
        ------
        ModelMismatchError
            There are none for this node.
        """
        if node not in self._known:
            path = self.directory / str(node) / f"gammaness_cuts_{self.method}_{_MC_SETUP[self.setup]}.h5"
            if not path.is_file():
                raise ModelMismatchError(
                    f"{path}: there are no energy-dependent cuts for the node of the models; "
                    "make them for this node, or take the global cut"
                )
            self._known[node] = GammanessCuts.read(path).of_class(self.event_class)
        return self._known[node]
