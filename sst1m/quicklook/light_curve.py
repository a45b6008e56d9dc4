"""Flux against time: a point for each observation and for each night."""

from collections.abc import Callable, Sequence
from typing import Any

from sst1m.quicklook.flux import counts_in, crab_flux, expected_counts, flux_from_counts, integral
from sst1m.quicklook.observations import Chosen
from sst1m.quicklook.on_off import SpectrumData
from sst1m.quicklook.spectrum import Spectrum

__all__ = ["light_curve"]


def light_curve(data: SpectrumData, spectrum: Spectrum) -> dict[str, Any]:
    """
    Return fluxes by observation and by night, as JSON values.

    The shape of the spectrum is the same for all points: that of the fit or, without one, of the Crab nebula.

    Parameters
    ----------
    data : SpectrumData
        Observations.
    spectrum : Spectrum
        Shape and range of energies.
    """
    if spectrum.energy_tev is None:
        return {"status": "not made", "reason": spectrum.reason}
    low, high = spectrum.energy_tev
    return {
        "status": "made",
        "energy_min_tev": low,
        "energy_max_tev": high,
        "unit": "cm-2 s-1",
        "shape": "fitted" if spectrum.fitted else "assumed, as of the Crab nebula",
        "observations": _points(data, spectrum, lambda chosen: chosen.name),
        "nights": _points(data, spectrum, lambda chosen: chosen.night),
    }


def _points(data: SpectrumData, spectrum: Spectrum, name_of: Callable[[Chosen], str]) -> list[dict[str, Any]]:
    energy_tev = spectrum.energy_tev or (0.0, 0.0)
    flux, crab = integral(spectrum.model, energy_tev), crab_flux(energy_tev)
    expected = expected_counts(data.datasets, spectrum.model).sum(axis=1)
    members: dict[str, list[int]] = {}
    for number, chosen in enumerate(data.used):
        members.setdefault(name_of(chosen), []).append(number)
    points = []
    for name, numbers in members.items():
        counts = counts_in([data.datasets[number] for number in numbers])
        found = flux_from_counts(counts, float(expected[numbers].sum()))
        points.append({"name": name} | _time([data.used[n] for n in numbers]) | found.to_dict(flux, crab))
    return points


def _time(used: Sequence[Chosen]) -> dict[str, Any]:
    return {
        "start_utc": used[0].facts["start_utc"],
        "stop_utc": used[-1].facts["stop_utc"],
        "mjd_min": float(used[0].observation.gti.time_start[0].utc.mjd),
        "mjd_max": float(used[-1].observation.gti.time_stop[-1].utc.mjd),
        "livetime_s": sum(chosen.livetime_s for chosen in used),
    }
