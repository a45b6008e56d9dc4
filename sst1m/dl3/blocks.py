"""Wobble blocks: consecutive runs that one photon list with one set of responses describes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.table import QTable, vstack

from sst1m.dl3.gti import Intervals
from sst1m.dl3.names import Dl3Setup, dl3_obs_id
from sst1m.dl3.pointing import PointingTrack, separation_deg
from sst1m.dl3.runs import CutFlow, ObservedRun
from sst1m.errors import InputError
from sst1m.nodes import Node

if TYPE_CHECKING:
    from sst1m.irf.cuts import GammanessCuts

__all__ = ["Block", "BlockRules", "Photons", "group_runs", "select_photons"]


@dataclass(frozen=True)
class BlockRules:
    """
    When a new photon list begins.

    Parameters
    ----------
    max_pointing_deg : float
        The pointing has moved farther than this from that of the first run [deg]. A run whose own pointing
        wanders farther is in no list.
    max_gap_s : float
        The telescopes paused longer than this, between two runs or within one [s]; shorter pauses are gaps of
        the good time.
    max_sec_zenith : float
        1 / cos(zenith) would span more than this: the responses no longer hold for the whole block.
    max_nsb_ratio : float
        The night sky differs from that of the first run by more than this factor.
    """

    max_pointing_deg: float = 0.2
    max_gap_s: float = 900.0
    max_sec_zenith: float = 0.15
    max_nsb_ratio: float = 1.3


@dataclass(frozen=True, eq=False)
class Block:
    """
    The runs of one photon list, in the order of time.

    Parameters
    ----------
    runs : tuple of ObservedRun
        At least one, each with good time.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.
    """

    runs: tuple[ObservedRun, ...]
    setup: Dl3Setup

    @property
    def obs_id(self) -> int:
        """Number of the photon list, after that of its first run."""
        return dl3_obs_id(self.runs[0].obs_id, self.setup, self.runs[0].part)

    @property
    def node(self) -> Node:
        """Node of the models that reconstructed all runs."""
        node = self.runs[0].node
        if node is None:
            raise InputError(f"{self.runs[0].path}: does not say which models reconstructed it")
        return node

    @property
    def good_time(self) -> Intervals:
        """Good time of all runs."""
        return Intervals.of(np.concatenate([run.good_time.edges for run in self.runs]))

    @property
    def track(self) -> PointingTrack:
        """Where the telescopes looked."""
        return PointingTrack.joined([run.track for run in self.runs])

    @property
    def ontime_s(self) -> float:
        """Good time [s]."""
        return self.good_time.total_ns / 1e9

    @property
    def deadc(self) -> float:
        """Fraction of the good time in which an event could be recorded, the mean of the runs."""
        return float(np.average([run.live.deadc for run in self.runs], weights=self._seconds))

    @property
    def deadc_error(self) -> float:
        """Its standard error; the runs are measured independently."""
        parts = np.array([run.live.deadc_error for run in self.runs]) * self._seconds
        return float(np.sqrt((parts**2).sum()) / np.sum(self._seconds))

    @property
    def nsb_mhz(self) -> float | None:
        """Mean night sky of the runs that measured it [MHz per pixel]; None where none did."""
        known = [(run.nsb_mhz, s) for run, s in zip(self.runs, self._seconds, strict=True) if run.nsb_mhz]
        if not known:
            return None
        levels, seconds = zip(*known, strict=True)
        return float(np.average(levels, weights=seconds))

    @property
    def slices(self) -> list[tuple[float, Node]]:
        """
        Live time [s] and conditions of pieces of the good time, for which responses are averaged.

        Where a run has no measured night sky, it is that of the others, or else that of the models, which
        were chosen for it.
        """
        found = []
        default = self.nsb_mhz or self.node.nsb_mhz
        for run in self.runs:
            track, sky = run.track, run.nsb_mhz or default
            seconds = (track.weight_s * run.live.deadc).tolist()
            places = zip((90.0 - track.alt_deg).tolist(), track.az_deg.tolist(), strict=True)
            found += [(s, Node(max(ze, 0.0), az, sky)) for s, (ze, az) in zip(seconds, places, strict=True)]
        return found

    @property
    def n_dl2(self) -> int:
        """Events in the DL2 files."""
        return sum(run.n_dl2 for run in self.runs)

    @property
    def simulated(self) -> bool:
        """Whether any of the runs was simulated."""
        return any(bool(run.info.get("simulated")) for run in self.runs)

    @property
    def _seconds(self) -> list[int]:
        return [run.good_time.total_ns for run in self.runs]


@dataclass(frozen=True, eq=False)
class Photons:
    """
    What is left of the events of a block.

    Parameters
    ----------
    events : astropy.table.QTable
        In the order of time.
    by_run : dict of str to dict
        How many events each cut removed, by `ObservedRun.label`.
    """

    events: QTable
    by_run: dict[str, CutFlow]

    @property
    def removed(self) -> CutFlow:
        """How many events each cut removed."""
        names = dict.fromkeys(name for flow in self.by_run.values() for name in flow)
        return {name: sum(flow.get(name, 0) for flow in self.by_run.values()) for name in names}


def select_photons(block: Block, cuts: "GammanessCuts") -> Photons:
    """Apply the last cut, that on gammaness and event class, to the events of a block."""
    tables, by_run = [], {}
    for run in block.runs:
        energy, score = run.events["reco_energy"].to_value(u.TeV), np.asarray(run.events["gammaness"])
        classes = run.events["event_type"] if "event_type" in run.events.colnames else None
        passes = cuts.passes(energy, score, classes)
        tables.append(run.events[passes])
        by_run[run.label] = run.removed | {f"gammaness {cuts.tag}": int(np.count_nonzero(~passes))}
    filled = [table for table in tables if len(table)] or tables[:1]
    events = vstack(filled, join_type="inner", metadata_conflicts="silent")
    return Photons(events[np.argsort(np.asarray(events["time_ns"]), kind="stable")], by_run)


def group_runs(
    runs: Iterable[ObservedRun], setup: Dl3Setup, rules: BlockRules
) -> tuple[list[Block], dict[Path, str]]:
    """
    Divide the runs of a night into blocks.

    Parameters
    ----------
    runs : iterable of ObservedRun
        In any order.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.
    rules : BlockRules
        When a block ends.

    Returns
    -------
    blocks : list of Block
        In the order of time.
    left_out : dict of Path to str
        Why a run is in no block.

    Raises
    ------
    InputError
        Two files are of the same run.
    """
    runs = sorted(runs, key=lambda run: (run.obs_id, run.path, run.part))
    _check_distinct(runs)
    left_out = {run.path: problem for run in runs if (problem := run.problem or _wandering(run, rules))}
    open_runs: list[ObservedRun] = []
    blocks = []
    for run in sorted((r for r in runs if r.path not in left_out), key=lambda run: run.good_time.start_ns):
        if open_runs and _breaks(open_runs, run, rules):
            blocks.append(Block(tuple(open_runs), setup))
            open_runs = []
        open_runs.append(run)
    if open_runs:
        blocks.append(Block(tuple(open_runs), setup))
    return blocks, left_out


def _check_distinct(runs: Sequence[ObservedRun]) -> None:
    for first, second in zip(runs, runs[1:], strict=False):
        if first.obs_id == second.obs_id and first.path != second.path:
            raise InputError(
                f"{first.path} and {second.path} are both run {first.obs_id}; "
                "keep one of them, or its events would count twice"
            )


def _wandering(run: ObservedRun, rules: BlockRules) -> str:
    """Say why a run has no pointing that a photon list could tell; empty if it has."""
    if run.wander_deg <= rules.max_pointing_deg:
        return ""
    return (
        f"at its events the telescope pointed up to {run.wander_deg:.2f} deg away from where the header of "
        "the run says; correct the pointing and make it again from the raw file on"
    )


def _breaks(block: Sequence[ObservedRun], run: ObservedRun, rules: BlockRules) -> bool:
    """Whether a run cannot go on with the runs before it."""
    first = block[0]
    gap_ns = run.good_time.start_ns - max(before.good_time.stop_ns for before in block)
    air_mass = np.concatenate([other.track.sec_zenith for other in (*block, run)])
    moved = separation_deg(first.track.equatorial, run.track.equatorial)
    return bool(
        run.node != first.node
        or moved > rules.max_pointing_deg
        or gap_ns > rules.max_gap_s * 1e9
        or np.ptp(air_mass) > rules.max_sec_zenith
        or _sky_changed(first.nsb_mhz, run.nsb_mhz, rules.max_nsb_ratio)
    )


def _sky_changed(first: float | None, second: float | None, max_ratio: float) -> bool:
    if not first or not second:
        return False
    return max(first, second) / min(first, second) > max_ratio
