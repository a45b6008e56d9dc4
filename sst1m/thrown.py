"""What a simulation threw: the denominator of every effective area and the base of every event weight."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from sst1m.errors import InputError

if TYPE_CHECKING:
    from pyirf.simulations import SimulatedEventsInfo

__all__ = ["ThrownShowers"]


@dataclass(frozen=True)
class ThrownShowers:
    """
    Showers thrown, summed over the files of a sample; reused showers count each time.

    Parameters
    ----------
    n_showers : int
        Thrown, with reuse.
    energy_min_tev, energy_max_tev, spectral_index : float
        Power law ``E ** spectral_index`` [TeV].
    max_impact_m : float
        Radius of the disc of axes, perpendicular to the direction [m].
    viewcone_min_deg, viewcone_max_deg : float
        Least and largest angle to the pointing [deg]; equal for a point source.
    """

    n_showers: int
    energy_min_tev: float
    energy_max_tev: float
    spectral_index: float
    max_impact_m: float
    viewcone_min_deg: float
    viewcone_max_deg: float

    @classmethod
    def total(cls, parts: Sequence["ThrownShowers"]) -> "ThrownShowers":
        """
        Return the sum of several files.

        Raises
        ------
        InputError
            There is none, or they threw different spectra, areas or view cones.
        """
        if not parts:
            raise InputError("no file says how many showers were thrown")
        kinds = {replace(part, n_showers=0) for part in parts}
        if len(kinds) > 1:
            listed = " and ".join(sorted(map(str, kinds)))
            raise InputError(f"showers of different kinds cannot be added: {listed}")
        return replace(parts[0], n_showers=sum(part.n_showers for part in parts))

    @property
    def is_point_source(self) -> bool:
        """Whether all showers come from one angle to the pointing."""
        return self.viewcone_max_deg == self.viewcone_min_deg

    def above(self, energy_min_tev: float) -> Self:
        """Return the showers above an energy [TeV], as the power law divides them."""
        if energy_min_tev <= self.energy_min_tev:
            return self
        fraction = self._integral(energy_min_tev) / self._integral(self.energy_min_tev)
        return replace(self, n_showers=round(self.n_showers * fraction), energy_min_tev=energy_min_tev)

    def _integral(self, energy_min_tev: float) -> float:
        if self.spectral_index == -1:
            raise InputError("a spectral index of -1 is not supported; give -1.001")
        slope = self.spectral_index + 1
        return (self.energy_max_tev**slope - energy_min_tev**slope) / slope

    def to_pyirf(self) -> "SimulatedEventsInfo":
        """Return the same for pyirf."""
        import astropy.units as u
        from pyirf.simulations import SimulatedEventsInfo

        return SimulatedEventsInfo(
            n_showers=self.n_showers,
            energy_min=self.energy_min_tev * u.TeV,
            energy_max=self.energy_max_tev * u.TeV,
            max_impact=self.max_impact_m * u.m,
            spectral_index=self.spectral_index,
            viewcone_min=self.viewcone_min_deg * u.deg,
            viewcone_max=self.viewcone_max_deg * u.deg,
        )
