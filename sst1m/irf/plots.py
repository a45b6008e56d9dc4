"""One figure of a response: its four components side by side."""

from collections.abc import Sequence
from pathlib import Path

import astropy.units as u
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pyirf.utils import cone_solid_angle

from ..performance.plots import COLOURS, save_figure
from .responses import IrfSet, energy_threshold

__all__ = ["draw_irfs", "plot_irfs"]

_CONTAINED = 0.68
_MOST_CURVES = len(COLOURS)


def plot_irfs(irf: IrfSet, path: Path) -> None:
    """
    Draw a response and write the figure in the format of its suffix.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    save_figure(draw_irfs(irf), path)


def draw_irfs(irf: IrfSet) -> Figure:
    """Return effective area, 68 % containment, energy dispersion and background of a response."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    _area(axes[0, 0], irf)
    _containment(axes[0, 1], irf)
    _dispersion(axes[1, 0], irf)
    _background(axes[1, 1], irf)
    cut = f"gammaness {irf.cuts.tag}"
    figure.suptitle(f"{irf.setup}, {irf.node}, {cut}, simulated")
    return figure


def _centres(edges: u.Quantity) -> NDArray[np.float64]:
    return np.sqrt(edges[:-1] * edges[1:]).to_value(u.TeV)


def _curves(axis: Axes, x: NDArray[np.float64], values: NDArray[np.float64], offsets: u.Quantity) -> None:
    """Draw one curve for each bin of offset; values shape=(n_energy, n_offset), nothing where 0."""
    edges = offsets.to_value(u.deg)
    shown = _spread(len(edges) - 1)
    for colour, i in zip(COLOURS, shown, strict=False):
        y = np.where(values[:, i] > 0, values[:, i], np.nan)
        axis.plot(x, y, "o-", ms=3, lw=1.2, color=colour, label=f"{edges[i]:g}-{edges[i + 1]:g} deg")
    axis.set(xscale="log", xlim=(x[0] / 1.3, x[-1] * 1.3))
    axis.grid(alpha=0.4)
    axis.legend(fontsize=8, frameon=False)


def _spread(n: int) -> Sequence[int]:
    return np.unique(np.linspace(0, n - 1, min(n, _MOST_CURVES)).round().astype(int)).tolist()


def _area(axis: Axes, irf: IrfSet) -> None:
    _curves(axis, _centres(irf.bins.energy_true), irf.effective_area, irf.bins.fov_offset)
    axis.axvline(energy_threshold(irf.effective_area, irf.bins)[0], color="grey", ls=":", lw=1)
    axis.set(title="Effective area", xlabel="true energy [TeV]", ylabel="area [m2]", yscale="log")


def _containment(axis: Axes, irf: IrfSet) -> None:
    if irf.psf is None:
        axis.set_axis_off()
        axis.text(0.5, 0.5, f"point-like: direction cut at {irf.rad_max_deg:g} deg", ha="center")
        return
    edges = irf.bins.source_offset
    inside = (irf.psf * np.diff(cone_solid_angle(edges)).to_value(u.sr)).cumsum(axis=-1)
    upper = edges[1:].to_value(u.deg)
    radius = np.apply_along_axis(lambda c: np.interp(_CONTAINED, c, upper) if c[-1] > 0 else 0.0, -1, inside)
    _curves(axis, _centres(irf.bins.energy_true), radius, irf.bins.fov_offset)
    axis.set(title="Point spread function", xlabel="true energy [TeV]", ylabel="68 % containment [deg]")


def _dispersion(axis: Axes, irf: IrfSet) -> None:
    energy, matrix = irf.bins.energy_dispersion.to_value(u.TeV), irf.energy_dispersion[:, :, 0]
    shown = np.where(matrix > 0, matrix, np.nan).T
    mesh = axis.pcolormesh(energy, irf.bins.migration, shown, cmap="viridis")
    axis.axhline(1, color="white", lw=0.8)
    first = irf.bins.fov_offset[:2].to_value(u.deg)
    axis.set(title=f"Energy dispersion, {first[0]:g}-{first[1]:g} deg", xscale="log")
    axis.set(xlabel="true energy [TeV]", ylabel="reconstructed / true")
    axis.figure.colorbar(mesh, ax=axis, label="density")


def _background(axis: Axes, irf: IrfSet) -> None:
    _curves(axis, _centres(irf.bins.energy_reco), irf.background, irf.bins.background_offset)
    axis.set(title="Background", xlabel="reconstructed energy [TeV]", ylabel="rate [s-1 MeV-1 sr-1]")
    axis.set_yscale("log")
