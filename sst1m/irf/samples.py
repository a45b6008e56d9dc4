"""Simulated events on their way into a response: checked, scaled, cut, with the columns that pyirf reads."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from astropy.table import QTable

from ..config import McConfig
from ..errors import InputError, ModelMismatchError
from ..events import ReconstructedEvents, TelescopeSetup
from ..layout_mc import data_setup
from ..nodes import Node
from ..reco.selection import select_events
from ..thrown import ThrownShowers
from .bins import require_diffuse
from .cuts import GammanessCuts
from .spectra import ELECTRON_SPECTRUM, PROTON_SPECTRUM, spectrum_named
from .weights import above_energy, event_weights, pointing_offset, thrown_showers, true_distance

__all__ = [
    "WEIGHTED_TIME",
    "Sample",
    "check_same_models",
    "class_fingerprint",
    "model_fingerprint",
    "sample_of",
    "simulator",
]

#: A node and the conditions of its events may differ by rounding in the names of nodes.
_POINTING_TOLERANCE_DEG = 1.0
_SKY_TOLERANCE = 0.01
#: What kinds of background are weighted to.
_SPECTRA = {"protons": PROTON_SPECTRUM, "electrons": ELECTRON_SPECTRUM}
#: Time that weights are for: any will do, the background is a rate.
WEIGHTED_TIME = 1 * u.s


@dataclass(frozen=True, eq=False)
class Sample:
    """
    Selected events of one kind of particle.

    Parameters
    ----------
    kind : str
        ``gammas``, ``protons`` or ``electrons``.
    table : QTable
        Columns as pyirf names them: energies, offsets, ``theta``, and ``weight`` of background.
    thrown : ThrownShowers
        What was simulated.
    spectrum : str
        Name of the spectrum of the weights; empty for gammas.
    """

    kind: str
    table: QTable
    thrown: ThrownShowers
    spectrum: str

    def within(self, radius_deg: float) -> "Sample":
        """Return the events reconstructed within an angle [deg] of their true direction."""
        return replace(self, table=self.table[self.table["theta"] <= radius_deg * u.deg])


def sample_of(
    kind: str,
    events: ReconstructedEvents,
    *,
    cuts: GammanessCuts,
    config: McConfig,
    node: Node,
    setup: TelescopeSetup,
    energy_factor: float = 1.0,
) -> Sample:
    """
    Prepare the events of one kind of particle for a response: all cuts of the configuration are applied.

    Parameters
    ----------
    kind : {"gammas", "protons", "electrons"}
        What they are.
    events : ReconstructedEvents
        Simulated.
    cuts : GammanessCuts
        Which are gamma-like.
    config : McConfig
        Least simulated energies.
    node, setup
        What they must have been simulated for.
    energy_factor : float
        On true energies and the limits of the thrown ones.

    Raises
    ------
    InputError
        If they are data, or background from one point.
    ModelMismatchError
        If they are of another node or set-up.
    """
    _check(kind, events, node, setup)
    events = events.select(select_events(events, config).mask)
    events = _scaled(above_energy(events, _least_energy_tev(kind, config)), energy_factor)
    energy = u.Quantity(events.table["reco_energy"], u.TeV)
    classes = events.table["event_type"] if "event_type" in events.table.colnames else None
    chosen = cuts.passes(energy.value, events.table["gammaness"], classes) & np.isfinite(energy.value)
    events = events.select(chosen & np.isfinite(pointing_offset(events, "reco").value))
    table = QTable({name: u.Quantity(events.table[name], u.TeV) for name in ("true_energy", "reco_energy")})
    for prefix in ("true", "reco"):
        table[f"{prefix}_source_fov_offset"] = pointing_offset(events, prefix)
    table["theta"] = true_distance(events)
    if spectrum := _SPECTRA.get(kind, ""):
        table["weight"] = event_weights(events, spectrum_named(spectrum), WEIGHTED_TIME)
    return Sample(kind, table, thrown_showers(events), spectrum)


def _check(kind: str, events: ReconstructedEvents, node: Node, setup: TelescopeSetup) -> None:
    if data_setup(events.tel_setup) != data_setup(setup):
        raise ModelMismatchError(f"the {kind} are of {events.tel_setup}; give those of {setup}")
    if kind != "gammas":
        require_diffuse(thrown_showers(events), kind)
    for sky in _night_skies(events.info.get("nsb_mhz")):
        if abs(sky / node.nsb_mhz - 1) > _SKY_TOLERANCE:
            raise ModelMismatchError(
                f"the {kind} were simulated with a night sky of {sky:g} MHz, not for {node}; give its node"
            )
    if len(events):
        table = events.table
        wanted = (node.azimuth_deg * u.deg, (90 - node.zenith_deg) * u.deg)
        away = angular_separation(table["true_az_tel"], table["true_alt_tel"], *wanted).to_value(u.deg)
        if np.max(away) > _POINTING_TOLERANCE_DEG:
            raise ModelMismatchError(
                f"the {kind} were simulated with the telescopes up to {np.max(away):.1f} deg from {node}; "
                "give the node that they were simulated at"
            )


def _night_skies(value: float | Mapping[str, float] | None) -> list[float]:
    values = value.values() if isinstance(value, Mapping) else [value]
    return [float(sky) for sky in values if sky is not None]


def _least_energy_tev(kind: str, config: McConfig) -> float:
    analysis = config.analysis
    least = {
        "gammas": analysis.gamma_min_simulated_energy_tev,
        "protons": analysis.proton_min_simulated_energy_tev,
    }
    return least.get(kind, 0.0)


def _scaled(events: ReconstructedEvents, factor: float) -> ReconstructedEvents:
    if factor == 1:
        return events
    thrown, table = thrown_showers(events), events.table.copy()
    table["true_energy"] = table["true_energy"] * factor
    energies = {name: getattr(thrown, name) * factor for name in ("energy_min_tev", "energy_max_tev")}
    return replace(events, table=table, thrown=replace(thrown, **energies))


def _telescope_models(events: ReconstructedEvents) -> dict[str, dict[str, Any]]:
    return dict((events.info.get("models") or {}).get("telescopes") or {})


def check_same_models(samples: Mapping[str, ReconstructedEvents]) -> None:
    """
    Check that the same forests have reconstructed all samples.

    Raises
    ------
    ModelMismatchError
        If not.
    """
    cards = {
        kind: {tel: card.get("card_sha256") for tel, card in _telescope_models(events).items()}
        for kind, events in samples.items()
    }
    known = {kind: card for kind, card in cards.items() if card}
    first = next(iter(known), "")
    for kind, card in known.items():
        if card != known[first]:
            raise ModelMismatchError(
                f"{first} and {kind} are reconstructed by different forests; reconstruct both by the same"
            )


def model_fingerprint(samples: Iterable[ReconstructedEvents]) -> str:
    """Return the sha256 of the configuration that the forests were trained with; ``unknown`` if not said."""
    found = {
        str(card.get("config_fingerprint"))
        for events in samples
        for card in _telescope_models(events).values()
    }
    if len(found) > 1:
        return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()
    return found.pop() if found else "unknown"


def _classes(events: ReconstructedEvents) -> str:
    return str((events.info.get("event_classes") or {}).get("fingerprint", ""))


def class_fingerprint(samples: Mapping[str, ReconstructedEvents]) -> str:
    """
    Return what tells the event classes of samples from others.

    Raises
    ------
    InputError
        A sample has no classes.
    ModelMismatchError
        Samples were divided by different edges.
    """
    found = {kind: _classes(events) for kind, events in samples.items()}
    if lacking := [kind for kind, fingerprint in found.items() if not fingerprint]:
        raise InputError(f"the {' and '.join(lacking)} have no event classes; make them with event-classes")
    if len(set(found.values())) > 1:
        raise ModelMismatchError(
            f"{', '.join(found)} were divided into event classes by different edges; classify all by the same"
        )
    return next(iter(found.values()))


def simulator(events: ReconstructedEvents) -> str:
    """Return what simulated the showers, as far as the file says."""
    source = (events.info.get("dl1") or {}).get("input")
    return "sst1m.simulation" if source == "sst1m.simulation" else "external"
