"""Pictures of a first look."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import matplotlib
import numpy as np
from astropy.visualization.wcsaxes import SphericalCircle
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sst1m.performance.plots import COLOURS
from sst1m.quicklook.flux import crab_flux, crab_model, propagated
from sst1m.quicklook.observations import Chosen
from sst1m.quicklook.regions import OnRegion
from sst1m.quicklook.sky_map import SkyMap
from sst1m.quicklook.spectrum import Spectrum
from sst1m.quicklook.theta2 import Theta2

__all__ = ["draw_light_curve", "draw_map", "draw_spectrum", "draw_theta2"]

_ON, _OFF, _MODEL, _NIGHT = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3]
_SIZE = (6.8, 4.6)
_STYLE = {"font.size": 11, "axes.titlesize": 11, "legend.frameon": False, "legend.fontsize": 9}
_DIFFERENTIAL = u.Unit("TeV-1 cm-2 s-1")
_LIMIT_ARROW = {"marker": "v", "ls": "", "ms": 6, "mfc": "none"}


def _new(size: tuple[float, float] = _SIZE) -> Figure:
    return Figure(figsize=size, layout="constrained")


def _dress(axes: Axes) -> None:
    axes.grid(visible=True, color="#c9ced6", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_theta2(theta2: Theta2, title: str) -> Figure:
    """Return counts against squared angle, with the background."""
    with matplotlib.rc_context(_STYLE):
        figure = _new()
        axes = figure.add_subplot()
        edges = theta2.edges_deg2
        center, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        low, high = (theta2.background + sign * theta2.background_error for sign in (-1, 1))
        axes.stairs(
            theta2.background, edges, color=_OFF, lw=1.8, label="background (off positions)", baseline=None
        )
        axes.fill_between(
            edges, *(np.append(v, v[-1]) for v in (low, high)), step="post", color=_OFF, alpha=0.25, lw=0
        )
        errors = np.sqrt(theta2.n_on)
        axes.errorbar(
            center, theta2.n_on, errors, half, fmt="o", ms=4, lw=1.3, color=_ON, label="at the source"
        )
        axes.axvline(theta2.cut_deg2, color="#1c2430", ls=(0, (4, 3)), lw=1)
        axes.set(title=title, xlabel="θ² [deg²]", ylabel="events", xlim=(0, edges[-1]))
        top = float(np.max([*(theta2.n_on + errors), *high, 1.0]))
        axes.set_ylim(0, 1.12 * top)
        axes.annotate(
            " on-region",
            (theta2.cut_deg2, 1.12 * top),
            xytext=(3, -12),
            textcoords="offset points",
            fontsize=9,
        )
        axes.legend(loc="center right")
        _dress(axes)
    return figure


def draw_map(sky: SkyMap, used: Sequence[Chosen], region: OnRegion, title: str) -> Figure:
    """Return the map of significances and their distribution outside the excluded regions."""
    if sky.significance is None:
        raise ValueError("there is no map")
    with matplotlib.rc_context(_STYLE):
        figure = _new((10.4, 4.9))
        left, right = figure.subplot_mosaic(
            [["map", "values"]],
            width_ratios=[1.35, 1],
            per_subplot_kw={"map": {"projection": sky.significance.geom.wcs}},
        ).values()
        _draw_sky(figure, left, sky, used, region)
        left.set_title(f"{title}, peak {sky.facts['peak']['significance']:.1f} σ")
        _draw_distribution(right, sky)
    return figure


def _draw_sky(figure: Figure, axes: Any, sky: SkyMap, used: Sequence[Chosen], region: OnRegion) -> None:
    data = sky.significance.data
    # a bright source would make all else white
    largest = float(np.clip(np.nanmax(np.abs(data)), 5, 10))
    picture = axes.imshow(
        data, origin="lower", cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest"
    )
    figure.colorbar(picture, ax=axes, label="significance [σ]", extend="both")
    circle = SphericalCircle(
        (region.position.ra, region.position.dec),
        region.radius_deg * u.deg,
        transform=axes.get_transform("icrs"),
        fc="none",
        ec="black",
        lw=1.2,
        label="on-region",
    )
    axes.add_patch(circle)
    limits = axes.get_xlim(), axes.get_ylim()
    pointings = np.array([(chosen.pointing.ra.deg, chosen.pointing.dec.deg) for chosen in used])
    axes.plot(
        *pointings.T,
        "+",
        ms=9,
        mew=1.5,
        color="black",
        transform=axes.get_transform("icrs"),
        label="optical axis",
    )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.coords[0].set_axislabel("right ascension")
    axes.coords[1].set_axislabel("declination")
    axes.coords[0].set_major_formatter("d.d")
    axes.coords[1].set_major_formatter("d.d")
    axes.coords.grid(color="#c9ced6", lw=0.6, alpha=0.6)
    axes.legend(loc="lower right", frameon=True, framealpha=0.8)


def _draw_distribution(axes: Axes, sky: SkyMap) -> None:
    values = sky.background_values
    edges = np.arange(-6, 6.01, 0.25)
    center = (edges[1:] + edges[:-1]) / 2
    axes.stairs(
        np.histogram(values, edges)[0], edges, fill=True, alpha=0.5, color=_ON, label="outside sources"
    )
    bell = len(values) * 0.25 / np.sqrt(2 * np.pi) * np.exp(-0.5 * center**2)
    axes.plot(center, bell, color="#1c2430", lw=1.2, label="pure background: mean 0, width 1")
    axes.set_yscale("log")
    axes.set_ylim(0.5, 20 * max(bell.max(), 1.0))
    mean, width = sky.facts["background_mean"], sky.facts["background_std"]
    axes.set(xlabel="significance [σ]", ylabel="pixels")
    if mean is not None:
        axes.set_title(f"mean {mean:.2f}, width {width:.2f}")
    axes.legend(loc="upper right")
    _dress(axes)


def draw_spectrum(spectrum: Spectrum, points: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Return points, the fit with its error band, and the Crab nebula."""
    with matplotlib.rc_context(_STYLE):
        figure = _new()
        axes = figure.add_subplot()
        low, high = spectrum.energy_tev or (1.0, 100.0)
        energy = np.geomspace(low, high, 60) * u.TeV
        crab = _sed(energy, crab_model()(energy))
        axes.plot(energy.value, crab, color="#1c2430", ls=(0, (4, 3)), lw=1, label="Crab nebula (HEGRA)")
        if spectrum.fitted:
            middle, error = propagated(spectrum.model, lambda model: np.log(_sed(energy, model(energy))))
            low, high = (np.exp(middle + sign * error) for sign in (-1, 1))
            axes.plot(energy.value, np.exp(middle), color=_MODEL, lw=1.6, label=_fit_label(spectrum))
            axes.fill_between(energy.value, low, high, color=_MODEL, alpha=0.25, lw=0)
        _draw_points(axes, points)
        axes.set(
            title=title, xlabel="energy [TeV]", ylabel="E² dN/dE [TeV cm⁻² s⁻¹]", xscale="log", yscale="log"
        )
        axes.set_ylim(*_sed_limits(points, crab))
        for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            which(FuncFormatter(_energy_label))
        axes.tick_params(axis="x", which="both", length=3.5, pad=4)
        axes.legend(loc="best")
        _dress(axes)
    return figure


