"""Which events of a DL1 file can be reconstructed, and why the others cannot, counted one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import AnalysisConfig
from ..config.columns import RECONSTRUCTED_FEATURES
from ..events import TelescopeSetup
from ..io.dl1_events import Dl1Events, TelescopeEvents
from ..io.event_lookup import EventLookup
from .features import feature_names, finite_rows, minimal_energy_tev, with_derived_features
from .geometry import ArrayLayout, StereoGeometry, stereo_geometry

__all__ = ["UsableEvents", "setup_telescopes", "usable_events"]


@dataclass(frozen=True, eq=False)
class UsableEvents:
    """
    Events that forests can work on.

    Parameters
    ----------
    telescopes : tuple of TelescopeEvents
        One, or both with the same events in the same rows.
    counts : dict of str to int
        ``n_dl1`` array events, then what each step removed.
    """

    telescopes: tuple[TelescopeEvents, ...]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.telescopes[0])

    def keeping(self, mask: NDArray[np.bool_], reason: str) -> "UsableEvents":
        """Return the chosen events; the others are counted under a reason."""
        removed = {reason: int(np.count_nonzero(~mask))}
        kept = self.telescopes if mask.all() else tuple(events.select(mask) for events in self.telescopes)
        return UsableEvents(kept, self.counts | removed)


def setup_telescopes(setup: TelescopeSetup, *, simulated: bool) -> tuple[int, ...]:
    """Return the telescopes of a set-up: 21 and 22 of data, 1 and 2 of simulations."""
    if setup == "stereo":
        return (1, 2) if simulated else (21, 22)
    return (int(setup.removeprefix("tel_")),)


def usable_events(
    dl1: Dl1Events,
    config: AnalysisConfig,
    *,
    stereo: bool,
    intensity_factors: Mapping[int, float] | None = None,
    with_protons: bool = True,
) -> UsableEvents:
    """
    Return the events whose features are all defined.

    Parameters
    ----------
    dl1 : Dl1Events
        With the one telescope, or in stereo with both.
    config : AnalysisConfig
        Features, criteria of the geometry, least simulated energies.
    stereo : bool
        Pair the telescopes and reconstruct the geometry.
    intensity_factors : mapping of int to float, optional
        By telescope; 1 where left out.
    with_protons : bool
        Whether features of the particle forest count; without protons there is none to train.
    """
    factors = intensity_factors or {}
    telescopes = [with_derived_features(e, factors.get(t, 1.0)) for t, e in dl1.telescopes.items()]
    counts = {"n_dl1": dl1.n_array_events}
    if stereo:
        telescopes = _paired(telescopes)
    reason = "one_telescope_only" if stereo else "not_in_this_telescope"
    events = UsableEvents(tuple(telescopes), counts | {reason: dl1.n_array_events - len(telescopes[0])})
    if dl1.primary_id is not None:
        least = minimal_energy_tev(config, dl1.primary_id)
        events = events.keeping(events.telescopes[0]["true_energy"] >= least, "below_minimal_energy")
    measured = [np.isfinite(e["camera_frame_hillas_intensity"]) for e in events.telescopes]
    events = events.keeping(np.logical_and.reduce(measured), "no_image_parameters")
    if stereo:
        events = _with_geometry(events, dl1.layout, config)
    names = feature_names(config, stereo=stereo)
    wanted = {n for stem, f in names.items() if with_protons or stem != "class_gh" for n in f}
    wanted -= set(RECONSTRUCTED_FEATURES)
    finite = [finite_rows(e.columns, sorted(wanted)) for e in events.telescopes]
    return events.keeping(np.logical_and.reduce(finite), "undefined_feature")


def _paired(telescopes: Sequence[TelescopeEvents]) -> list[TelescopeEvents]:
    """Return the events that both telescopes have, in the order of the first."""
    first, second = telescopes
    rows = EventLookup(second["obs_id"], second["event_id"]).rows(first["obs_id"], first["event_id"])
    # Refuses events that occur twice, which would be paired twice.
    EventLookup(first["obs_id"], first["event_id"])
    return [first.select(rows >= 0), second.select(rows[rows >= 0])]


def _with_geometry(events: UsableEvents, layout: ArrayLayout, config: AnalysisConfig) -> UsableEvents:
    criteria = config.ShowerProcessor.HillasReconstructor.StereoQualityQuery.quality_criteria
    geometry = stereo_geometry([e.columns for e in events.telescopes], layout, criteria)
    telescopes = tuple(
        e.adding(_geometry_columns(geometry, number)) for number, e in enumerate(events.telescopes)
    )
    return UsableEvents(telescopes, events.counts).keeping(geometry.is_valid, "no_stereo_geometry")


def _geometry_columns(geometry: StereoGeometry, number: int) -> dict[str, NDArray[Any]]:
    return {
        "HillasReconstructor_alt": np.rad2deg(geometry.alt),
        "HillasReconstructor_az": np.rad2deg(geometry.az),
        "HillasReconstructor_core_x": geometry.core_x,
        "HillasReconstructor_core_y": geometry.core_y,
        "HillasReconstructor_h_max": geometry.h_max,
        "HillasReconstructor_tel_impact_distance": geometry.impact_distance[:, number],
    }
