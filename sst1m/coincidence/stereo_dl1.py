"""Stereo DL1: the events of a run that both telescopes saw, in ctapipe's data model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tables
from numpy.lib.recfunctions import repack_fields
from numpy.typing import NDArray

from ..checkpoint import SideFiles, committed
from ..config import DataConfig
from ..errors import InputError
from ..instrument import TEL_IDS, sst1m_subarray
from ..io.dl1 import Dl1Block, Dl1Writer, check_dl1, extras_table
from ..io.dl1_tables import (
    create_pointing_table,
    observation_blocks,
    parameters_table,
    pointing_table,
    write_observation_blocks,
)
from ..io.dl1_truth import interleave_triggers
from ..layout import side_paths
from ..monitoring import LiveTime, common_live_time, mean_pointing
from ..provenance import input_record, provenance_json, utc_now
from ..reduction.columns import EXTRA_COLUMNS, PRECISE_TIME_COLUMNS
from ..reduction.monitoring import pedestal_monitoring_table
from ..times import ns_to_time
from .pairs import Coincidences
from .run_events import opened_dl1, read_info

__all__ = ["STEREO_COLUMNS", "StereoSummary", "stereo_name", "write_stereo_run"]

log = logging.getLogger(__name__)

#: What stereo events carry beside the columns of single telescopes.
STEREO_COLUMNS: dict[str, tuple[str, str, str]] = {
    "tel_obs_id": ("i8", "", "run of this telescope"),
    "tel_event_id": ("i8", "", "event of this telescope in its own DL1 file"),
    "time_difference_ns": ("i8", "ns", "time of telescope 22 minus that of 21"),
}
_KEPT_INFO = ("obs_id", "ra_deg", "dec_deg", "pointing_source", "event_id_source", "config_fingerprint")


@dataclass(frozen=True)
class StereoSummary:
    """
    What became of a run; everything here is also in ``/sst1m/info`` of the product.

    Parameters
    ----------
    n_events : int
        Stereo events written.
    counts : dict of str to int
        Every event of telescope 21: ``n_tel1`` is the sum of ``unmatched``, ``tel1_no_image``,
        ``tel2_no_image`` and ``written``.
    reason : str
        Why there are no events; empty otherwise.
    info : dict
        The whole content of ``/sst1m/info``.
    """

    n_events: int
    counts: dict[str, int]
    reason: str
    info: dict[str, Any]


def stereo_name(tel1_dl1: Path) -> str:
    """Return the name of the stereo product that belongs to a DL1 file of telescope 21."""
    return f"{tel1_dl1.name.removesuffix('.h5')}_stereo.h5"


@dataclass(frozen=True)
class _Side:
    """Events of one telescope, row by row beside those of the other; and the files that they come from."""

    tel_id: int
    paths: tuple[Path, ...]
    parameters: NDArray[Any]
    extras: NDArray[Any]


def write_stereo_run(
    coincidences: Coincidences,
    tel1_dl1: Path,
    output: Path,
    config: DataConfig,
    *,
    side_files: SideFiles | None = None,
) -> StereoSummary:
    """
    Write the stereo events of one run of telescope 21; a run without any gives an empty product.

    Parameters
    ----------
    coincidences : Coincidences
        Of the night.
    tel1_dl1 : Path
        DL1 file of telescope 21.
    output : Path
        Stereo DL1 file; appears when it is complete.
    config : DataConfig
        Configuration; recorded.
    side_files : callable, optional
        Takes the counts and returns the files beside it; without it the provenance is written.

    Raises
    ------
    InputError
        A DL1 file cannot be read, or is no longer the one that was searched for coincidences.

    Notes
    -----
    An event enters if both images survived the cleaning. It keeps run and number of telescope 21; those
    that telescope 22 gave stay in the columns ``tel_obs_id`` and ``tel_event_id``.
    """
    started = utc_now()
    with opened_dl1(tel1_dl1) as h5file:
        info_21 = read_info(h5file)
    obs_id = int(info_21["obs_id"])
    searched = coincidences.run(TEL_IDS[0], obs_id)
    if searched["n_events"] != info_21["n_events_written"]:
        raise _not_the_same(tel1_dl1)
    pairs = coincidences.of_run(obs_id)
    chosen = pairs[pairs["has_images"]]
    sides = _sides(coincidences, tel1_dl1, chosen)
    info = _info(coincidences, info_21, tel1_dl1, sides, config)
    summary = StereoSummary(len(chosen), info["counts"], info["reason"], info)
    if summary.reason:
        log.warning("%s: no stereo events: %s", tel1_dl1.name, summary.reason)

    def provenance() -> bytes:
        inputs = [tel1_dl1, *(path for path in sides[1].paths)]
        return provenance_json(
            product=output,
            run={"obs_id": obs_id, "tel_ids": list(TEL_IDS)},
            inputs=[input_record(path) for path in inputs],
            config={"fingerprint": config.fingerprint(), "values": config.canonical()},
            started=started,
            counts=summary.counts,
            options={},
            calibration={},
        )

    beside = side_files(summary.counts) if side_files else {side_paths(output)["json"]: provenance}
    with committed(output, validate=check_dl1, side_files=beside) as part:
        _write(part, obs_id, chosen, sides, info)
    return summary


def _not_the_same(path: Path) -> InputError:
    return InputError(
        f"{path}: is not the file that was searched for coincidences, it has other events; search again"
    )


def _sides(coincidences: Coincidences, tel1_dl1: Path, pairs: NDArray[Any]) -> tuple[_Side, _Side]:
    files = coincidences.files[TEL_IDS[1]]
    numbers = np.unique(pairs["file_22"]).tolist()
    paths = {number: Path(files[number]["path"]) for number in numbers}
    first = _read_side(TEL_IDS[0], {int(n): tel1_dl1 for n in np.unique(pairs["file_21"])}, pairs)
    # pointing and pedestals of telescope 21 are there even where no event is
    return replace(first, paths=(tel1_dl1,)), _read_side(TEL_IDS[1], paths, pairs)


def _read_side(tel_id: int, paths: Mapping[int, Path], pairs: NDArray[Any]) -> _Side:
    """Read the rows of one telescope that the pairs name."""
    parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
    places = []
    for number, path in paths.items():
        place = np.flatnonzero(pairs[f"file_{tel_id}"] == number)
        rows, wanted = pairs[f"row_{tel_id}"][place], pairs[f"event_id_{tel_id}"][place]
        with opened_dl1(path) as h5file:
            read = [h5file.get_node(table(tel_id)).read() for table in (parameters_table, extras_table)]
        if rows.max(initial=-1) >= len(read[0]) or (read[0]["event_id"][rows] != wanted).any():
            raise _not_the_same(path)
        parts.append((_taken(read[0], rows), _taken(read[1], rows)))
        places.append(place)
    if not parts:
        return _Side(tel_id, (), np.zeros(0), np.zeros(0))
    order = np.argsort(np.concatenate(places))
    parameters, extras = (_taken(_joined(arrays), order) for arrays in zip(*parts, strict=True))
    return _Side(tel_id, tuple(paths.values()), parameters, extras)


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Join the rows of several files, with the columns that all of them have."""
    if len(arrays) == 1:
        return arrays[0]
    if any(array.dtype != arrays[0].dtype for array in arrays):
        shared = [name for name in arrays[0].dtype.names if all(name in a.dtype.names for a in arrays)]
        arrays = [repack_fields(array[shared]) for array in arrays]
    return np.concatenate(arrays)


