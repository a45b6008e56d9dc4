"""Coincidences of a whole night: every event of each telescope is used at most once."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig
from ..instrument import TEL_IDS
from ..monitoring import LiveTime
from ..times import WHITE_RABBIT_START_NS
from .clock import ClockSearch
from .fate import Fate, unmatched_by_run, while_other_is_off
from .light_travel import light_delay_ns
from .matching import Matches, TimeWindow, Triggers, match_by_number, match_by_time
from .pairs import Coincidences, pair_table, unmatched_table
from .run_events import TelescopeEvents, read_telescope

__all__ = ["SAME_POINTING_DEG", "match_night"]

log = logging.getLogger(__name__)

#: Runs of the two telescopes are paired only if their optical axes are closer than this [deg].
SAME_POINTING_DEG = 0.2
_MIN_STEP_NS = 100
_STEPS = 50
_HISTOGRAM_BINS = 100
_KEPT_INFO = ("live_time", "nsb_mhz", "mean_pointing", "ra_deg", "dec_deg", "event_id_source", "simulated")


def match_night(
    tel1_files: Sequence[Path],
    tel2_files: Sequence[Path],
    config: DataConfig,
) -> Coincidences:
    """
    Find the showers that both telescopes recorded.

    Parameters
    ----------
    tel1_files, tel2_files : sequence of Path
        DL1 files of telescopes 21 and 22 of one night, in any order.
    config : DataConfig
        Its section ``stereo`` chooses the method, and whether the time that light takes from one telescope to
        the other, for the direction in which they point, is taken off before times are compared.

    Raises
    ------
    InputError
        A file cannot be read, is of another telescope, or two are of the same run.
    """
    first, second = read_telescope(tel1_files, TEL_IDS[0]), read_telescope(tel2_files, TEL_IDS[1])
    method = config.stereo.event_matching_method
    correct_light_travel = config.stereo.correct_light_travel
    if correct_light_travel is None:
        correct_light_travel = method != "SlidingWindow"
    delay = np.zeros(len(first), dtype=np.int64)
    if correct_light_travel:
        delay = light_delay_ns(first.columns["true_az_tel"], first.columns["true_alt_tel"])
    notes: list[str] = []
    matches, by_number = _match(first, second, delay, config, notes)
    for note in notes:
        log.warning("%s", note)
    return _result(first, second, matches, by_number, config, correct_light_travel, notes)


def _same_pointing(first: TelescopeEvents, second: TelescopeEvents) -> NDArray[np.bool_]:
    """Return which runs point to the same place, shape=(n_runs_first, n_runs_second)."""
    axes = [np.array([run.axis for run in events.files]).reshape(-1, 3) for events in (first, second)]
    # the chord is exact for small angles, where the cosine is not
    chord = np.linalg.norm(axes[0][:, np.newaxis] - axes[1], axis=2)
    return chord <= 2 * np.sin(np.deg2rad(SAME_POINTING_DEG) / 2)


def _triggers(events: TelescopeEvents) -> Triggers:
    return Triggers(events.columns["time_ns"], events.columns["swat_event_id"], events.file)


def _window(config: DataConfig, method: str) -> TimeWindow:
    if method == "SlidingWindow":
        section = config.stereo.SlidingWindow
        limits = (section.offset_search.time_start, section.offset_search.time_stop)
        search = ClockSearch(*(round(1e9 * value) for value in (*limits, section.offset_search.time_step)))
        return TimeWindow(round(1e9 * section.window_half_width), search, drifting=True)
    largest = round(config.stereo.WhiteRabbitClosest.max_time_diff_ns)
    step = max(_MIN_STEP_NS, largest // _STEPS)
    return TimeWindow(largest, ClockSearch(-largest, largest, step), drifting=False)


def _match(
    first: TelescopeEvents,
    second: TelescopeEvents,
    delay: NDArray[np.int64],
    config: DataConfig,
    notes: list[str],
) -> tuple[Matches, NDArray[np.bool_]]:
    """Match by the configured method; return which pairs were found by number, too."""
    method = config.stereo.event_matching_method
    one, two, allowed = _triggers(first), _triggers(second), _same_pointing(first, second)
    if method != "SWATEventIDs":
        window = _window(config, method)
        matches = match_by_time(one, two, delay, allowed, window)
        _note_clock(matches, one, two, method, notes)
        return matches, np.zeros(len(matches), dtype=bool)
    numbered = match_by_number(one, two, delay, allowed)
    matches, by_number = _add_unnumbered(numbered, one, two, delay, allowed, config, notes)
    _note_disagreement(numbered, config, notes)
    return matches, by_number


def _note_clock(matches: Matches, one: Triggers, two: Triggers, method: str, notes: list[str]) -> None:
    if not (len(one) and len(two)):
        return
    if method == "WhiteRabbitClosest" and int(one.time_ns[-1]) < WHITE_RABBIT_START_NS:
        notes.append(
            "the night lies before the start of White Rabbit: its clocks are not synchronised, choose "
            "SlidingWindow as event_matching_method"
        )
    missing = sum(offset.offset_ns is None for offset in matches.offsets)
    if missing:
        notes.append(
            f"in {missing} of {len(matches.offsets)} spans of 10 s no clock offset stands out: no pairs there"
        )
    if matches.n_isolated:
        notes.append(
            f"{matches.n_isolated} pairs dropped, chance since there are none around them (did a clock jump?)"
        )


def _note_disagreement(numbered: Matches, config: DataConfig, notes: list[str]) -> None:
    """Say so where events of the same number have times that do not fit."""
    limit = config.stereo.WhiteRabbitClosest.max_time_diff_ns
    apart = int(np.count_nonzero(np.abs(numbered.residual_ns) > limit))
    if apart:
        notes.append(
            f"{apart} of {len(numbered)} pairs of equal array event numbers are more than {limit:g} ns apart"
        )


def _add_unnumbered(
    numbered: Matches,
    one: Triggers,
    two: Triggers,
    delay: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    config: DataConfig,
    notes: list[str],
) -> tuple[Matches, NDArray[np.bool_]]:
    """Match by White Rabbit what has no array event number, where that concerns a pair."""
    missing = [int(np.count_nonzero(events.number <= 0)) for events in (one, two)]
    by_number = np.ones(len(numbered), dtype=bool)
    if not any(missing):
        return numbered, by_number
    notes.append(
        f"{missing[0]} of {len(one)} events of telescope 21 and {missing[1]} of {len(two)} of telescope 22 "
        "have no array event number: matched by WhiteRabbitClosest instead of SWATEventIDs"
    )
    free = [np.ones(len(events), dtype=bool) for events in (one, two)]
    free[0][numbered.first], free[1][numbered.second] = False, False
    if not missing[0]:
        free[1] &= two.number <= 0
    if not missing[1]:
        free[0] &= one.number <= 0
    rows = [np.flatnonzero(mask) for mask in free]
    parts = [
        Triggers(events.time_ns[chosen], events.number[chosen], events.run[chosen])
        for events, chosen in zip((one, two), rows, strict=True)
    ]
    timed = match_by_time(*parts, delay[rows[0]], allowed, _window(config, "WhiteRabbitClosest"))
    # two numbers that differ are two showers, whatever the clocks say
    differ = (parts[0].number[timed.first] > 0) & (parts[1].number[timed.second] > 0)
    _note_clock(timed, *parts, "WhiteRabbitClosest", notes)
    fate = numbered.fate_first.copy(), numbered.fate_second.copy()
    by_time = (timed.fate_first, timed.first), (timed.fate_second, timed.second)
    for own, chosen, (found, paired) in zip(fate, rows, by_time, strict=True):
        own[chosen] = found
        own[chosen[paired[differ]]] = Fate.NUMBERS_DIFFER
    joined = replace(
        timed,
        fate_first=fate[0],
        fate_second=fate[1],
        first=np.concatenate([numbered.first, rows[0][timed.first[~differ]]]),
        second=np.concatenate([numbered.second, rows[1][timed.second[~differ]]]),
        residual_ns=np.concatenate([numbered.residual_ns, timed.residual_ns[~differ]]),
        clock_ns=np.concatenate([numbered.clock_ns, timed.clock_ns[~differ]]),
    )
    return joined, np.arange(len(joined)) < len(numbered)


def _result(
    first: TelescopeEvents,
    second: TelescopeEvents,
    matches: Matches,
    by_number: NDArray[np.bool_],
    config: DataConfig,
    correct_light_travel: bool,
    notes: list[str],
) -> Coincidences:
    columns: dict[str, NDArray[Any]] = {"residual_ns": matches.residual_ns, "by_number": by_number}
    for tel_id, events, rows in zip(TEL_IDS, (first, second), (matches.first, matches.second), strict=True):
        columns |= {f"{name}_{tel_id}": events.columns[name][rows] for name in ("obs_id", "event_id")}
        columns |= {f"file_{tel_id}": events.file[rows], f"row_{tel_id}": events.row[rows]}
    columns["time_ns"] = first.columns["time_ns"][matches.first]
    columns["time_difference_ns"] = second.columns["time_ns"][matches.second] - columns["time_ns"]
    images = [
        events.columns["has_image"][rows]
        for events, rows in ((first, matches.first), (second, matches.second))
    ]
    columns["has_images"] = images[0] & images[1]
    files, unmatched = {}, {}
    for tel_id, events, fate in zip(TEL_IDS, (first, second), _fates(first, second, matches), strict=True):
        files[tel_id] = _runs(events, columns[f"file_{tel_id}"], *images, fate)
        unmatched[tel_id] = unmatched_table(events.columns["obs_id"], events.columns["event_id"], fate)
    table = pair_table(columns)
    info = _info(matches, files, table, config, correct_light_travel, notes)
    return Coincidences(table, unmatched, files, info)


def _fates(first: TelescopeEvents, second: TelescopeEvents, matches: Matches) -> list[NDArray[np.int8]]:
    """Return what became of every event of each telescope."""
    allowed = _same_pointing(first, second)
    fates = (first, second, matches.fate_first, allowed), (second, first, matches.fate_second, allowed.T)
    return [
        while_other_is_off(
            fate,
            own.columns["time_ns"],
            own.file,
            [LiveTime.from_dict(run.info["live_time"]) for run in other.files],
            pointing,
        )
        for own, other, fate, pointing in fates
    ]


def _runs(
    events: TelescopeEvents,
    file: NDArray[np.int64],
    image_1: NDArray[np.bool_],
    image_2: NDArray[np.bool_],
    fate: NDArray[np.int8],
) -> list[dict[str, Any]]:
    """Describe the files of a telescope, and what became of their events."""
    n_files = len(events.files)
    by_file = {
        "tel1_no_image": np.bincount(file[~image_1], minlength=n_files),
        "tel2_no_image": np.bincount(file[image_1 & ~image_2], minlength=n_files),
        "written": np.bincount(file[image_1 & image_2], minlength=n_files),
    }
    reasons = unmatched_by_run(fate, events.file, n_files)
    runs = []
    for number, run in enumerate(events.files):
        counts = {"n_events": len(run), "unmatched": sum(reasons[number].values())}
        counts |= {name: int(counted[number]) for name, counted in by_file.items()}
        known = {name: run.info.get(name) for name in _KEPT_INFO}
        fixed = {"path": str(run.path.absolute()), "obs_id": run.obs_id, "n_events": len(run)}
        runs.append(fixed | {"counts": counts, "unmatched_because": reasons[number]} | known)
    return runs


def _info(
    matches: Matches,
    files: dict[int, list[dict[str, Any]]],
    table: NDArray[Any],
    config: DataConfig,
    correct_light_travel: bool,
    notes: list[str],
) -> dict[str, Any]:
    counts = {
        f"{name}_{tel_id}": sum(run["counts"][name] for run in runs)
        for tel_id, runs in files.items()
        for name in ("n_events", "unmatched", "tel1_no_image", "tel2_no_image", "written")
    }
    fewer = min(counts[f"n_events_{tel_id}"] for tel_id in files)
    offset = None
    if len(table):
        offset = float(np.median(matches.residual_ns + matches.clock_ns))
    return {
        "method": config.stereo.event_matching_method,
        "light_travel_corrected": correct_light_travel,
        "config_fingerprint": config.fingerprint(),
        "clock_offset_ns": offset,
        "clock_offsets": [offset.to_dict() for offset in matches.offsets],
        "half_width_ns": matches.half_width_ns,
        "matched_fraction": len(table) / fewer if fewer else 0.0,
        "n_accidental": matches.n_accidental,
        "n_isolated": matches.n_isolated,
        "histogram": _histogram(matches),
        "counts": counts | {"n_pairs": len(table)},
        "notes": notes,
    }


def _histogram(matches: Matches) -> dict[str, list[float]]:
    """Return the histogram of the residuals, over the window or, without one, over where most are."""
    size = np.abs(matches.residual_ns)
    reach = max(matches.half_width_ns, float(np.quantile(size, 0.99)) if len(size) else 0.0, 1.0)
    counts, edges = np.histogram(matches.residual_ns, bins=_HISTOGRAM_BINS, range=(-reach, reach))
    return {"counts": counts.tolist(), "edges_ns": edges.tolist()}
