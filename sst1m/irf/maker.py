"""Makes the response of a node from simulated events after reconstruction."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import vstack
from numpy.typing import NDArray
from pyirf.irf import (
    background_2d,
    effective_area_per_energy,
    effective_area_per_energy_and_fov,
    energy_dispersion,
    psf_table,
)

from ..config import McConfig
from ..errors import DataQualityError
from ..events import ReconstructedEvents, TelescopeSetup
from ..layout_mc import data_setup
from ..nodes import Node
from ..provenance import input_record, provenance_json, utc_now
from .bins import MIN_GAMMAS, IrfBins, check_filled, check_view_cone, require_diffuse
from .cuts import GammanessCuts
from .gadf import write_irfs
from .responses import BACKGROUND_UNIT, IrfSet
from .samples import (
    WEIGHTED_TIME,
    Sample,
    check_same_models,
    class_fingerprint,
    model_fingerprint,
    sample_of,
    simulator,
)

__all__ = ["build_irfs", "make_irfs"]


def make_irfs(
    output: Path,
    gamma: ReconstructedEvents,
    proton: ReconstructedEvents,
    electron: ReconstructedEvents | None = None,
    *,
    cuts: GammanessCuts,
    config: McConfig,
    node: Node,
    setup: TelescopeSetup,
    point_like: float | None = None,
    energy_range_tev: tuple[float, float] | None = None,
    scale_true_energies: bool = False,
    inputs: Sequence[Path] = (),
) -> IrfSet:
    """
    Make the response of a node and write it, with its provenance beside it.

    Parameters
    ----------
    output : Path
        FITS file.
    inputs : sequence of Path
        DL2 files that the events are from, for the provenance.
    gamma, proton, electron, cuts, config, node, setup, point_like, energy_range_tev, scale_true_energies
        See `build_irfs`.

    Returns
    -------
    IrfSet
        What was written.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    started = utc_now()
    irf = build_irfs(
        gamma,
        proton,
        electron,
        cuts=cuts,
        config=config,
        node=node,
        setup=setup,
        point_like=point_like,
        energy_range_tev=energy_range_tev,
        scale_true_energies=scale_true_energies,
    )
    write_irfs(irf, output, side_files=_provenance(irf, output, config, inputs, started))
    return irf


def build_irfs(
    gamma: ReconstructedEvents,
    proton: ReconstructedEvents,
    electron: ReconstructedEvents | None = None,
    *,
    cuts: GammanessCuts,
    config: McConfig,
    node: Node,
    setup: TelescopeSetup,
    point_like: float | None = None,
    energy_range_tev: tuple[float, float] | None = None,
    scale_true_energies: bool = False,
) -> IrfSet:
    """
    Make the response of a node.

    Effective area, energy dispersion and PSF come from unweighted gammas, the background from protons and
    electrons weighted to `PROTON_SPECTRUM` and `ELECTRON_SPECTRUM`, all by pyirf. The PSF keeps the events
    beyond the configured radius in wide bins behind it, so that the containment within is right. Events
    whose migration is off its axis are in the effective area but not in the dispersion; the header says
    which fraction that is.

    Parameters
    ----------
    gamma, proton, electron : ReconstructedEvents
        Simulated. Diffuse, except that the gammas of a point-like response may come from one point. The event
        selection of the configuration is applied.
    cuts : GammanessCuts
        Which events are gamma-like.
    config : McConfig
        Bins, and the least simulated energies.
    node : Node
        What the events were simulated for.
    setup : str
        Telescope set-up of the events.
    point_like : float, optional
        Offset of the source from the pointing [deg] for a point-like response, after a cut in direction at
        ``global_theta_cut``; full enclosure where left out.
    energy_range_tev : tuple of float, optional
        Ends of the axes of true energy [TeV]; those of the thrown gammas where left out. Responses can only
        be combined if they share their axes, so a production that throws from a higher energy at large zenith
        angles gives the same range for all nodes. Where nothing was thrown the effective area is 0.
    scale_true_energies : bool
        Multiply true energies by ``true_energy_scaling_factor``: a biased response for systematic studies.

    Raises
    ------
    DataQualityError
        If bins reach out of the view cone or hold too few events, or a component is not normalised.
    ModelMismatchError
        If a sample is of another node or set-up.
    InputError
        If a sample is not simulated or not diffuse.
    """
    factor = config.analysis.true_energy_scaling_factor if scale_true_energies else 1.0
    events = {"gammas": gamma, "protons": proton} | ({"electrons": electron} if electron is not None else {})
    origin = _origin(events, cuts, config) | {"ESCALE": factor}
    prepare = partial(sample_of, cuts=cuts, config=config, node=node, setup=setup, energy_factor=factor)
    samples = {kind: prepare(kind, one) for kind, one in events.items()}
    bins = IrfBins.from_config(config, samples["gammas"].thrown, point_like, energy_range_tev)
    radius = None if point_like is None else config.analysis.global_theta_cut
    if radius is not None:
        samples["gammas"] = samples["gammas"].within(radius)
    _check_gammas(samples["gammas"], bins, point_like)
    return _response(samples, bins, radius, cuts=cuts, node=node, setup=data_setup(setup), making=origin)


