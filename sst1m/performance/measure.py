"""Measure what one telescope set-up can do at one node: tables, figures and a summary in one directory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from ..config import McConfig
from ..errors import InputError
from ..events import ReconstructedEvents, TelescopeSetup
from ..irf.cuts import GammanessCuts
from ..irf.optimise import reco_energy_edges
from ..irf.spectra import ELECTRON_SPECTRUM, GAMMA_SPECTRUM, PROTON_SPECTRUM, spectrum_named
from ..irf.weights import event_weights
from ..provenance import software_versions
from .curves import node_figures
from .detection_time import detection_time
from .effective_area import effective_areas
from .leakage import leaking_share
from .plots import save_figure
from .rates import Theta2Method, background_radius, in_on_region, on_regions, source_rates
from .resolution import angular_resolution, correct_sign, energy_resolution
from .roc import MIN_EVENTS, area_under_curve, roc_table
from .samples import DEFAULT_MAX_OFFSET_DEG, Sample, cut_sample, point_signal
from .sensitivity import MIN_SIMULATED, flux_sensitivity
from .summary import SCHEMA, SUMMARY_NAME, PerformanceSummary, table_json
from .tables import write_known_tables

__all__ = ["PerformanceOptions", "measure_performance"]

#: A curve of the summary has at most this many points.
_MAX_POINTS = 200
_GAMMANESS_BINS = 50
_BACKGROUND = {"proton": PROTON_SPECTRUM, "electron": ELECTRON_SPECTRUM}


@dataclass(frozen=True)
class PerformanceOptions:
    """
    What is measured, beside what the configuration says.

    Parameters
    ----------
    spectrum : str
        Source of the sensitivity, a name of `SPECTRA`.
    detect : tuple of str
        Sources whose detection time is wanted.
    energy_min_tev : float
        Least reconstructed energy of all events [TeV].
    max_offset_deg : float
        Largest angle to the axis of diffuse gammas that stand for a point source [deg].
    gamma_off_correction : bool
        Take off the gammas that one telescope reconstructs in an off-region.
    resolution, sensitivity : bool
        Parts that are wanted.
    tables : bool
        Also write HDF5 tables.
    label : str
        Of the production.
    """

    spectrum: str = GAMMA_SPECTRUM
    detect: tuple[str, ...] = (GAMMA_SPECTRUM,)
    energy_min_tev: float = 0.0
    max_offset_deg: float = DEFAULT_MAX_OFFSET_DEG
    gamma_off_correction: bool = False
    resolution: bool = True
    sensitivity: bool = True
    tables: bool = True
    label: str = ""


@dataclass(eq=False)
class _Findings:
    """What has been found so far."""

    tables: dict[str, QTable] = field(default_factory=dict)
    detection: list[dict[str, Any]] = field(default_factory=list)
    background: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def measure_performance(
    output_dir: Path,
    *,
    gamma: ReconstructedEvents,
    proton: ReconstructedEvents | None,
    electron: ReconstructedEvents | None = None,
    cuts: GammanessCuts,
    config: McConfig,
    setup: TelescopeSetup,
    theta2_cuts: Theta2Method = "global",
    figures: bool = True,
    options: PerformanceOptions | None = None,
) -> PerformanceSummary:
    """
    Measure resolutions, separation, effective areas and sensitivity of a telescope set-up at a node.

    Parameters
    ----------
    output_dir : Path
        Tables, figures and, last of all, ``summary.json``.
    gamma : ReconstructedEvents
        Test gammas as read from DL2: of a point source, or diffuse (those near the axis are used then).
    proton, electron : ReconstructedEvents or None
        Diffuse test protons and electrons; without protons there is no separation and no sensitivity.
    cuts : GammanessCuts
        Cut in gammaness.
    config : McConfig
        Bins, quality cuts, exposure.
    setup : str
        Telescope set-up.
    theta2_cuts : {"global", "efficiency"}
        On-region of the sensitivity.
    figures : bool
        Also write figures.
    options : PerformanceOptions, optional
        The rest.

    Raises
    ------
    InputError
        If the events are no simulations, or belong to another set-up.
    ConfigError
        If the options name a spectrum that is not known.
    OutputError
        If something cannot be written.
    """
    options = options or PerformanceOptions()
    _check_setups(setup, gamma, proton, electron)
    path = output_dir / SUMMARY_NAME
    # A summary says that all else is there: an old one must not outlive the files that it speaks of.
    path.unlink(missing_ok=True)
    bins, found = reco_energy_edges(config), _Findings()
    signal, description = point_signal(gamma, options.max_offset_deg)
    given = {"gamma": signal, "proton": proton, "electron": electron}
    samples = _measure(given, cuts, config, bins, theta2_cuts, options, found)
    about: dict[str, Any] = {
        "setup": setup,
        "node": str(gamma.node) if gamma.node else None,
        "signal": description,
    }
    about["cuts"] = _cuts_json(cuts, theta2_cuts, config)
    about["counts"] = {name: sample.counts() for name, sample in samples.items()}
    content = {"schema": SCHEMA, "label": options.label, **about, **_results_json(found, config, options)}
    files = write_known_tables(output_dir, setup, bins, found.tables) if options.tables else []
    drawn = _write_figures(output_dir, setup, content) if figures else []
    summary = PerformanceSummary(path, content | {"files": files, "figures": drawn})
    summary.write()
    return summary


def _measure(
    given: Mapping[str, ReconstructedEvents | None],
    cuts: GammanessCuts,
    config: McConfig,
    bins: u.Quantity,
    theta2_cuts: Theta2Method,
    options: PerformanceOptions,
    found: _Findings,
) -> dict[str, Sample]:
    """Cut the samples and measure the parts that are wanted; return the samples."""
    samples = _samples(given, cuts, config, options, found)
    regions = on_regions(samples["gamma"].after("gammaness"), bins, config, theta2_cuts)
    samples["gamma"] = _with_on_region(samples["gamma"], regions)
    if options.resolution:
        _resolution(samples, bins, found)
    _areas_and_separation(samples, bins, found)
    if options.sensitivity:
        _sensitivity(samples, regions, config, options, found)
    if theta2_cuts == "efficiency":
        found.tables["theta_cuts"] = regions
    return samples


def _cuts_json(cuts: GammanessCuts, theta2_cuts: Theta2Method, config: McConfig) -> dict[str, Any]:
    theta = config.analysis.global_theta_cut if theta2_cuts == "global" else None
    return {"gammaness": cuts.tag, "method": cuts.method, "theta2": theta2_cuts, "theta_deg": theta}


def _results_json(found: _Findings, config: McConfig, options: PerformanceOptions) -> dict[str, Any]:
    return {
        "spectrum": options.spectrum,
        "observation_time_h": config.analysis.observation_time_h,
        "off_regions": config.analysis.off_regions,
        "options": asdict(options),
        "tables": {name: table_json(_thinned(table)) for name, table in found.tables.items()},
        "background": found.background,
        "detection": found.detection,
        "missing": found.missing,
        "config_fingerprint": config.fingerprint(),
        "software": software_versions(),
    }


def _check_setups(setup: TelescopeSetup, *samples: ReconstructedEvents | None) -> None:
    for events in samples:
        if events is not None and events.tel_setup != setup:
            raise InputError(f"events of {events.tel_setup} were given to measure {setup}; give its own DL2")


def _samples(
    given: Mapping[str, ReconstructedEvents | None],
    cuts: GammanessCuts,
    config: McConfig,
    options: PerformanceOptions,
    found: _Findings,
) -> dict[str, Sample]:
    samples = {}
    least = {
        "gamma": config.analysis.gamma_min_simulated_energy_tev,
        "proton": config.analysis.proton_min_simulated_energy_tev,
    }
    for name, events in given.items():
        if events is None:
            continue
        samples[name] = cut_sample(
            events,
            cuts,
            config,
            true_energy_min_tev=least.get(name, 0.0),
            reco_energy_min_tev=options.energy_min_tev,
        )
        if samples[name].note:
            found.missing["gammaness"] = samples[name].note
    return samples


def _with_on_region(signal: Sample, regions: QTable) -> Sample:
    inside = signal.stages["gammaness"] & in_on_region(signal.events, regions)
    return Sample(signal.events, {**signal.stages, "on_region": inside})


def _resolution(samples: Mapping[str, Sample], bins: u.Quantity, found: _Findings) -> None:
    """Measure how well energies and directions of gammas after cuts are reconstructed."""
    gammas = samples["gamma"].after("gammaness")
    found.tables["energy_resolution"] = energy_resolution(gammas, bins)
    right = correct_sign(gammas)
    chosen = gammas if right is None else gammas.select(right)
    found.tables["angular_resolution"] = angular_resolution(chosen, bins)
    if right is not None:
        table, everything = found.tables["angular_resolution"], angular_resolution(gammas, bins)
        table["n_events_both_signs"] = everything["n_events"]
        table["angular_res_both_signs"] = everything["angular_res"]


def _areas_and_separation(samples: Mapping[str, Sample], bins: u.Quantity, found: _Findings) -> None:
    """Measure effective areas, and how well gammas and protons are told apart."""
    gamma, proton = samples["gamma"], samples.get("proton")
    found.tables["effective_area"] = effective_areas(gamma.events, gamma.stages, bins)
    kinds = {"gammas": gamma, "protons": proton} if proton else {"gammas": gamma}
    found.tables["gammaness"] = _gammaness_densities(
        {kind: sample.after("selected") for kind, sample in kinds.items()}
    )
    if proton is None:
        found.missing["roc_curve"] = "no protons were given"
        return
    pair = gamma.after("selected"), proton.after("selected")
    curve = roc_table(*pair)
    if curve is None:
        found.missing["roc_curve"] = (
            f"{len(pair[0])} gammas and {len(pair[1])} protons are left after the quality cuts; "
            f"more than {MIN_EVENTS} of each are needed"
        )
    else:
        found.tables["roc_curve"] = curve
    found.tables["auc"] = area_under_curve(*pair, bins)


def _gammaness_densities(kinds: Mapping[str, ReconstructedEvents]) -> QTable:
    edges = np.linspace(0, 1, _GAMMANESS_BINS + 1)
    table = QTable({"low": edges[:-1], "high": edges[1:], "center": (edges[:-1] + edges[1:]) / 2})
    for kind, events in kinds.items():
        filled, _ = np.histogram(events.table["gammaness"], edges)
        table[kind] = filled / (filled.sum() / _GAMMANESS_BINS) if filled.any() else np.nan
    return table


def _sensitivity(
    samples: Mapping[str, Sample],
    regions: QTable,
    config: McConfig,
    options: PerformanceOptions,
    found: _Findings,
) -> None:
    """Measure the weakest source that the exposure detects, and the time that named sources need."""
    background = {
        name: (samples[name].after("gammaness"), spectrum_named(flux))
        for name, flux in _BACKGROUND.items()
        if name in samples
    }
    if "proton" not in background:
        found.missing["flux_sensitivity"] = "no protons were given"
        return
    gammas, n_off = samples["gamma"].after("gammaness"), config.analysis.off_regions
    energy_bins = np.append(regions["low"], regions["high"][-1])
    radius = background_radius((events for events, _ in background.values()), energy_bins, MIN_SIMULATED)
    found.background = {"particles": list(background), "radius_deg": radius}
    for name in dict.fromkeys((options.spectrum, *options.detect)):
        spectrum = spectrum_named(name)
        rates = source_rates(gammas, spectrum, background, regions, radius)
        if options.gamma_off_correction and gammas.tel_setup != "stereo":
            weights = event_weights(gammas, spectrum, 1 * u.s)
            share = leaking_share(gammas, weights, regions, n_off)
            rates["signal_rate"] *= 1 - np.nan_to_num(share)
            rates["off_leakage"] = share
        if name == options.spectrum:
            found.tables["rates"] = rates
            hours = config.analysis.observation_time_h * u.h
            table = flux_sensitivity(rates, spectrum, hours, n_off)
            found.tables["flux_sensitivity"] = table
            if not np.isfinite(table["flux_sensitivity"]).any():
                found.missing["flux_sensitivity"] = (
                    f"no energy bin has more than {MIN_SIMULATED} gammas and {MIN_SIMULATED} background "
                    "events after the cuts"
                )
        if name in options.detect:
            time = asdict(detection_time(rates, n_off)) | {"energy_min_tev": options.energy_min_tev}
            found.detection.append({"source": name, **_plain(time)})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with null for what is no number."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}


def _thinned(table: QTable) -> QTable:
    """Return a long curve with fewer points."""
    if len(table) <= _MAX_POINTS:
        return table
    return table[np.unique(np.linspace(0, len(table) - 1, _MAX_POINTS).round().astype(int))]


def _write_figures(directory: Path, setup: TelescopeSetup, content: Mapping[str, Any]) -> list[str]:
    names = []
    for kind, figure in node_figures(content).items():
        names.append(f"{kind}_{setup}.png")
        save_figure(figure, directory / names[-1])
    return names
