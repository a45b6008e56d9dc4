"""A simulated night: the raw files of both telescopes in the layout of the site, and the truth about them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import explained_write_errors, held_lock, write_atomically, write_json
from ..ecsv import Column, ecsv_text
from ..errors import OutputError, RawFileError
from ..instrument import TEL_IDS
from ..io.fits_header import CardValue
from ..io.raw_header import read_raw_header
from ..json_object import json_object
from ..layout import raw_directory, raw_path
from .calibration_files import write_calibration
from .camera import CameraModel, camera_model
from .night_spec import NightSpec, simulation_directory, specification_path
from .raw_writer import RawWriter
from .readout import TelescopeReadout, array_event_numbers
from .schedule import Group, plan_night
from .sky_events import SkyEvents, sky_events

__all__ = ["NightSummary", "simulate_night"]

Progress = Callable[[str, int, int], object]

_EVENTS_AT_ONCE = 200
_FIRST_ARRAY_NUMBER = 29_900_000
_NUMBERS_PER_GROUP = 1_000_000

_TRUTH_COLUMNS = (
    Column("array_event_number", "int64"),
    Column("time_ns", "int64", "ns", "front at the centre of the array, TAI since 1970"),
    Column("particle", "string"),
    Column("energy", "float64", "TeV"),
    Column("alt", "float64", "deg"),
    Column("az", "float64", "deg"),
    Column("core_x", "float64", "m"),
    Column("core_y", "float64", "m"),
    Column("event_21", "int64", "", "event number of the camera; 0: not recorded"),
    Column("event_22", "int64", "", "event number of the camera; 0: not recorded"),
)


@dataclass(frozen=True)
class NightSummary:
    """
    What was made.

    Attributes
    ----------
    files : dict of Path to int
        Events by raw file.
    n_coincident : int
        Showers that both telescopes recorded.
    n_thrown : dict of str to int
        Showers thrown, by particle.
    """

    files: dict[Path, int]
    n_coincident: int
    n_thrown: dict[str, int]


def _truth_path(root: Path, spec: NightSpec, group: Group) -> Path:
    return simulation_directory(root, spec) / f"truth_{group.number:04d}.ecsv"


def simulate_night(
    spec: NightSpec,
    root: Path,
    *,
    calibration_dir: Path | None = None,
    progress: Progress | None = None,
) -> NightSummary:
    """
    Write the raw files of a night; the same specification always gives the same bytes.

    Parameters
    ----------
    spec : NightSpec
        The night.
    root : Path
        Raw root: files come to ``cs{1,2}/data/raw/YYYY/MM/DD/SST1M{1,2}/``, the truth to
        ``simulation/YYYYMMDD/``. Groups of runs that are complete are not made again.
    calibration_dir : Path, optional
        Write the calibration files of the two cameras there.
    progress : callable, optional
        Called with (what is made, steps done, all steps).

    Raises
    ------
    InputError
        The source cannot be seen in that night.
    OutputError
        Files cannot be written, or another night, simulated or real, lies there already.
    """
    root = Path(root)
    groups = plan_night(spec)
    # of two identical commands the second waits, and then finds the night complete
    with held_lock(simulation_directory(root, spec) / ".lock"):
        _claim(root, spec)
        models = {tel_id: camera_model(tel_id, spec.seed) for tel_id in TEL_IDS}
        if calibration_dir is not None:
            for model in models.values():
                write_calibration(model, Path(calibration_dir))
        made = []
        for group in groups:
            with explained_write_errors(root):
                record = _group_record(root, spec, group)
                made.append(record or _simulate_group(root, spec, group, models, progress))
        return _close(root, spec, made)


def _close(root: Path, spec: NightSpec, made: list[dict]) -> NightSummary:
    """Note that the night is complete, and return what was made."""
    files = {name: number for record in made for name, number in record["files"].items()}
    thrown = {
        particle: sum(record["n_thrown"].get(particle, 0) for record in made)
        for particle in ("gamma", "proton")
    }
    coincident = sum(record["n_coincident"] for record in made)
    _write_specification(root, spec, complete=True, files=files, n_thrown=thrown, n_coincident=coincident)
    return NightSummary({root / name: number for name, number in files.items()}, coincident, thrown)


def _claim(root: Path, spec: NightSpec) -> None:
    """Make sure that no other night of this date lies here: simulated and real ones must never mix."""
    path = specification_path(root, spec)
    try:
        other = json_object(path.read_text())["fingerprint"]
    except FileNotFoundError:
        for directory in (raw_directory(root, spec.date, tel_id - 20) for tel_id in TEL_IDS):
            if directory.is_dir() and any(directory.iterdir()):
                raise OutputError(
                    f"{directory}: there are files already, perhaps real ones; "
                    "choose an --output-dir without raw files of this night"
                ) from None
        _write_specification(root, spec, complete=False)
        return
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); remove it and the night's raw files") from error
    if other != spec.fingerprint():
        raise OutputError(
            f"{path}: another night of this date was simulated here, with other values; "
            "choose another --output-dir or remove that night"
        )


def _write_specification(root: Path, spec: NightSpec, **facts: object) -> None:
    content = {"simulated": True, "spec": asdict(spec), "fingerprint": spec.fingerprint(), **facts}
    write_json(specification_path(root, spec), content)


def _group_record(root: Path, spec: NightSpec, group: Group) -> dict | None:
    """Return what was noted of a group of runs that was made before, None where it is not complete."""
    try:
        record = json_object(_truth_path(root, spec, group).with_suffix(".json").read_text())
        made = all((root / name).is_file() for name in record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if made else None


def _simulate_group(
    root: Path,
    spec: NightSpec,
    group: Group,
    models: dict[int, CameraModel],
    progress: Progress | None,
) -> dict:
    """Write the raw files of a group of runs and the truth about it; return what is to be noted."""
    say = _reporter(group, progress)
    showers = sky_events(spec, group, say("showers"))
    paths = {run.tel_id: raw_path(root, run.name) for run in group.runs}
    with ExitStack() as stack:
        readouts = {
            run.tel_id: stack.enter_context(
                TelescopeReadout(
                    run,
                    _open_writer(paths[run.tel_id], run.tel_id, spec, group),
                    models[run.tel_id],
                    nsb_mhz=0.0 if group.kind == "dark" else spec.nsb_mhz,
                    pedestal_hz=spec.pedestal_hz,
                    seed=(spec.seed, group.number),
                )
            )
            for run in group.runs
        }
        numbers = _record_all(group, showers, readouts, say("events"))
        counts = {tel_id: readout.n_events for tel_id, readout in readouts.items()}
    recorded = [numbers.get(tel_id, np.zeros(len(showers), np.int64)) for tel_id in TEL_IDS]
    _write_truth(_truth_path(root, spec, group), showers, numbers["array"], recorded)
    record = {
        "files": {str(paths[tel_id].relative_to(root)): count for tel_id, count in counts.items()},
        "n_thrown": showers.n_thrown,
        "n_coincident": int(np.count_nonzero((recorded[0] > 0) & (recorded[1] > 0))),
    }
    write_json(_truth_path(root, spec, group).with_suffix(".json"), record)
    return record


def _reporter(
    group: Group, progress: Progress | None
) -> Callable[[str], Callable[[int, int], object] | None]:
    """Return what reports one kind of work on a group of runs."""
    title = f"{group.kind} run {group.number}" + (f" on {group.target}" if group.kind == "science" else "")

    def reporter(what: str) -> Callable[[int, int], object] | None:
        return None if progress is None else lambda done, total: progress(f"{title}: {what}", done, total)

    return reporter


def _open_writer(path: Path, tel_id: int, spec: NightSpec, group: Group) -> RawWriter:
    if path.exists() and not _is_simulated(path):
        raise OutputError(f"{path}: is no simulated file and is not replaced; choose another --output-dir")
    path.parent.mkdir(parents=True, exist_ok=True)
    # what a killed call has left
    for stale in path.parent.glob(f".part*.{path.name}"):
        stale.unlink()
    cards: dict[str, CardValue] = {
        "ORIGIN": "sst1m.simulation",
        "SIMULAT": True,
        "SIMSEED": spec.seed,
        "SIMNSB": 0.0 if group.kind == "dark" else float(spec.nsb_mhz),
    }
    return RawWriter(path, tel_id=tel_id, target=group.target, cards=cards, with_config=True)


def _is_simulated(path: Path) -> bool:
    try:
        return read_raw_header(path).cards.get("SIMULAT") is True
    except RawFileError:
        return False


def _record_all(
    group: Group,
    showers: SkyEvents,
    readouts: dict[int, TelescopeReadout],
    progress: Callable[[int, int], object] | None,
) -> dict[int | str, NDArray[np.int64]]:
    """Write all events of a group; return the numbers of each shower, by telescope and of the array."""
    numbers: dict[int | str, NDArray[np.int64]] = {
        key: np.zeros(len(showers), dtype=np.int64) for key in ("array", *readouts)
    }
    next_number = _FIRST_ARRAY_NUMBER + group.number * _NUMBERS_PER_GROUP
    for rows, slots, done in _portions(showers, readouts):
        recorded = {
            tel_id: readout.record(
                np.arange(rows.start, rows.stop),
                showers.arrival_ns[tel_id][rows],
                showers.light[tel_id].take(np.arange(rows.start, rows.stop)),
                slots[tel_id],
            )
            for tel_id, readout in readouts.items()
        }
        array_numbers = array_event_numbers(recorded, next_number)
        for tel_id, events in recorded.items():
            own = readouts[tel_id].write(events, array_numbers[tel_id])
            seen = events.shower >= 0
            numbers[tel_id][events.shower[seen]] = own[seen]
            numbers["array"][events.shower[seen]] = array_numbers[tel_id][seen]
            next_number = max(next_number, int(array_numbers[tel_id].max(initial=0)) + 1)
        if progress:
            progress(done, 100)
    return numbers


def _portions(
    showers: SkyEvents, readouts: dict[int, TelescopeReadout]
) -> Iterator[tuple[slice, dict[int, slice], int]]:
    """Yield rows of showers and pedestals of equal spans of time, few enough to be held in memory."""
    ticks = {tel_id: readout.pedestal_times for tel_id, readout in readouts.items()}
    times = np.sort(np.concatenate([showers.time_ns, *ticks.values()]))
    edges = [*times[_EVENTS_AT_ONCE::_EVENTS_AT_ONCE].tolist(), np.iinfo(np.int64).max]
    shower_edges = [0, *np.searchsorted(showers.time_ns, edges).tolist()]
    tick_edges = {tel_id: [0, *np.searchsorted(values, edges).tolist()] for tel_id, values in ticks.items()}
    for place in range(len(edges)):
        slots = {tel_id: slice(ends[place], ends[place + 1]) for tel_id, ends in tick_edges.items()}
        rows = slice(shower_edges[place], shower_edges[place + 1])
        yield rows, slots, 100 * (place + 1) // len(edges)


def _write_truth(
    path: Path, showers: SkyEvents, array_numbers: NDArray[np.int64], recorded: list[NDArray[np.int64]]
) -> None:
    """Write the showers that at least one telescope recorded."""
    rows = []
    for i in np.flatnonzero(array_numbers):
        row: dict[str, str | int | float | None] = {
            "array_event_number": int(array_numbers[i]),
            "time_ns": int(showers.time_ns[i]),
            "particle": str(showers.truth["particle"][i]),
        }
        numbers = ("energy", "alt", "az", "core_x", "core_y")
        row |= {name: round(float(showers.truth[name][i]), 6) for name in numbers}
        row |= {f"event_{t}": int(own[i]) for t, own in zip(TEL_IDS, recorded, strict=True)}
        rows.append(row)
    write_atomically(path, ecsv_text(_TRUTH_COLUMNS, rows, {"simulated": True}).encode())
