"""Bins of the response: what the configuration asks for, and what the simulation can fill."""

from dataclasses import dataclass, fields

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ..config import McConfig
from ..errors import DataQualityError, InputError
from ..thrown import ThrownShowers
from .optimise import reco_energy_edges

__all__ = ["MIN_GAMMAS", "IrfBins", "check_filled", "check_view_cone"]

#: Least number of selected gammas in an offset bin: with fewer its response is a guess.
MIN_GAMMAS = 10

_MIGRATION = (0.1, 4.0)
#: Half width of the only offset bin of a point-like response [deg].
_POINT_LIKE_HALF_WIDTH_DEG = 1.0
#: Radius up to which wide bins continue the PSF behind the configured radius [deg].
_PSF_END_DEG = 16.0
_ROUNDING_DEG = 1e-6


@dataclass(frozen=True, eq=False)
class IrfBins:
    """
    Edges of all axes; each shape=(n_bins + 1,).

    Parameters
    ----------
    energy_true : Quantity
        Of effective area and PSF [TeV].
    energy_dispersion : Quantity
        True energy of the energy dispersion [TeV].
    migration : ndarray
        Reconstructed over true energy; linear.
    fov_offset : Quantity
        True angle to the pointing [deg].
    source_offset : Quantity
        Angle between reconstructed and true direction [deg]. After the `n_source_offset` bins of the
        configuration follow wide ones, so that the PSF holds every event and its containment is right.
    n_source_offset : int
        Number of configured bins of `source_offset`; of equal width.
    energy_reco : Quantity
        Reconstructed energy of the background [TeV].
    background_offset : Quantity
        Reconstructed angle to the pointing of the background [deg].
    """

    energy_true: u.Quantity
    energy_dispersion: u.Quantity
    migration: NDArray[np.float64]
    fov_offset: u.Quantity
    source_offset: u.Quantity
    n_source_offset: int
    energy_reco: u.Quantity
    background_offset: u.Quantity

    @classmethod
    def from_config(
        cls,
        config: McConfig,
        thrown: ThrownShowers,
        point_like: float | None = None,
        energy_range_tev: tuple[float, float] | None = None,
    ) -> "IrfBins":
        """
        Return the bins that a configuration asks for.

        Parameters
        ----------
        config : McConfig
            Numbers of edges and ends of the axes.
        thrown : ThrownShowers
            Gammas; true energies reach as far as these where no range is given.
        point_like : float, optional
            Offset of the source from the pointing [deg]: one bin of true offsets, around it.
        energy_range_tev : tuple of float, optional
            Ends of the axes of true energy [TeV], for nodes that are thrown from different energies.
        """
        analysis = config.analysis
        energies = energy_range_tev or (thrown.energy_min_tev, thrown.energy_max_tev)
        offsets = np.linspace(0, analysis.fov_offset_max_deg, analysis.nbins_fov_offset)
        if point_like is not None:
            offsets = point_like + np.array([-1, 1]) * _POINT_LIKE_HALF_WIDTH_DEG
        return cls(
            energy_true=np.geomspace(*energies, analysis.n_energy_bins) * u.TeV,
            energy_dispersion=np.geomspace(*energies, analysis.n_bins_migration) * u.TeV,
            migration=np.linspace(*_MIGRATION, analysis.n_bins_migration),
            fov_offset=np.clip(offsets, 0, None) * u.deg,
            source_offset=_psf_edges(analysis.source_offset_max_deg, analysis.nbins_source_offset) * u.deg,
            n_source_offset=analysis.nbins_source_offset - 1,
            energy_reco=reco_energy_edges(config),
            background_offset=np.linspace(0, analysis.fov_offset_bg_max_deg, analysis.nbins_fov_offset_bg)
            * u.deg,
        )

    def difference(self, other: "IrfBins") -> str:
        """Name the axes on which two binnings differ; empty if there are none."""
        axes = [field.name for field in fields(self) if field.name != "n_source_offset"]
        return ", ".join(axis for axis in axes if not _same(getattr(self, axis), getattr(other, axis)))


def _psf_edges(radius_deg: float, n_edges: int) -> NDArray[np.float64]:
    edges = list(np.linspace(0, radius_deg, n_edges))
    while edges[-1] < _PSF_END_DEG:
        edges.append(min(2 * edges[-1], _PSF_END_DEG))
    return np.array(edges)


def _same(one: u.Quantity | NDArray[np.float64], other: u.Quantity | NDArray[np.float64]) -> bool:
    return one.shape == other.shape and bool(np.allclose(u.Quantity(one), u.Quantity(other), rtol=1e-6))


def check_view_cone(edges: u.Quantity, thrown: ThrownShowers, kind: str, key: str) -> None:
    """
    Check that showers were thrown in all bins of offset.

    Parameters
    ----------
    edges : Quantity, shape=(n_bins + 1,)
        Of the offset [deg].
    thrown : ThrownShowers
        The sample.
    kind, key : str
        Name of the particles and of the key of the configuration that sets the last edge, for the message.

    Raises
    ------
    DataQualityError
        If the bins reach out of the view cone.
    """
    inner, outer = thrown.viewcone_min_deg, thrown.viewcone_max_deg
    first, last = edges[[0, -1]].to_value(u.deg)
    if last > outer + _ROUNDING_DEG or inner > first + _ROUNDING_DEG:
        raise DataQualityError(
            f"offset bins from {first:g} to {last:g} deg, but {kind} were thrown from {inner:g} to {outer:g} "
            f"deg only: set {key} to at most {outer:g}, or simulate a wider view cone from 0 deg"
        )


def check_filled(
    offsets: u.Quantity, edges: u.Quantity, kind: str, keys: tuple[str, str], least: int
) -> None:
    """
    Check that all bins of offset hold enough events.

    Parameters
    ----------
    offsets : Quantity, shape=(n_events,)
        Of the selected events [deg].
    edges : Quantity, shape=(n_bins + 1,)
        [deg].
    kind : str
        Name of the events, for the message.
    keys : tuple of str
        Keys of the configuration that set the last edge and the number of edges.
    least : int
        Events that each bin needs.

    Raises
    ------
    DataQualityError
        Naming the first bin that has fewer, and what to configure.
    """
    counts, _ = np.histogram(offsets.to_value(u.deg), edges.to_value(u.deg))
    poor = np.flatnonzero(counts < least)
    if len(poor) == 0:
        return
    low, high = edges[[poor[0], poor[0] + 1]].to_value(u.deg)
    raise DataQualityError(
        f"the offset bin from {low:g} to {high:g} deg holds {counts[poor[0]]} {kind}, at least {least} are "
        f"needed: set {keys[0]} to {low:g} or less, or {keys[1]} to fewer edges, or simulate more showers"
        if low > 0
        else f"the offset bin from {low:g} to {high:g} deg holds {counts[poor[0]]} {kind}, at least {least} "
        f"are needed: set {keys[1]} to fewer edges, or simulate more showers"
    )


def require_diffuse(thrown: ThrownShowers, kind: str) -> None:
    """
    Check that a sample was thrown diffuse.

    Raises
    ------
    InputError
        If it is a point source.
    """
    if thrown.is_point_source:
        raise InputError(f"the {kind} come from one point, a response needs diffuse ones; give those")