def _response(
    samples: Mapping[str, Sample],
    bins: IrfBins,
    radius: float | None,
    *,
    cuts: GammanessCuts,
    node: Node,
    setup: str,
    making: Mapping[str, object],
) -> IrfSet:
    """Return the components; a radius [deg] of the direction cut makes the response a point-like one."""
    gammas = samples["gammas"]
    irf = IrfSet(
        effective_area=_effective_area(gammas, bins),
        energy_dispersion=_dispersion(gammas, bins),
        psf=None if radius is not None else _psf(gammas, bins),
        background=_background(samples, bins),
        bins=bins,
        cuts=cuts,
        node=node,
        setup=setup,
        making={**making, **_making(samples, bins)},
        rad_max_deg=radius,
    )
    irf.check(f"response of {node}, {setup}")
    return irf


def _origin(
    events: Mapping[str, ReconstructedEvents], cuts: GammanessCuts, config: McConfig
) -> dict[str, object]:
    """Return what all events of a response must have in common."""
    check_same_models(events)
    origin: dict[str, object] = {
        "ANALYSIS": config.fingerprint(),
        "MODELS": model_fingerprint(events.values()),
        "SIMULATR": simulator(events["gammas"]),
    }
    if cuts.event_class is not None:
        origin["CLASSES"] = class_fingerprint(events)
    return origin


def _check_gammas(gammas: Sample, bins: IrfBins, point_like: float | None) -> None:
    offset, thrown = gammas.table["true_source_fov_offset"], gammas.thrown
    keys = ("analysis.fov_offset_max_deg", "analysis.nbins_fov_offset")
    if point_like is None:
        require_diffuse(thrown, "gammas")
        check_view_cone(bins.fov_offset, thrown, "gammas", keys[0])
        check_filled(offset, bins.fov_offset, "selected gammas", keys, MIN_GAMMAS)
    elif np.histogram(offset, bins.fov_offset)[0][0] < MIN_GAMMAS:
        raise DataQualityError(
            f"fewer than {MIN_GAMMAS} gammas are left around {point_like:g} deg from the pointing; give "
            "gammas of a point source at that offset, or more of them"
        )
    elif not thrown.is_point_source and bins.fov_offset[-1].value > thrown.viewcone_max_deg:
        raise DataQualityError(
            f"a point-like response at {point_like:g} deg takes gammas to {bins.fov_offset[-1]:g}, they were "
            f"thrown to {thrown.viewcone_max_deg:g} deg; give gammas of a point source, or a wider view cone"
        )


