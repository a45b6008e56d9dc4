"""A first look at a source: from photon lists to pictures and numbers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gammapy
from matplotlib.figure import Figure

from sst1m.checkpoint import committed, explained_write_errors
from sst1m.errors import ConfigError
from sst1m.names import shown, target_name_problem
from sst1m.performance.plots import save_figure
from sst1m.pointing import offline_earth_orientation
from sst1m.provenance import input_record, software_versions, source_revision, utc_now
from sst1m.quicklook.counts import OnOffCounts, combined
from sst1m.quicklook.light_curve import light_curve
from sst1m.quicklook.numbers import SCHEMA, SCHEMA_VERSION, check_numbers, encoded
from sst1m.quicklook.observations import Chosen, Selection, select_observations
from sst1m.quicklook.on_off import SpectrumData, count_on_off, off_regions, spectrum_data
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.pictures import draw_light_curve, draw_map, draw_spectrum, draw_theta2
from sst1m.quicklook.quiet import gammapy_in_the_log
from sst1m.quicklook.regions import OnRegion, excluded_regions, exclusion_mask, on_region
from sst1m.quicklook.sky_map import SkyMap, significance_map
from sst1m.quicklook.spectrum import Spectrum, fit_spectrum, spectrum_points, total_flux
from sst1m.quicklook.theta2 import Theta2, theta2_distribution
from sst1m.sources import Source

__all__ = ["PICTURES", "QuicklookSummary", "numbers_path", "picture_path", "quicklook", "sentence"]

Progress = Callable[[str], object]

PICTURES = ("theta2", "significance_map", "spectrum", "light_curve")
_INDICES = ("hdu-index.fits.gz", "obs-index.fits.gz")


@dataclass(frozen=True)
class QuicklookSummary:
    """
    What a first look gave.

    Parameters
    ----------
    path : Path
        JSON file of all numbers.
    pictures : tuple of Path
        Pictures that could be made.
    content : dict
        The numbers.
    """

    path: Path
    pictures: tuple[Path, ...]
    content: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Parts:
    """All that is found before it is written."""

    selection: Selection
    region: OnRegion
    counts: OnOffCounts | None
    observations: list[dict[str, Any]]
    data: SpectrumData
    spectrum: Spectrum
    points: list[dict[str, Any]]
    curve: dict[str, Any]
    theta2: Theta2
    sky: SkyMap


def numbers_path(output_dir: Path, source: Source) -> Path:
    """Return where the numbers of a source go."""
    return output_dir / f"{source.name}_quicklook.json"


def picture_path(output_dir: Path, source: Source, name: str) -> Path:
    """Return where a picture of a source goes; names are those of `PICTURES`."""
    return output_dir / f"{source.name}_{name}.png"


def quicklook(
    index_dir: Path,
    output_dir: Path,
    *,
    source: Source,
    options: QuicklookOptions,
    neighbours: Iterable[Source] = (),
    pictures: Sequence[str] = PICTURES,
    progress: Progress | None = None,
) -> QuicklookSummary:
    """
    Make θ² plot, significance map, spectrum, light curve and their numbers from a GADF store.

    Parameters
    ----------
    index_dir : Path
        Directory of the store, with hdu-index.fits.gz and obs-index.fits.gz.
    output_dir : Path
        Where pictures and numbers go; the numbers appear last.
    source : Source
        What is looked at.
    options : QuicklookOptions
        On-region, energies, shape of the spectrum.
    neighbours : iterable of Source
        Other known sources: no background is taken from them.
    pictures : sequence of str
        Which to draw, of `PICTURES`; those of an earlier look that are not drawn now are removed.
    progress : callable, optional
        Gets a line about each step before it begins.

    Raises
    ------
    ConfigError, InputError
        The options do not fit the responses; there is no usable observation.
    OutputError
        Something cannot be written.
    """
    if problem := target_name_problem(source.name):
        raise ConfigError(f"{shown(source.name)} cannot name files: {problem}; give another name")
    tell, started = progress or (lambda _: None), utc_now()
    path = numbers_path(output_dir, source)
    with gammapy_in_the_log(), offline_earth_orientation():
        parts = _analyse(index_dir, source, options, neighbours, tell)
        tell("drawing")
        with explained_write_errors(path):
            path.unlink(missing_ok=True)
        drawn = _draw(parts, source, options, output_dir, pictures)
    content = _content(parts, source, options, index_dir) | {
        "pictures": {name: picture.name for name, picture in drawn.items()},
        "started": started,
        "stopped": utc_now(),
    }
    with committed(path, validate=check_numbers) as part:
        part.write_bytes(encoded(content))
    return QuicklookSummary(path, tuple(drawn.values()), content)


def _analyse(
    index_dir: Path, source: Source, options: QuicklookOptions, neighbours: Iterable[Source], tell: Progress
) -> _Parts:
    selection = select_observations(index_dir, source, options)
    region = on_region(selection.used, source, options)
    excluded = excluded_regions(region, neighbours, options)
    mask = exclusion_mask(excluded, options)
    n_used = len(selection.used)
    tell(f"counting in {n_used} observation{'s' * (n_used != 1)}, {duration(selection.livetime_s / 3600)}")
    off = {chosen.name: off_regions(chosen, region, mask) for chosen in selection.used}
    found = [count_on_off(chosen, region, off[chosen.name], options) for chosen in selection.used]
    counted = [
        (chosen, counts)
        for chosen, (counts, _) in zip(selection.used, found, strict=True)
        if counts is not None
    ]
    counts = combined([c for _, c in counted], [o.livetime_s for o, _ in counted]) if counted else None
    observations = [
        chosen.facts | {"counts": facts} for chosen, (_, facts) in zip(selection.used, found, strict=True)
    ]
    tell("spectrum and light curve")
    data = spectrum_data([chosen for chosen, _ in counted], region, off, options)
    spectrum = fit_spectrum(data, options)
    points, curve = spectrum_points(data, spectrum), light_curve(data, spectrum)
    tell("theta2 and significance map")
    return _Parts(
        selection=selection,
        region=region,
        counts=counts,
        observations=observations,
        data=data,
        spectrum=spectrum,
        points=points,
        curve=curve,
        theta2=theta2_distribution(selection.used, region, options),
        sky=significance_map(selection.used, region, excluded, options),
    )


def _draw(
    parts: _Parts, source: Source, options: QuicklookOptions, output_dir: Path, wanted: Sequence[str]
) -> dict[str, Path]:
    """Write the pictures that are wanted and can be made; remove the others of an earlier look."""
    pictures = {}
    for name in PICTURES:
        path = picture_path(output_dir, source, name)
        figure = _figure(name, parts, source, options) if name in wanted else None
        if figure is not None:
            save_figure(figure, path)
            pictures[name] = path
        else:
            with explained_write_errors(path):
                path.unlink(missing_ok=True)
    return pictures


def _figure(name: str, parts: _Parts, source: Source, options: QuicklookOptions) -> Figure | None:
    """Return a picture; None where there is nothing to draw."""
    title = f"{source.name}{' (simulated)' if parts.selection.simulated else ''}"
    hours = duration(parts.selection.livetime_s / 3600)
    if name == "theta2" and parts.theta2.n_observations:
        seen = "no off-region" if parts.counts is None else _seen(parts.counts)
        return draw_theta2(parts.theta2, f"{title}: {seen}, {duration(_livetime_h(parts))}")
    if name == "significance_map" and parts.sky.significance is not None:
        return draw_map(parts.sky, parts.selection.used, parts.region, f"{title}, {hours}")
    if parts.spectrum.energy_tev is None:
        return None
    if name == "spectrum":
        why = "" if parts.spectrum.fitted else f"\nnot fitted: {parts.spectrum.reason}"
        return draw_spectrum(parts.spectrum, parts.points, f"{title}, {hours}{why}")
    if name == "light_curve":
        return draw_light_curve(parts.curve, f"{title}, {hours}", crab_units=options.crab_units)
    return None


def _content(parts: _Parts, source: Source, options: QuicklookOptions, index_dir: Path) -> dict[str, Any]:
    nothing = dict.fromkeys(OnOffCounts(0, 0, 0.0).to_dict()) | {"status": "no off-regions"}
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "source": {"name": source.name, "ra_deg": source.ra_deg, "dec_deg": source.dec_deg},
        "simulated": parts.selection.simulated,
        "options": options.to_dict()
        | {
            "on_radius_deg": parts.region.radius_deg,
            "on_radius_by_energy": parts.region.energy_dependent,
            "responses": "point-like" if parts.region.point_like else "full-enclosure",
        },
        **(nothing if parts.counts is None else parts.counts.to_dict()),
        "livetime_h": _livetime_h(parts),
        "n_observations": len(parts.selection.used),
        "observations": parts.observations,
        "left_out": list(parts.selection.left_out),
        "spectrum": parts.spectrum.to_dict() | {"observations_without": parts.data.without},
        "flux": total_flux(parts.data, parts.spectrum),
        "flux_points": parts.points,
        "light_curve": parts.curve,
        "theta2": parts.theta2.to_dict(),
        "sky_map": parts.sky.facts,
        "inputs": [input_record(index_dir / name) for name in _INDICES],
        "software": software_versions() | {"gammapy": gammapy.__version__, "revision": source_revision()},
    }


def duration(hours: float) -> str:
    """Return a live time as people say it."""
    return f"{hours:.2f} h" if hours >= 0.1 else f"{hours * 3600:.3g} s"


def _livetime_h(parts: _Parts) -> float:
    """Return the live time [h] of the observations that the counts are of."""
    counted = zip(parts.selection.used, parts.observations, strict=True)
    return sum(_counted_s(chosen, facts) for chosen, facts in counted) / 3600


def _counted_s(chosen: Chosen, facts: dict[str, Any]) -> float:
    return chosen.livetime_s if "n_on" in facts["counts"] else 0.0


def _seen(counts: OnOffCounts) -> str:
    significance = counts.significance
    if significance is not None and counts.status == "ok":
        sigma = f"{significance:.1f} σ"
    elif (exact := counts.binomial_significance) is not None:
        sigma = f"{exact:.1f} σ (binomial, {counts.status})"
    else:
        sigma = f"no significance ({counts.status})"
    return f"{sigma}, {counts.n_on} on, {counts.n_off} off (alpha {counts.alpha:.3g})"


def sentence(content: dict[str, Any]) -> str:
    """
    Return one line that says what was seen.

    Parameters
    ----------
    content : dict
        The numbers.
    """
    name = f"{content['source']['name']}{' (simulated)' if content['simulated'] else ''}"
    if content["n_on"] is None:
        return f"{name}: {content['status']}, so nothing can be said; see its observations in the numbers"
    counts = OnOffCounts(content["n_on"], content["n_off"], content["alpha"])
    words = [f"{name}: {_seen(counts).replace('σ', 'sigma')}"]
    if content["excess"] is not None:
        words.append(f"excess {content['excess']:.1f} +- {content['excess_error']:.1f}")
    words.append(duration(content["livetime_h"]))
    words.append(_flux_words(content["flux"], content["options"]["crab_units"]))
    return ", ".join(words)


def _flux_words(flux: dict[str, Any], crab_units: bool) -> str:
    if flux["status"] != "ok":
        return f"no flux: {flux['status']}"
    where = f"flux({flux['energy_min_tev']:.3g}-{flux['energy_max_tev']:.3g} TeV)"
    if flux["upper_limit_95"] is not None:
        absolute, crab = f"{flux['upper_limit_95']:.2e} cm-2 s-1", f"{flux['upper_limit_95_crab']:.3g} Crab"
        where += " <"
    else:
        absolute = f"{flux['flux']:.2e} +- {flux['error_high']:.1e} cm-2 s-1"
        crab = f"{flux['flux_crab']:.3g} +- {flux['error_high_crab']:.2g} Crab"
        where += " ="
    first, second = (crab, absolute) if crab_units else (absolute, crab)
    return f"{where} {first} ({second})"
