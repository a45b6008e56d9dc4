"""Runs as the export sees them: good time, conditions, and the events that pass the cuts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from sst1m.dl3.gti import Intervals
from sst1m.dl3.names import Dl3Setup, tel_setup_of
from sst1m.dl3.pointing import PointingTrack
from sst1m.errors import InputError
from sst1m.events import ReconstructedEvents
from sst1m.monitoring.live_time import LiveTime
from sst1m.nodes import Node

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig
    from sst1m.irf.cuts import GammanessCuts

__all__ = [
    "CutFlow",
    "CutsByNode",
    "ObservedRun",
    "observed_run",
    "track_telescope",
]

CutFlow = dict[str, int]
"""How many events each cut removed, by its name, in the order in which they apply."""

_COLUMNS = (
    *("obs_id", "event_id", "time_ns", "reco_ra", "reco_dec", "reco_energy", "gammaness"),
    *("reco_alt", "reco_az", "true_alt_tel", "true_az_tel"),
)
#: What only events have that were divided into classes.
_OPTIONAL = ("event_type",)
_FINITE = ("reco_ra", "reco_dec", "reco_alt", "reco_az", "reco_energy")


class CutsByNode(Protocol):
    """Cuts on gammaness, which may differ from node to node."""

    @property
    def tag(self) -> str:
        """What names the responses that go with the cuts."""

    def at(self, node: Node) -> "GammanessCuts":
        """Return the cuts for events that the models of a node reconstructed."""


@dataclass(frozen=True, eq=False)
class ObservedRun:
    """
    A DL2 file of data, or a part of it between long pauses.

    Parameters
    ----------
    path : Path
        The file.
    obs_id : int
        Digits ``YYYYMMDDNNNN``.
    part : int
        1, 2, ... in the order of time.
    good_time : Intervals
        When the telescopes could see showers.
    live : LiveTime
        Measured dead time.
    track : PointingTrack
        Where they looked.
    node : Node or None
        Whose models reconstructed the events; None for a run without events whose conditions are not known.
    nsb_mhz : float or None
        Night sky [MHz per pixel], the mean of the telescopes; None if it was not measured.
    wander_deg : float
        Largest distance of the optical axis from where the header says that it was [deg].
    info : mapping
        ``/sst1m/info`` of the file.
    events : astropy.table.QTable
        What passes all cuts except that on gammaness, in the order of time.
    n_dl2 : int
        Events in this part of the file.
    removed : dict of str to int
        How many of them each cut removed; the rest is ``events``.
    """

    path: Path
    obs_id: int
    part: int
    good_time: Intervals
    live: LiveTime
    track: PointingTrack
    node: Node | None
    nsb_mhz: float | None
    wander_deg: float
    info: Mapping[str, Any]
    events: QTable
    n_dl2: int
    removed: CutFlow

    @property
    def label(self) -> str:
        """Name of the file, and which part of it this is."""
        return self.path.name if self.part == 1 else f"{self.path.name} part {self.part}"

    @property
    def problem(self) -> str:
        """Why the run cannot be in a photon list; empty if it can."""
        if not len(self.good_time):
            return f"no good time ({self.live.method})"
        if self.node is None:
            return "it has no events, and its conditions or models for them are not known"
        return ""


def track_telescope(setup: Dl3Setup) -> int:
    """Return whose place counts for horizontal coordinates; in stereo telescope 1, which gives the times."""
    return 22 if setup == "cs2" else 21


def observed_run(
    events: ReconstructedEvents,
    path: Path,
    *,
    setup: Dl3Setup,
    config: "AnalysisConfig",
    max_gap_s: float,
) -> list[ObservedRun]:
    """
    Apply all cuts but that on gammaness to a DL2 file, and collect the conditions it was taken under.

    Parameters
    ----------
    events : ReconstructedEvents
        The file in memory.
    path : Path
        The file, for messages.
    setup : {"cs1", "cs2", "stereo"}
        What it must be.
    config : AnalysisConfig
        Whose event selection applies.
    max_gap_s : float
        A longer pause divides the run [s].

    Returns
    -------
    list of ObservedRun
        Parts of the run, in the order of time; most runs have one. Each event of the file is in one of them.

    Raises
    ------
    InputError
        It is another set-up, a simulation with truth, or lacks live time, pointing or node.
    """
    _check_kind(events, path, setup)
    info, node = events.info, events.node
    live = LiveTime.from_dict(_fact(info, "live_time", path))
    if node is None and len(events):
        raise InputError(f"{path}: does not say which models reconstructed it; make it again with dl1-dl2")
    good_time = Intervals.between_triggers(live.intervals_ns)
    pointing = float(_fact(info, "ra_deg", path)), float(_fact(info, "dec_deg", path))
    track = PointingTrack.following(*pointing, track_telescope(setup), good_time)
    whole = ObservedRun(
        path=path,
        obs_id=int(_fact(info, "obs_id", path)),
        part=1,
        good_time=good_time,
        live=live,
        track=track,
        node=node,
        nsb_mhz=_night_sky(info.get("nsb_mhz")),
        wander_deg=_wander_deg(events.table, good_time, track),
        info=info,
        events=events.table[:0],
        n_dl2=0,
        removed={},
    )
    return list(_parts(whole, events, config, max_gap_s))


def _parts(
    whole: ObservedRun, events: ReconstructedEvents, config: "AnalysisConfig", max_gap_s: float
) -> Iterator[ObservedRun]:
    """Divide a run at its long pauses; events in a pause belong to the part before it."""
    spans = whole.good_time.divided(round(max_gap_s * 1e9))
    starts = np.array([span.start_ns for span in spans[1:]], dtype=np.int64)
    part_of = np.searchsorted(starts, np.asarray(events.table["time_ns"]), side="right")
    for number, span in enumerate(spans):
        own = events.select(part_of == number) if len(spans) > 1 else events
        kept, removed = _cut(own, config, span)
        yield replace(
            whole,
            part=number + 1,
            good_time=span,
            track=whole.track.during(span),
            events=kept,
            n_dl2=len(own),
            removed=removed,
        )


def _wander_deg(table: QTable, good_time: Intervals, track: PointingTrack) -> float:
    """Return how far the optical axis was from its track, at most, at the times of events [deg]."""
    inside = good_time.contains(np.asarray(table["time_ns"]))
    if not inside.any():
        return 0.0
    axis = (u.Quantity(table[name][inside], u.deg).value for name in ("true_az_tel", "true_alt_tel"))
    return float(track.distance_deg(np.asarray(table["time_ns"])[inside], *axis).max())


def _check_kind(events: ReconstructedEvents, path: Path, setup: Dl3Setup) -> None:
    if events.tel_setup != tel_setup_of(setup):
        raise InputError(
            f"{path}: holds events of {events.tel_setup}, not of {tel_setup_of(setup)} ({setup}); "
            "photon lists are made from the files of one set-up, each in its own directory"
        )
    if events.simulated:
        raise InputError(f"{path}: is a simulation with truth; photon lists are made from observations")
    missing = [name for name in _COLUMNS if name not in events.table.colnames]
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}; make it again with dl1-dl2")


def _fact(info: Mapping[str, Any], name: str, path: Path) -> Any:  # noqa: ANN401 - a JSON value
    """Return what DL2, or the DL1 file it was made from, says of a run."""
    value = info.get(name)
    if value is None:
        value = info.get("dl1", {}).get(name)
    if value is None:
        raise InputError(f"{path}: does not say its {name}; make it again, from the raw file on")
    return value


def _night_sky(value: float | Mapping[str, float | None] | None) -> float | None:
    """Return the mean over the telescopes of what is known."""
    if isinstance(value, Mapping):
        known = [float(level) for level in value.values() if level is not None]
        return sum(known) / len(known) if known else None
    return None if value is None else float(value)


def _cut(
    events: ReconstructedEvents, config: "AnalysisConfig", good_time: Intervals
) -> tuple[QTable, CutFlow]:
    """Return the events that pass, in the order of time, and how many each cut removed."""
    from sst1m.reco.selection import select_events

    selection = select_events(events, config)
    table = events.table
    removed = {name: n for name, n in selection.counts.items() if name not in ("n_dl2", "n_selected")}
    energy = np.asarray(table["reco_energy"].to_value(u.TeV), dtype=np.float64)
    steps: dict[str, NDArray[np.bool_]] = {
        "undefined": np.all([np.isfinite(table[name]) for name in _FINITE], axis=0) & (energy > 0),
        "outside good time": good_time.contains(np.asarray(table["time_ns"])),
    }
    kept = np.asarray(selection.mask, dtype=bool)
    for name, passes in steps.items():
        removed[name] = int(np.count_nonzero(kept & ~passes))
        kept = kept & passes
    chosen = table[[*_COLUMNS, *(name for name in _OPTIONAL if name in table.colnames)]][kept]
    chosen["reco_energy"] = energy[kept] * u.TeV
    return chosen[np.argsort(np.asarray(chosen["time_ns"]), kind="stable")], removed