def _effective_area(gammas: Sample, bins: IrfBins) -> NDArray[np.float64]:
    info, energy = gammas.thrown.to_pyirf(), bins.energy_true
    with np.errstate(invalid="ignore", divide="ignore"):
        if gammas.thrown.is_point_source:
            area = effective_area_per_energy(gammas.table, info, energy)[:, np.newaxis]
        else:
            area = effective_area_per_energy_and_fov(gammas.table, info, energy, bins.fov_offset)
    nothing_thrown = info.calculate_n_showers_per_energy(energy) <= 0
    return np.where(nothing_thrown[:, np.newaxis], 0, area.to_value(u.m**2))


def _dispersion(gammas: Sample, bins: IrfBins) -> NDArray[np.float64]:
    return energy_dispersion(gammas.table, bins.energy_dispersion, bins.fov_offset, bins.migration)


def _psf(gammas: Sample, bins: IrfBins) -> NDArray[np.float64]:
    table, end = gammas.table.copy(), bins.source_offset[-1]
    # What lies even behind the last wide bin goes into it: no event is lost to the normalisation.
    table["theta"] = np.minimum(table["theta"], np.nextafter(end.value, 0) * end.unit)
    return psf_table(table, bins.energy_true, bins.source_offset, bins.fov_offset).to_value(1 / u.sr)


def _background(samples: Mapping[str, Sample], bins: IrfBins) -> NDArray[np.float64]:
    keys = ("analysis.fov_offset_bg_max_deg", "analysis.nbins_fov_offset_bg")
    tables = []
    for sample in samples.values():
        if sample.spectrum:
            check_view_cone(bins.background_offset, sample.thrown, sample.kind, keys[0])
            tables.append(sample.table["reco_energy", "reco_source_fov_offset", "weight"])
    events = vstack(tables)
    check_filled(events["reco_source_fov_offset"], bins.background_offset, "background events", keys, 1)
    rate = background_2d(events, bins.energy_reco, bins.background_offset, WEIGHTED_TIME)
    return rate.to_value(BACKGROUND_UNIT)


def _making(samples: Mapping[str, Sample], bins: IrfBins) -> dict[str, object]:
    gammas = samples["gammas"]
    migration = (gammas.table["reco_energy"] / gammas.table["true_energy"]).to_value(u.one)
    off_axis = (migration < bins.migration[0]) | (migration > bins.migration[-1])
    thrown = gammas.thrown
    values: dict[str, object] = {
        "SIMULAT": True,
        "EMIN": thrown.energy_min_tev,
        "EMAX": thrown.energy_max_tev,
        "SPINDEX": thrown.spectral_index,
        "IMPACT": thrown.max_impact_m,
        "VIEWCONE": thrown.viewcone_max_deg,
        "MIGRLOST": float(off_axis.mean()),
    }
    for sample in samples.values():
        name = sample.kind[:3].upper()
        values[f"NTHR{name}"] = sample.thrown.n_showers
        values[f"NSEL{name}"] = len(sample.table)
        if sample.spectrum:
            values[f"BKG{name}"] = sample.spectrum
            values[f"RATE{name}"] = float(np.sum(sample.table["weight"]))
    return values


def _provenance(
    irf: IrfSet, output: Path, config: McConfig, inputs: Sequence[Path], started: str
) -> Mapping[Path, Callable[[], bytes]]:
    counts = {name: value for name, value in irf.making.items() if name.startswith(("NTHR", "NSEL"))}

    def record() -> bytes:
        return provenance_json(
            product=output,
            run={"node": str(irf.node), "tel_setup": irf.setup, "gammaness_cut": irf.cuts.tag},
            inputs=[input_record(path) for path in inputs],
            config={"fingerprint": config.fingerprint(), "values": config.canonical()},
            started=started,
            counts=counts,
            options={"point_like": irf.point_like},
            calibration={},
        )

    return {output.with_suffix(".json"): record}