def _taken(table: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return rows of a table, as bytes: numpy would copy column by column."""
    return table.view(np.dtype((np.void, table.dtype.itemsize)))[rows].view(table.dtype)


def _info(
    coincidences: Coincidences,
    info_21: dict[str, Any],
    tel1_dl1: Path,
    sides: tuple[_Side, _Side],
    config: DataConfig,
) -> dict[str, Any]:
    obs_id = int(info_21["obs_id"])
    counts = dict(coincidences.run(TEL_IDS[0], obs_id)["counts"])
    counts["n_tel1"] = counts.pop("n_events")
    own = LiveTime.from_dict(info_21["live_time"])
    others = coincidences.files[TEL_IDS[1]]
    live = common_live_time(own, (LiveTime.from_dict(run["live_time"]) for run in others))
    n_events = len(sides[0].parameters)
    inputs = [tel1_dl1.name, *(path.name for path in sides[1].paths)]
    return {name: info_21.get(name) for name in _KEPT_INFO} | {
        "tel_ids": list(TEL_IDS),
        "inputs": inputs,
        "n_events_written": n_events,
        "n_telescope_events": {str(tel_id): n_events for tel_id in TEL_IDS},
        "counts": counts,
        "unmatched_because": coincidences.run(TEL_IDS[0], obs_id)["unmatched_because"],
        "reason": "" if n_events else _why_empty(counts, live),
        "live_time": live.to_dict(),
        "nsb_mhz": {
            str(TEL_IDS[0]): info_21.get("nsb_mhz"),
            str(TEL_IDS[1]): _weighted_night_sky(own, others),
        },
        "mean_pointing": _pointing(sides[0].extras, info_21),
        "coincidence": _search_info(coincidences, obs_id),
        "stereo_config_fingerprint": config.fingerprint(),
        "simulated": bool(info_21.get("simulated")),
    }


def _search_info(coincidences: Coincidences, obs_id: int) -> dict[str, Any]:
    """Return how the pairs of a run were found."""
    kept = ("method", "light_travel_corrected", "half_width_ns", "notes")
    info = {name: coincidences.info[name] for name in kept}
    pairs = coincidences.of_run(obs_id)
    info["n_pairs"] = len(pairs)
    info["n_by_number"] = int(np.count_nonzero(pairs["by_number"]))
    info["median_time_difference_ns"] = float(np.median(pairs["time_difference_ns"])) if len(pairs) else None
    return info


def _why_empty(counts: Mapping[str, int], live: LiveTime) -> str:
    if not live.intervals_ns:
        return "no run of telescope 22 at the same time"
    if not counts["n_tel1"]:
        return "the run of telescope 21 has no events"
    if counts["unmatched"] == counts["n_tel1"]:
        return "no event of telescope 21 has a partner"
    return "of no pair both images survived the cleaning"


def _weighted_night_sky(own: LiveTime, others: list[dict[str, Any]]) -> float | None:
    """Return the night sky of the runs of the other telescope [MHz], weighted by the time in common."""
    total = weight = 0.0
    for run in others:
        seconds = own.overlap(LiveTime.from_dict(run["live_time"])).ontime_s
        if run["nsb_mhz"] is not None and seconds > 0:
            total += seconds * run["nsb_mhz"]
            weight += seconds
    return total / weight if weight else None


def _pointing(extras: NDArray[Any], info_21: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the mean pointing of the stereo events; of the whole run where there are none."""
    if not len(extras):
        return info_21.get("mean_pointing")
    return mean_pointing(extras["true_az_tel"], extras["true_alt_tel"])


def _extra_columns(sides: tuple[_Side, _Side]) -> dict[str, tuple[str, str, str]]:
    known = EXTRA_COLUMNS | PRECISE_TIME_COLUMNS
    names = [set(side.extras.dtype.names or EXTRA_COLUMNS) for side in sides]
    return {name: column for name, column in known.items() if name in names[0] & names[1]} | STEREO_COLUMNS


def _write(
    path: Path, obs_id: int, pairs: NDArray[Any], sides: tuple[_Side, _Side], info: dict[str, Any]
) -> None:
    with Dl1Writer(
        path,
        subarray=sst1m_subarray(),
        tel_ids=TEL_IDS,
        obs_id=obs_id,
        images="none",
        extra_columns=_extra_columns(sides),
        simulated=info["simulated"],
    ) as writer:
        event_id = pairs["event_id_21"]
        for side in sides:
            writer.write_block(side.tel_id, _block(side, pairs))
        both = np.ones((len(pairs), len(TEL_IDS)), dtype=bool)
        writer.write_triggers(event_id, pairs["time_ns"], both)
        interleave_triggers(writer.h5file)
        for side in sides:
            _copy_run_tables(writer, side, pairs["time_ns"])
        start, stop = _span(info)
        blocks = observation_blocks(
            obs_id=obs_id,
            ra_deg=float(info["ra_deg"]),
            dec_deg=float(info["dec_deg"]),
            start=ns_to_time(start),
            duration_s=(stop - start) / 1e9,
        )
        write_observation_blocks(writer.table_writer, *blocks)
        writer.write_info(info)


def _span(info: Mapping[str, Any]) -> tuple[int, int]:
    intervals = info["live_time"]["intervals_ns"]
    return (intervals[0][0], intervals[-1][1]) if intervals else (0, 0)


def _block(side: _Side, pairs: NDArray[Any]) -> Dl1Block:
    """Return the rows of a telescope under the identity of the pair."""
    parameters = {name: side.parameters[name] for name in side.parameters.dtype.names or ()}
    extras = {name: side.extras[name] for name in side.extras.dtype.names or ()}
    extras |= {
        "tel_obs_id": pairs[f"obs_id_{side.tel_id}"],
        "tel_event_id": pairs[f"event_id_{side.tel_id}"],
        "time_difference_ns": pairs["time_difference_ns"],
    }
    time_ns = extras.get("time_ns", pairs["time_ns"])
    image, mask = _light(parameters, len(pairs))
    return Dl1Block(pairs["event_id_21"], time_ns, parameters, extras, image, np.zeros_like(image), mask)


def _light(parameters: Mapping[str, NDArray[Any]], n_events: int) -> tuple[NDArray, NDArray]:
    """Return images of two pixels that meet the writer's criteria, light and size, as the real ones did."""
    image, mask = np.zeros((n_events, 2), dtype=np.float32), np.zeros((n_events, 2), dtype=bool)
    if n_events:
        image[:, 0] = parameters["camera_frame_hillas_intensity"]
        mask[:] = parameters["morphology_n_pixels"][:, np.newaxis] > np.arange(2)
    return image, mask


def _copy_run_tables(writer: Dl1Writer, side: _Side, time_ns: NDArray[np.int64]) -> None:
    """Copy pointing and pedestals of the runs that the events of a telescope come from."""
    pointing = create_pointing_table(writer.table_writer, side.tel_id)
    rows: list[NDArray[Any]] = []
    for path in side.paths:
        with opened_dl1(path) as h5file:
            rows.append(h5file.get_node(pointing_table(side.tel_id)).read())
            _append_table(h5file, writer.h5file, pedestal_monitoring_table(side.tel_id))
    if rows:
        joined = np.concatenate(rows)
        order = np.lexsort((joined["time"][:, 1], joined["time"][:, 0]))
        pointing.append(joined[order][_later_than_before(joined["time"][order])])


def _later_than_before(time: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return which of sorted times (seconds, quarter nanoseconds) differ from the one before."""
    return np.concatenate([[True], (np.diff(time.astype(np.int64), axis=0) != 0).any(axis=1)])


def _append_table(source: tables.File, target: tables.File, path: str) -> None:
    if path in target:
        target.get_node(path).append(source.get_node(path).read())
        return
    group, name = path.rsplit("/", 1)
    if group not in target:
        target.create_group(*group.rsplit("/", 1), createparents=True)
    source.copy_node(path, newparent=target.get_node(group), newname=name)
