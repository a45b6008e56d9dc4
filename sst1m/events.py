"""Reconstructed events of one telescope set-up, as every stage after the forests passes them on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from sst1m.nodes import Node
from sst1m.thrown import ThrownShowers

__all__ = ["SETUPS", "ReconstructedEvents", "TelescopeSetup"]

TelescopeSetup = Literal["tel_001", "tel_002", "tel_021", "tel_022", "stereo"]
SETUPS: tuple[TelescopeSetup, ...] = ("tel_001", "tel_002", "tel_021", "tel_022", "stereo")


@dataclass(frozen=True, eq=False)
class ReconstructedEvents:
    """
    DL2 in memory.

    Parameters
    ----------
    table : astropy.table.QTable
        One row per event; columns as in the DL2 file, with units where they have one: ``obs_id``,
        ``event_id``, ``time_ns`` (int64, ns TAI, data only), ``reco_energy`` [TeV], ``gammaness``,
        ``reco_alt``, ``reco_az`` [deg], ``reco_ra``, ``reco_dec`` [deg, data only],
        ``true_alt_tel``, ``true_az_tel`` [deg, pointing], of simulations ``true_energy`` [TeV],
        ``true_alt``, ``true_az`` [deg], ``true_shower_primary_id``, and the image parameters.
    tel_setup : str
        ``tel_001``, ``tel_002``, ``tel_021``, ``tel_022`` or ``stereo``.
    info : mapping
        ``/sst1m/info`` of the file: counts, live time, night sky, models.
    thrown : ThrownShowers or None
        What was simulated; None for data.
    """

    table: QTable
    tel_setup: TelescopeSetup
    info: Mapping[str, Any] = field(default_factory=dict)
    thrown: ThrownShowers | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def simulated(self) -> bool:
        """Whether the events are Monte-Carlo with truth (a simulated night is data)."""
        return self.thrown is not None

    @property
    def node(self) -> Node | None:
        """Node that the events were simulated at, or whose models reconstructed them; None if not known."""
        name = self.info.get("node")
        return Node.parse(name) if name else None

    def select(self, mask: NDArray[np.bool_]) -> Self:
        """Return the chosen events; what was thrown and the info stay."""
        return replace(self, table=self.table[np.asarray(mask)])
