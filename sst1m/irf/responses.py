"""The response of one telescope set-up in memory, with what must hold for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pyirf.utils import cone_solid_angle

from ..errors import DataQualityError
from ..nodes import Node
from .bins import IrfBins
from .cuts import GammanessCuts

__all__ = ["BACKGROUND_UNIT", "MAKING_CARDS", "IrfSet", "energy_threshold"]

#: Header cards that tell how a response was made, as opposed to those that follow from its values.
MAKING_CARDS = {
    "SIMULAT": "T: made by a simulation",
    "SIMULATR": "what simulated the showers",
    "ANALYSIS": "",  # of the configuration; a checksum leaves no room for a comment
    "MODELS": "",  # of the configuration that the forests were trained with
    "CLASSES": "",  # of the edges of event classes and their forest
    "EMIN": "[TeV] thrown gammas",
    "EMAX": "[TeV] thrown gammas",
    "SPINDEX": "of the thrown gammas",
    "IMPACT": "[m] radius of the thrown gammas",
    "VIEWCONE": "[deg] of the thrown gammas",
    "MIGRLOST": "fraction of gammas off the migration axis",
    "ESCALE": "factor on true energies",
    "NTHRGAM": "gammas thrown",
    "NTHRPRO": "protons thrown",
    "NTHRELE": "electrons thrown",
    "NSELGAM": "gammas after all cuts",
    "NSELPRO": "protons after all cuts",
    "NSELELE": "electrons after all cuts",
    "BKGPRO": "spectrum of the protons",
    "BKGELE": "spectrum of the electrons",
    "RATEPRO": "[Hz] selected protons",
    "RATEELE": "[Hz] selected electrons",
}

BACKGROUND_UNIT = u.Unit("s-1 MeV-1 sr-1")
#: Fraction of the largest effective area that marks the energy threshold.
_THRESHOLD = 0.1
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class IrfSet:
    """
    The four components of a response (GADF v0.2, full enclosure or point-like).

    Parameters
    ----------
    effective_area : ndarray, shape=(n_energy, n_offset)
        After all cuts [m2].
    energy_dispersion : ndarray, shape=(n_energy_dispersion, n_migration, n_offset)
        Density in reconstructed over true energy; integral over it 1, or 0 where there is no event.
    psf : ndarray, shape=(n_energy, n_offset, n_source_offset), or None
        Density in solid angle [sr-1]; integral 1, or 0 where there is no event. None if point-like.
    background : ndarray, shape=(n_energy_reco, n_background_offset)
        Rate of background events after all cuts [s-1 MeV-1 sr-1].
    bins : IrfBins
        Axes.
    cuts : GammanessCuts
        What it was made with.
    node : Node
        What it was made for.
    setup : str
        ``tel_021``, ``tel_022`` or ``stereo``.
    making : mapping of str to value
        How it was made; names as in `MAKING_CARDS`.
    rad_max_deg : float or None
        Radius of the direction cut of a point-like response [deg].
    """

    effective_area: NDArray[np.float64]
    energy_dispersion: NDArray[np.float64]
    psf: NDArray[np.float64] | None
    background: NDArray[np.float64]
    bins: IrfBins
    cuts: GammanessCuts
    node: Node
    setup: str
    making: Mapping[str, object] = field(default_factory=dict)
    rad_max_deg: float | None = None

    @property
    def point_like(self) -> bool:
        """Whether a direction cut was applied."""
        return self.rad_max_deg is not None

    def check(self, where: str) -> None:
        """
        Check that all values are possible and the densities normalised.

        Parameters
        ----------
        where : str
            Name of the response for the message.

        Raises
        ------
        DataQualityError
            Naming the component and what is wrong with it.
        """
        width = np.diff(self.bins.migration)[:, np.newaxis]
        components = {
            "effective area": (self.effective_area, None),
            "energy dispersion": (self.energy_dispersion, (self.energy_dispersion * width).sum(axis=1)),
            "background": (self.background, None),
        }
        if self.psf is not None:
            solid_angle = np.diff(cone_solid_angle(self.bins.source_offset)).to_value(u.sr)
            components["point spread function"] = (self.psf, (self.psf * solid_angle).sum(axis=2))
        for name, (values, integral) in components.items():
            if problem := _problem(values, integral):
                raise DataQualityError(
                    f"{where}: its {name} {problem}; check the simulations that it is from"
                )


def _problem(values: NDArray[np.float64], integral: NDArray[np.float64] | None) -> str:
    if not np.all(np.isfinite(values)):
        return f"has {np.count_nonzero(~np.isfinite(values))} values that are no numbers"
    if np.any(values < 0):
        return f"has {np.count_nonzero(values < 0)} negative values"
    if integral is not None:
        wrong = (np.abs(integral - 1) > _TOLERANCE) & (integral != 0)
        if wrong.any():
            return f"is not normalised: {integral[wrong][0]:.6g} instead of 1 or 0"
    return ""


def energy_threshold(effective_area: NDArray[np.float64], bins: IrfBins) -> tuple[float, float]:
    """
    Return the range of energies in which a response is trustworthy, GADF ``LO_THRES`` and ``HI_THRES``.

    From the lower edge of the first bin whose effective area near the axis reaches 10 % of its maximum, to
    the upper edge of the last bin that has any.

    Parameters
    ----------
    effective_area : ndarray, shape=(n_energy, n_offset)
        [m2].
    bins : IrfBins
        Axes.

    Returns
    -------
    tuple of float
        Energies [TeV]; the whole range where nothing is left near the axis.
    """
    area, edges = effective_area[:, 0], bins.energy_true.to_value(u.TeV)
    if not np.any(area > 0):
        return float(edges[0]), float(edges[-1])
    first = int(np.argmax(area >= _THRESHOLD * area.max()))
    last = int(np.flatnonzero(area > 0)[-1])
    return float(edges[first]), float(edges[last + 1])