def _sed(energy: u.Quantity, flux: u.Quantity) -> np.ndarray:
    return energy.to_value("TeV") ** 2 * flux.to_value(_DIFFERENTIAL)


def _energy_label(value: float, _: int) -> str:
    return f"{value:g}" if f"{value:e}"[0] in "125" else ""


def _sed_limits(points: Sequence[Mapping[str, Any]], crab: np.ndarray) -> tuple[float, float]:
    """Return limits that show all points; an error bar may run out below."""
    shown = [*crab]
    for point in points:
        scale = point["energy_tev"] ** 2
        shown += [scale * point[key] for key in ("dnde", "upper_limit_95") if (point[key] or 0) > 0]
    return 0.3 * min(shown), 4 * max(shown)


def _draw_points(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    labels = {"points": "points", "limits": "upper limits, 95 %"}
    for point in points:
        energy, scale = point["energy_tev"], point["energy_tev"] ** 2
        width = [[energy - point["energy_min_tev"]], [point["energy_max_tev"] - energy]]
        if point["upper_limit_95"] is not None:
            value, name = scale * point["upper_limit_95"], "limits"
            axes.errorbar(
                energy, value, None, width, color=_ON, lw=1.3, **_LIMIT_ARROW, label=labels.pop(name, None)
            )
        elif point["dnde"] is not None:
            value, name = scale * point["dnde"], "points"
            errors = [[scale * (point[key] or 0.0)] for key in ("error_low", "error_high")]
            axes.errorbar(
                energy, value, errors, width, fmt="o", ms=5, lw=1.3, color=_ON, label=labels.pop(name, None)
            )


def _fit_label(spectrum: Spectrum) -> str:
    parameters = spectrum.facts["parameters"]
    names = {"index": "index", "alpha": "α", "beta": "β"}
    shown = [f"{names[n]} {p['value']:.2f} ± {p['error']:.2f}" for n, p in parameters.items() if n in names]
    return f"{spectrum.facts['model'].replace('-', ' ')}: {', '.join(shown)}"


def draw_light_curve(curve: Mapping[str, Any], title: str, *, crab_units: bool) -> Figure:
    """
    Return flux against time, by observation and by night.

    Parameters
    ----------
    curve : mapping
        From `light_curve`.
    title : str
        Above it.
    crab_units : bool
        Fluxes in units of the Crab nebula.
    """
    energy_tev = curve["energy_min_tev"], curve["energy_max_tev"]
    key, scale = ("_crab", 1.0) if crab_units else ("", 1e12)
    with matplotlib.rc_context(_STYLE):
        figure = _new((7.6, 4.4))
        axes = figure.add_subplot()
        level = 1.0 if crab_units else crab_flux(energy_tev) * scale
        axes.axhline(level, color="#1c2430", ls=(0, (4, 3)), lw=1, label="Crab nebula (HEGRA)")
        axes.axhline(0, color="#1c2430", lw=0.6)
        _draw_times(axes, curve["observations"], key, scale, _ON, {"fmt": "o", "ms": 4}, "observations")
        if len(curve["nights"]) < len(curve["observations"]):
            square = {"fmt": "s", "ms": 10, "mfc": "none"}
            _draw_times(axes, curve["nights"], key, scale, _NIGHT, square, "nights")
        locator = AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        unit = "[Crab]" if crab_units else "[10⁻¹² cm⁻² s⁻¹]"
        axes.set(
            title=title,
            xlabel="time (UTC)",
            ylabel=f"flux {energy_tev[0]:.3g}-{energy_tev[1]:.3g} TeV {unit}",
        )
        axes.margins(x=0.06, y=0.12)
        axes.legend(loc="best")
        _dress(axes)
    return figure


def _draw_times(
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    key: str,
    scale: float,
    colour: str,
    marker: Mapping[str, Any],
    label: str | None,
) -> None:
    for point in points:
        start, stop = (_date(point[name]) for name in ("start_utc", "stop_utc"))
        middle, half = (start + stop) / 2, (stop - start) / 2
        limit, flux = point[f"upper_limit_95{key}"], point[f"flux{key}"]
        style = {"color": colour, "lw": 1.3}
        if limit is not None:
            axes.errorbar(middle, limit * scale, None, half, **style, **_LIMIT_ARROW)
        if flux is not None:
            errors = [[(point[f"{name}{key}"] or 0.0) * scale] for name in ("error_low", "error_high")]
            axes.errorbar(middle, flux * scale, errors, half, **marker, **style, label=label)
            label = None


def _date(text: str) -> float:
    return float(date2num(datetime.datetime.fromisoformat(text)))
