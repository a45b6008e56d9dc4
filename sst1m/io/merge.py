"""
Joins DL1 files of one simulated sample into one file.

Tables are copied in blocks. ctapipe's own merger is not used: it drops what is ours, refuses simulations
without a single event, turns a spectral index of -2.5 into -2 where the first file has an integer, and
numbers the cameras in the order of a set, which differs from process to process.
"""

import shutil
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables
from astropy.time import Time
from numpy.typing import NDArray

from ..errors import InputError
from ..thrown import ThrownShowers
from .damage import explained_damage
from .dl1 import INFO_NODE, check_dl1
from .dl1_tables import FILTERS, SUBARRAY_TRIGGER
from .hdf5_objects import children, flush_all, is_in
from .json_node import write_json_node
from .merge_info import MergedInfo
from .thrown import SIMULATION_RUN, thrown_of

__all__ = ["merge_dl1"]

_BLOCK = 50_000
#: The same in all files that may be joined.
_INSTRUMENT = "/configuration/instrument"
#: Tables whose rows are counts that are added, not appended.
_STATISTICS = "/dl1/service/image_statistics"
_COUNTS = ("counts", "cumulative_counts")
_DL1_IMAGES = "/dl1/event/telescope/images"
_TRUE_IMAGES = "/simulation/event/telescope/images"
_TRUE_IMAGE = "true_image"
_SHOWERS = "/simulation/event/subarray/shower"


