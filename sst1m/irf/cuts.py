"""Gammaness cuts: one for all events, or one for each bin of reconstructed energy."""

import operator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray
from pyirf.cuts import evaluate_binned_cut

from ..config import AnalysisConfig
from ..errors import InputError, ModelMismatchError
from ..io.astropy_tables import read_table, write_tables
from ..layout_mc import EVENT_CLASSES

__all__ = ["ENERGY_DEPENDENT", "CutMethod", "GammanessCuts", "event_tag"]

CutMethod = Literal["global", "efficiency", "significance"]

#: Tag of responses whose gammaness cut depends on the energy.
ENERGY_DEPENDENT = "energydep"

_TABLE = "gammaness_cuts"
_ENERGIES = ("low", "high", "center")


def event_tag(cut: str, event_class: int | None) -> str:
    """Return what names of responses carry: a gammaness cut, and the class where it is for one only."""
    return cut if event_class is None else f"{cut}_ec{event_class}"


@dataclass(frozen=True, eq=False)
class GammanessCuts:
    """
    Which events are gamma-like; the same object serves simulations and data.

    A global cut keeps the events *above* its value, whatever their energy. A table keeps the events *at or
    above* the value of their bin of reconstructed energy, lower edge inclusive, and none outside its bins.

    Parameters
    ----------
    method : {"global", "efficiency", "significance"}
        How the cut was chosen.
    value : float or None
        Of the global cut.
    table : QTable or None
        Columns ``low``, ``high``, ``center`` [TeV] and ``cut``; rows rise without gaps.
    efficiency : float or None
        Fraction of gammas that an efficiency cut keeps; None where it is not known.
    event_class : int or None
        Only events of this class pass (1 to 4, see `sst1m.irf.event_classes`); None for all events.
    """

    method: CutMethod
    value: float | None = None
    table: QTable | None = None
    efficiency: float | None = None
    event_class: int | None = None

    def __post_init__(self) -> None:
        if (self.method == "global") != (self.table is None) or (self.table is None) == (self.value is None):
            raise InputError(
                f"a gammaness cut of the method {self.method!r} needs "
                + ("a value" if self.method == "global" else "a table")
            )
        if self.table is not None:
            _check_table(self.table)
        if self.event_class is not None and self.event_class not in EVENT_CLASSES:
            raise InputError(f"there is no event class {self.event_class}; there are {EVENT_CLASSES}")

    @classmethod
    def from_config(cls, config: AnalysisConfig) -> Self:
        """Return the global cut of a configuration."""
        return cls("global", value=float(config.analysis.global_gammaness_cut))

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Read an energy-dependent cut.

        Parameters
        ----------
        path : Path
            HDF5 file with the table ``gammaness_cuts``, of this pipeline or of sst1mpipe.

        Raises
        ------
        InputError
            If it is missing, has another layout, or its bins are not rising and contiguous.
        """
        table = _with_energies(read_table(path, _TABLE))
        known = table.meta.get("method")
        if known not in ("efficiency", "significance"):
            # sst1mpipe does not say how it was made, but only one of the two counts gammas apart.
            known = "significance" if "n_gamma_events" in table.colnames else "efficiency"
        efficiency = table.meta.get("gamma_efficiency")
        try:
            return cls(known, table=table, efficiency=None if efficiency is None else float(efficiency))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def write(self, path: Path) -> None:
        """
        Write an energy-dependent cut in the HDF5 layout that sst1mpipe reads.

        Raises
        ------
        InputError
            If the cut is global: that stands in the configuration.
        OutputError
            If it cannot be written.
        """
        if self.table is None:
            raise InputError(f"{path}: a global gammaness cut has no file; it is a key of the configuration")
        table = self.table.copy()
        table.meta["method"] = self.method
        if self.efficiency is not None:
            table.meta["gamma_efficiency"] = self.efficiency
        write_tables(path, {_TABLE: table})

    @property
    def tag(self) -> str:
        """What names of responses carry: the number as Python prints it, or ``energydep``, and the class."""
        return event_tag(ENERGY_DEPENDENT if self.value is None else str(self.value), self.event_class)

    @property
    def energy_edges(self) -> u.Quantity | None:
        """Edges of the bins [TeV], shape=(n_bins + 1,); None for a global cut."""
        if self.table is None:
            return None
        return np.append(self.table["low"], self.table["high"][-1])

    def of_class(self, event_class: int | None) -> Self:
        """Return the same cut for events of one class only; for all events where it is None."""
        return replace(self, event_class=event_class)

    def passes(
        self, reco_energy_tev: ArrayLike, gammaness: ArrayLike, event_type: ArrayLike | None = None
    ) -> NDArray[np.bool_]:
        """
        Return which events are gamma-like, and of the class; events without a number never are.

        Parameters
        ----------
        reco_energy_tev : array-like, shape=(n_events,)
            Reconstructed energies [TeV].
        gammaness : array-like, shape=(n_events,)
            From 0 (hadron) to 1 (gamma).
        event_type : array-like, shape=(n_events,), optional
            Classes of the events, which a cut on the class needs.

        Raises
        ------
        InputError
            The events have no classes and the cut asks for one.
        """
        kept = self._gamma_like(reco_energy_tev, gammaness)
        if self.event_class is None:
            return kept
        if event_type is None:
            raise InputError(
                "the events have no classes (column event_type); classify them with event-classes"
            )
        return kept & (np.asarray(event_type) == self.event_class)

    def _gamma_like(self, reco_energy_tev: ArrayLike, gammaness: ArrayLike) -> NDArray[np.bool_]:
        score = np.asarray(gammaness, dtype=np.float64)
        if self.table is None:
            return score > self.value
        energy = np.asarray(reco_energy_tev, dtype=np.float64) * u.TeV
        return evaluate_binned_cut(score, energy, self.table, operator.ge)

    def require_same_kind(self, other: "GammanessCuts", where: str) -> None:
        """
        Check that two cuts select by the same rule, so that responses made with them may be combined.

        The values of energy-dependent cuts may differ, since each node has its own.

        Raises
        ------
        ModelMismatchError
            Naming what differs.
        """
        ours, theirs = self._kind(), other._kind()
        if ours != theirs:
            raise ModelMismatchError(
                f"{where}: made with another gammaness cut ({_spoken(theirs)}, not {_spoken(ours)}); "
                "make the responses of all nodes with one configuration"
            )

    def _kind(self) -> tuple[object, ...]:
        edges = self.energy_edges
        bins = None if edges is None else tuple(f"{edge:.6g}" for edge in edges.to_value(u.TeV))
        return self.method, self.value, self.efficiency, bins, self.event_class


def _spoken(kind: tuple[object, ...]) -> str:
    method, value, efficiency, bins, event_class = kind
    of_class = "" if event_class is None else f", events of class {event_class}"
    if bins is None:
        return f"{method} {value}{of_class}"
    kept = "" if efficiency is None else f" {efficiency}"
    return f"{method}{kept}{of_class} in {len(bins) - 1} bins {bins[0]} to {bins[-1]} TeV"


def _with_energies(table: QTable) -> QTable:
    """Return a cut table whose energies have a unit; where the file names none they are TeV."""
    for name in _ENERGIES:
        if name in table.colnames:
            table[name] = u.Quantity(table[name], table[name].unit or u.TeV).to(u.TeV)
    return table


def _check_table(table: QTable) -> None:
    missing = [name for name in ("low", "high", "cut") if name not in table.colnames]
    if missing:
        raise InputError(f"the cut table has no column {', '.join(missing)}; make it anew")
    low, high = table["low"].to_value(u.TeV), table["high"].to_value(u.TeV)
    rising = len(table) > 0 and np.all(np.diff(np.append(low, high[-1])) > 0)
    if not (rising and np.allclose(low[1:], high[:-1], rtol=1e-6)):
        raise InputError("the bins of the cut table do not rise without gaps; make it anew")
    if not np.all(np.isfinite(np.asarray(table["cut"]))):
        raise InputError("the cut table has values that are no numbers; make it anew")
