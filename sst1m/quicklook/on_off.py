"""Counts and spectra of the on-region and of reflected off-regions, observation by observation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from gammapy.datasets import Datasets, SpectrumDataset, SpectrumDatasetOnOff
from gammapy.makers import (
    ReflectedRegionsBackgroundMaker,
    ReflectedRegionsFinder,
    SafeMaskMaker,
    SpectrumDatasetMaker,
    WobbleRegionsFinder,
)
from gammapy.makers.background.reflected import RegionsFinder
from gammapy.maps import MapAxis, RegionGeom, WcsNDMap
from regions import SkyRegion

from sst1m.quicklook.counts import OnOffCounts
from sst1m.quicklook.observations import Chosen
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.regions import OnRegion

__all__ = ["SpectrumData", "count_on_off", "off_regions", "spectrum_data"]

#: Lowest effective area relative to the largest, and largest bias of the energy, of bins that are fitted.
_AEFF_PERCENT, _BIAS_PERCENT = 1, 30
_BINS_PER_DECADE, _BINS_WITH_THRESHOLDS, _TRUE_BINS_PER_DECADE = 12, 24, 41
_ROUNDING = 1e-6
#: How far true energies reach beyond the reconstructed ones.
_BELOW, _ABOVE = 5, 1.5


@dataclass(frozen=True, eq=False)
class SpectrumData:
    """
    What a spectrum can be fitted to.

    Parameters
    ----------
    datasets : tuple of SpectrumDatasetOnOff
        By observation, each with the bins that it is safe to use.
    used : tuple of Chosen
        Their observations.
    reason : str or None
        Why there is none; None if there is.
    without : dict
        Reason by OBS_ID of observations that could not take part.
    """

    datasets: tuple[SpectrumDatasetOnOff, ...]
    used: tuple[Chosen, ...]
    reason: str | None
    without: dict[str, str]

    def stacked(self) -> SpectrumDatasetOnOff:
        """Return the sum of all."""
        return Datasets(list(self.datasets)).stack_reduce(name="all")


def count_on_off(
    chosen: Chosen, region: OnRegion, off: ReflectedRegionsBackgroundMaker, options: QuicklookOptions
) -> tuple[OnOffCounts | None, dict[str, Any]]:
    """
    Count events in the on-region and in reflected off-regions.

    Parameters
    ----------
    chosen : Chosen
        Observation.
    region : OnRegion
        Where the source is.
    off : ReflectedRegionsBackgroundMaker
        From `off_regions`.
    options : QuicklookOptions
        Range of energies.

    Returns
    -------
    counts : OnOffCounts or None
        None if no off-region fits.
    facts : dict
        The counts as JSON values.
    """
    axis = MapAxis.from_energy_edges([options.energy_min_tev, options.energy_max_tev] * u.TeV)
    geometry = RegionGeom.create(region.sky_region, axes=[axis])
    true_axis = axis.copy(name="energy_true")
    empty = SpectrumDataset.create(geom=geometry, energy_axis_true=true_axis, name=chosen.name)
    dataset = SpectrumDatasetMaker(selection=["counts"]).run(empty, chosen.observation)
    dataset = off.run(dataset, chosen.observation)
    if dataset.counts_off is None:
        return None, _no_off(chosen, region)
    n_regions = int(dataset.acceptance_off.data.sum())
    counts = OnOffCounts(
        int(dataset.counts.data.sum()), int(dataset.counts_off.data.sum()), float(1 / n_regions)
    )
    return counts, {"n_off_regions": n_regions} | counts.to_dict()


def _no_off(chosen: Chosen, region: OnRegion) -> dict[str, Any]:
    return {
        "status": f"no off-region of {region.radius_deg:g} deg fits beside the source, which is "
        f"{chosen.offset_deg:.2f} deg off the axis"
    }


class _KnownRegions(RegionsFinder):
    """Off-regions that were found before: finding them takes longer than counting in them."""

    def __init__(self, regions: Sequence[SkyRegion], wcs: WCS) -> None:
        super().__init__()
        self._found = list(regions), wcs

    def run(
        self, region: SkyRegion, center: SkyCoord, exclusion_mask: WcsNDMap | None = None
    ) -> tuple[list[SkyRegion], WCS]:
        """Return them."""
        return self._found


def off_regions(chosen: Chosen, region: OnRegion, mask: WcsNDMap) -> ReflectedRegionsBackgroundMaker:
    """
    Return what counts in the off-regions of an observation.

    Parameters
    ----------
    chosen : Chosen
        Observation.
    region : OnRegion
        Where the source is.
    mask : WcsNDMap
        False where no off-region may be.
    """
    if chosen.offset_deg < region.radius_deg:
        return ReflectedRegionsBackgroundMaker(region_finder=_KnownRegions([], mask.geom.wcs))
    finder: RegionsFinder = ReflectedRegionsFinder()
    if region.energy_dependent:
        finder = WobbleRegionsFinder(n_off_regions=max(region.off_positions(chosen.offset_deg), 1))
    found = finder.run(region=region.sky_region, center=chosen.pointing, exclusion_mask=mask)
    return ReflectedRegionsBackgroundMaker(region_finder=_KnownRegions(*found))


def spectrum_data(
    used: Sequence[Chosen],
    region: OnRegion,
    off: Mapping[str, ReflectedRegionsBackgroundMaker],
    options: QuicklookOptions,
) -> SpectrumData:
    """
    Return what a spectrum is fitted to.

    Bins below the thresholds that an observation declares are left out; without thresholds, those in which
    the effective area is below 1 % of its maximum or the energy is biased by more than 30 %.

    Parameters
    ----------
    used : sequence of Chosen
        Observations with off-regions.
    region, options
        As for `count_on_off`.
    off : mapping of str to ReflectedRegionsBackgroundMaker
        Their off-regions by OBS_ID.
    """
    datasets, kept, without = [], [], {}
    thresholds = any(chosen.has_thresholds for chosen in used)
    for chosen in used:
        reason = _lacking(chosen, region)
        if reason is None:
            dataset = _dataset(chosen, region, off[chosen.name], options, thresholds)
            reason = _not_safe(dataset)
        if reason is None:
            datasets.append(dataset)
            kept.append(chosen)
        else:
            without[chosen.name] = reason
    reason = (
        None if datasets else "; ".join(sorted(set(without.values()))) or "no observation has off-regions"
    )
    return SpectrumData(tuple(datasets), tuple(kept), reason, without)


def _lacking(chosen: Chosen, region: OnRegion) -> str | None:
    """Say which response is missing."""
    if not chosen.has_responses:
        return "the store has no effective area or no energy dispersion"
    if not region.point_like and "psf" not in chosen.observation.available_irfs:
        return (
            "the store has no point spread function, so the fraction of gammas in the on-region is not known"
        )
    return None


def _not_safe(dataset: SpectrumDatasetOnOff) -> str | None:
    if not np.isfinite(dataset.exposure.data).all():
        return "its exposure is not a number in some bins"
    if not dataset.exposure.data.any():
        return "its effective area is zero at the source"
    if not dataset.mask_safe.data.any():
        return "no energy bin has enough effective area and a small bias of the energy"
    return None


def _dataset(
    chosen: Chosen,
    region: OnRegion,
    off: ReflectedRegionsBackgroundMaker,
    options: QuicklookOptions,
    thresholds: bool,
) -> SpectrumDatasetOnOff:
    low, high = options.energy_min_tev, options.energy_max_tev
    bins = options.bins_per_decade or (_BINS_WITH_THRESHOLDS if thresholds else _BINS_PER_DECADE)
    axis = MapAxis.from_energy_bounds(low, high, bins, unit="TeV", per_decade=True)
    true_axis = MapAxis.from_energy_bounds(
        *(low / _BELOW, high * _ABOVE, _TRUE_BINS_PER_DECADE), unit="TeV", per_decade=True, name="energy_true"
    )
    geometry = RegionGeom.create(region.sky_region, axes=[axis])
    empty = SpectrumDataset.create(geom=geometry, energy_axis_true=true_axis, name=chosen.name)
    maker = SpectrumDatasetMaker(
        selection=["counts", "exposure", "edisp"], containment_correction=not region.point_like
    )
    dataset = maker.run(empty, chosen.observation)
    dataset = off.run(dataset, chosen.observation)
    if chosen.has_thresholds:
        # a bin counts if all of it is inside; rounding must not take the outermost
        low_tev, high_tev = chosen.energy_tev[0] * (1 - _ROUNDING), chosen.energy_tev[1] * (1 + _ROUNDING)
        dataset.mask_safe = geometry.energy_mask(low_tev * u.TeV, high_tev * u.TeV)
        return dataset
    if not dataset.exposure.data.any():
        return dataset
    # Of the responses themselves: on bins that begin at the lowest energy, the events that migrate into them
    # from below would look like a bias.
    safe = SafeMaskMaker(
        methods=["aeff-max", "edisp-bias"],
        aeff_percent=_AEFF_PERCENT,
        bias_percent=_BIAS_PERCENT,
        position=region.position,
        irfs="DL3",
    )
    return safe.run(dataset, chosen.observation)