def merge_dl1(
    files: Sequence[Path],
    output: Path,
    *,
    skip_images: bool = False,
    skip_broken: bool = False,
    about: Mapping[str, Any] | None = None,
    failed: Iterable[Mapping[str, Any]] = (),
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """
    Join DL1 files of one simulated sample: the same particle, spectrum, pointing and analysis.

    Showers thrown are summed, those of files without a single event included.

    Parameters
    ----------
    files : sequence of Path
        In the order in which their events are to follow.
    output : Path
        Made anew; it holds one file's block at a time in memory.
    skip_images : bool
        Leave out the images, those without noise, too; their sums stay.
    skip_broken : bool
        Leave out files that are not complete DL1 files, and record them, instead of ending with an error.
    about : mapping, optional
        What is known of the sample, added to ``/sst1m/info``.
    failed : iterable of mapping
        Files that were never made, with their reasons; recorded in ``/sst1m/info``.
    progress : callable, optional
        Gets the number of files done and of all files, before each.

    Returns
    -------
    dict
        ``/sst1m/info`` of the result; ``merged`` lists the files used, those that failed and those skipped.

    Raises
    ------
    InputError
        No file is left, a file is broken or no simulation, or two files do not belong together: they differ
        in analysis, night sky or shower spectrum, or have an event in common.
    """
    with _Merger(output, skip_images=skip_images) as merger:
        for number, path in enumerate(files):
            if progress is not None:
                progress(number, len(files))
            try:
                info = check_dl1(path)
            except InputError as error:
                if not skip_broken:
                    raise
                merger.info.skip(path, str(error))
                continue
            merger.add(path, info)
        return merger.finish(dict(about or {}), list(failed))


class _Merger:
    """An output file that begins as a copy of the first input file and grows by the others."""

    def __init__(self, output: Path, *, skip_images: bool) -> None:
        self._path, self._skip_images = output, skip_images
        self._output: tables.File | None = None
        self._first: Path | None = None
        self._instrument: dict[str, bytes] = {}
        self._seen: dict[int, list[Path]] = {}
        self._thrown: list[ThrownShowers] = []
        self.info = MergedInfo()

    def __enter__(self) -> "_Merger":
        return self

    def __exit__(self, *_: object) -> None:
        if self._output is not None:
            try:
                flush_all(self._output)
            finally:
                self._output.close()

    def add(self, path: Path, info: Mapping[str, Any]) -> None:
        """Append a complete file."""
        self.info.add(path, info)
        with tables.open_file(str(path), "r") as h5file:
            with explained_damage(path, "DL1 file"):
                leaves = list(_leaves(h5file))
                self._thrown.append(thrown_of(h5file))
                self._check_thrown(path)
                self._check_events(h5file, path)
                self._check_instrument(h5file, leaves, path)
            for where in leaves if self._output is not None else ():
                self._copy(h5file, where, self._output, path)
        if self._output is None:
            self._first, self._output = path, self._begin(path)

    def _begin(self, path: Path) -> tables.File:
        """Copy the first file: tables cost more to make than to copy; then take out what is not wanted."""
        shutil.copyfile(path, self._path)
        output = tables.open_file(str(self._path), "a", filters=FILTERS, chunk_cache_size=0)
        _renew_headers(output, skip_images=self._skip_images)
        output.remove_node(INFO_NODE)
        if self._skip_images:
            if _DL1_IMAGES in output:
                output.remove_node(_DL1_IMAGES, recursive=True)
            for where in [where for where in _leaves(output) if where.startswith(_TRUE_IMAGES)]:
                _drop_column(output, where, _TRUE_IMAGE)
        return output

    def _copy(self, h5file: tables.File, where: str, output: tables.File, path: Path) -> None:
        if where == INFO_NODE or where.startswith(_INSTRUMENT):
            return
        if self._skip_images and where.startswith(_DL1_IMAGES):
            return
        node = h5file.get_node(where)
        if not isinstance(node, tables.Table):
            raise InputError(f"{path}: {where} is no table and cannot be joined; leave this file out")
        skipped = _TRUE_IMAGE if self._skip_images and where.startswith(_TRUE_IMAGES) else ""
        names = [name for name in node.colnames if name != skipped]
        if where not in output:
            _create_like(node, output, where, names)
        if where == _STATISTICS:
            _add_counts(node, output.get_node(where), path)
        else:
            _append(node, output.get_node(where), names, path)

    def _check_thrown(self, path: Path) -> None:
        try:
            ThrownShowers.total([self._thrown[0], self._thrown[-1]])
        except InputError as error:
            raise InputError(f"{path} does not belong to {self._first}: {error}") from None

    def _check_instrument(self, h5file: tables.File, leaves: Sequence[str], path: Path) -> None:
        tables_of = {
            where: h5file.get_node(where).read().tobytes()
            for where in leaves
            if where.startswith(_INSTRUMENT)
        }
        if not self._instrument:
            self._instrument = tables_of
        elif tables_of != self._instrument:
            raise InputError(
                f"{path} was made with other telescopes than {self._first}; leave one of them out"
            )

    def _check_events(self, h5file: tables.File, path: Path) -> None:
        """Make sure that no event is in the result twice, and that each has its truth."""
        obs_id, event_id = _ids(h5file)
        order = np.lexsort((event_id, obs_id))
        same = (np.diff(obs_id[order]) == 0) & (np.diff(event_id[order]) == 0)
        if np.any(same):
            raise InputError(
                f"{path} holds event {event_id[order][1:][same][0]} more than once; make it again"
            )
        if is_in(h5file, _SHOWERS) and (found := h5file.get_node(_SHOWERS).nrows) != len(event_id):
            raise InputError(f"{path} has {len(event_id)} events and the truth of {found}; make it again")
        for number in np.unique(h5file.get_node(SIMULATION_RUN).col("obs_id")).tolist():
            for other in self._seen.setdefault(number, []):
                self._refuse_common(path, number, event_id[obs_id == number], other)
            self._seen[number].append(path)

    @staticmethod
    def _refuse_common(path: Path, number: int, event_id: NDArray[np.int64], other: Path) -> None:
        """Refuse a run that two files name: its showers would count twice."""
        with tables.open_file(str(other), "r") as h5file:
            theirs, events = _ids(h5file)
        common = np.intersect1d(event_id, events[theirs == number])
        what = f"event {common[0]} of run {number}" if len(common) else f"run {number}"
        raise InputError(
            f"{path} and {other} both hold {what}: each simulated run needs a number of its own; "
            "leave one of the files out, or simulate it again under another number"
        )

    def finish(self, about: dict[str, Any], failed: list[Mapping[str, Any]]) -> dict[str, Any]:
        """Write what is known about the whole."""
        if self._output is None:
            skipped = f", {self.info.n_skipped} are broken" if self.info.n_skipped else ""
            raise InputError(f"there is no file to merge{skipped}")
        info = self.info.joined(about, failed, ThrownShowers.total(self._thrown).n_showers)
        if self._skip_images:
            info["n_images"] = {}
        write_json_node(self._output, INFO_NODE, info)
        return info


def _leaves(h5file: tables.File) -> Iterator[str]:
    """Yield the paths of all leaves in order, without opening them: that costs 10 ms for a wide table."""
    for group in h5file.walk_groups("/"):
        base = group._v_pathname.rstrip("/")
        for name in children(h5file, group._v_pathname):
            if name in group._v_leaves:
                yield f"{base}/{name}"


def _renew_headers(output: tables.File, *, skip_images: bool) -> None:
    """Give the reference headers, by which ctapipe recognises its files, an identity of their own."""
    headers = {
        "CTA PRODUCT ID": str(uuid.uuid4()),
        "CTA PRODUCT CREATION TIME": Time.now().utc.iso,
        "CTA ACTIVITY NAME": "sst1m merge",
    }
    if skip_images:
        levels = str(output.root._v_attrs["CTA PRODUCT DATA LEVELS"]).split(",")
        headers["CTA PRODUCT DATA LEVELS"] = ",".join(level for level in levels if level != "DL1_IMAGES")
    with warnings.catch_warnings():
        # The names have blanks in them, as ctapipe writes them.
        warnings.simplefilter("ignore", tables.NaturalNameWarning)
        for name, value in headers.items():
            output.root._v_attrs[name] = value


def _create_like(node: tables.Table, output: tables.File, where: str, names: list[str]) -> tables.Table:
    """Create an empty table with some columns of another, the first ones, and its attributes."""
    group, name = where.rsplit("/", 1)
    dtype = np.dtype([(name, node.dtype[name]) for name in names])
    table = output.create_table(group, name, description=dtype, filters=node.filters, createparents=True)
    for attribute in node.attrs._f_list("user"):
        table.attrs[attribute] = node.attrs[attribute]
    return table


def _drop_column(output: tables.File, where: str, column: str) -> None:
    """Make a table anew without its last column."""
    old = output.get_node(where)
    if column not in old.colnames:
        return
    output.move_node(where, newname="_with_column")
    old = output.get_node(where.rsplit("/", 1)[0], "_with_column")
    names = [name for name in old.colnames if name != column]
    _append(old, _create_like(old, output, where, names), names, Path(output.filename))
    old.remove()


def _ids(h5file: tables.File) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = h5file.get_node(SUBARRAY_TRIGGER)
    return table.col("obs_id").astype(np.int64), table.col("event_id").astype(np.int64)


def _append(source: tables.Table, target: tables.Table, names: list[str], path: Path) -> None:
    """Append all rows, block by block."""
    kept = source.dtype[names]
    if kept.names != target.dtype.names or any(
        not np.can_cast(kept[name].base, target.dtype[name].base, "safe")
        or kept[name].shape != target.dtype[name].shape
        for name in names
    ):
        raise InputError(
            f"{path}: the columns of {source._v_pathname} are not those of the first file; "
            "make both with the same version and configuration"
        )
    same = source.dtype == target.dtype
    for start in range(0, source.nrows, _BLOCK):
        with explained_damage(path, "DL1 file"):
            rows = source.read(start, start + _BLOCK)
        target.append(rows if same else _cast(rows, target.dtype))


def _cast(rows: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the columns of another type of row."""
    cast = np.empty(len(rows), dtype=dtype)
    for name in dtype.names or ():
        cast[name] = rows[name]
    return cast


def _add_counts(source: tables.Table, target: tables.Table, path: Path) -> None:
    if not np.array_equal(source.col("criteria"), target.col("criteria")):
        raise InputError(f"{path}: its images were chosen by other criteria; make all files alike")
    for name in _COUNTS:
        target.modify_column(colname=name, column=target.col(name) + source.col(name))
