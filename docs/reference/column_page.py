"""The columns of all files, from the code that writes them: an empty file of a kind tells its columns."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.io import fits
from astropy.table import QTable
from fits_meanings import CUT_MEANINGS, FITS_MEANINGS
from markdown_text import cell, code, markdown_table

__all__ = ["column_page"]

HEADING = """\
# Columns of all files

Units are those of the file; a column without one is a pure number. A time in nanoseconds is an integer,
because a 64-bit floating point number of this size resolves 256 ns only. How the numbers are made:
[DL1](dl1.md), [DL2](dl2.md), [DL3](dl3.md).
"""
TABLE = ("column", "type", "unit", "meaning")
Row = tuple[str, str, str, str]


def column_page() -> str:
    """Return the page as Markdown."""
    with tempfile.TemporaryDirectory() as directory:
        dl1 = "".join(_dl1(Path(directory) / "SST1M1_dl1.h5"))
    return "\n".join([HEADING, _manifest(), dl1, _stereo(), _dl2(), _cuts(), _dl3()])


def _described(columns: Mapping[str, tuple[str, str, str]]) -> str:
    """Return a table of columns whose type, unit and meaning the code holds by name."""
    rows = ((name, np.dtype(kind).name, unit, text) for name, (kind, unit, text) in columns.items())
    return _table(rows)


def _table(rows: Iterator[Row]) -> str:
    return markdown_table(
        TABLE, ((code(name), kind, cell(unit), cell(text)) for name, kind, unit, text in rows)
    )


def _manifest() -> str:
    from sst1m.manifest import COLUMNS

    rows = ((column.name, column.datatype, column.unit or "", column.description) for column in COLUMNS)
    return f"## Manifest of a night\n\n`manifest.ecsv`, one row per raw file.\n\n{_table(rows)}"


def _dl1(path: Path) -> Iterator[str]:
    """Write a DL1 file without events, and return what its tables say."""
    from sst1m.instrument import sst1m_subarray
    from sst1m.io.dl1 import Dl1Writer
    from sst1m.reduction.columns import EXTRA_COLUMNS, PRECISE_TIME_COLUMNS
    from sst1m.reduction.monitoring import write_pedestal_monitoring

    about = {
        "tel_ids": (21,),
        "obs_id": 0,
        "images": "all",
        "extra_columns": EXTRA_COLUMNS | PRECISE_TIME_COLUMNS,
    }
    with Dl1Writer(path, subarray=sst1m_subarray(), **about) as writer:
        nothing = np.zeros(0)
        writer.write_pointing(21, nothing.astype(np.int64), nothing, nothing)
        write_pedestal_monitoring(writer, 21, [])
    yield (
        "## DL1\n\nTables of telescope 21; simulations have telescopes 1 and 2 and, under `/simulation`, "
        "ctapipe's tables of the truth.\n"
    )
    with tables.open_file(str(path)) as file:
        for node in sorted(file.walk_nodes("/", "Table"), key=lambda node: node._v_pathname):
            if node._v_pathname.startswith(("/dl0", "/dl1", "/sst1m")):
                yield f"\n### {node._v_pathname}\n\n{_table(_hdf5_rows(node))}"


def _hdf5_rows(table: tables.Table) -> Iterator[Row]:
    for position, name in enumerate(table.colnames):
        known = {key: getattr(table.attrs, f"CTAFIELD_{position}_{key}", "") for key in ("UNIT", "DESC")}
        column = table.coldtypes[name]
        shape = "" if not column.shape else f" × {' × '.join(map(str, column.shape))}"
        yield name, f"{column.base.name}{shape}", known["UNIT"], known["DESC"]


def _stereo() -> str:
    from sst1m.coincidence.pairs import PAIR_COLUMNS, UNMATCHED_COLUMNS
    from sst1m.coincidence.stereo_dl1 import STEREO_COLUMNS

    return "\n".join(
        [
            "## Coincidences and stereo DL1\n",
            "`SST1M_YYYYMMDD_TARGET_coincidences.h5`, table `/coincidences/pairs`:\n",
            _described(PAIR_COLUMNS),
            "`/coincidences/unmatched_21` and `unmatched_22`, the events that are in no pair:\n",
            _described(UNMATCHED_COLUMNS),
            "Stereo DL1 has the tables of both telescopes, and in `/sst1m/dl1/event/telescope/parameters`:\n",
            _described(STEREO_COLUMNS),
        ]
    )


def _dl2() -> str:
    from sst1m.image.columns import PARAMETER_COLUMNS
    from sst1m.io.dl2_columns import DL2_COLUMNS
    from sst1m.reduction.columns import EXTRA_COLUMNS, PRECISE_TIME_COLUMNS

    before = {*PARAMETER_COLUMNS, *EXTRA_COLUMNS, *PRECISE_TIME_COLUMNS}
    own = {name: meaning for name, meaning in DL2_COLUMNS.items() if name not in before}
    rows = ((code(name), cell(unit), cell(text)) for name, (unit, text) in own.items())
    text = (
        "## DL2\n\n`/sst1m/dl2/event/parameters/<set-up>`: the image parameters and our own columns of DL1, "
        "and the following where they apply (`true_...`, `disp_...` and `miss` only in simulations). In the "
        "stereo table those of one telescope end with `_tel21`, `_tel22` (`_tel1`, `_tel2` in MC and "
        "for impact distances).\n\n"
    )
    return text + markdown_table(("column", "unit", "meaning"), rows)


def _cuts() -> str:
    from sst1m.irf.cuts import GammanessCuts

    edges = [1.0, 10.0] * u.TeV
    table = QTable({"low": edges[:1], "high": edges[1:], "center": edges[:1], "cut": [0.5]})
    # a table that lacks one of these columns would be refused
    names = GammanessCuts("efficiency", table=table).table.colnames
    rows = [(name, "float64", str(table[name].unit or ""), CUT_MEANINGS[name]) for name in names]
    heading = "## Gammaness cuts\n\nTable `gammaness_cuts` of the HDF5 files, `GH_CUTS` in FITS.\n\n"
    return heading + _table(iter(rows))


def _dl3() -> str:
    from sst1m.dl3.events import events_hdu, gti_hdu, pointing_hdu
    from sst1m.dl3.gti import Intervals
    from sst1m.dl3.pointing import PointingTrack

    nothing = np.zeros(0)
    events = QTable({name: nothing * u.deg for name in ("reco_ra", "reco_dec", "reco_alt", "reco_az")})
    events["true_az_tel"], events["true_alt_tel"] = nothing * u.deg, nothing * u.deg
    events["reco_energy"], events["gammaness"] = nothing * u.TeV, nothing
    for name in ("event_id", "obs_id", "time_ns"):
        events[name] = nothing.astype(np.int64)
    track = PointingTrack(nothing.astype(np.int64), *[nothing] * 5)
    hdus = events_hdu(events, {}, "cs1"), gti_hdu(Intervals.of([]), "cs1"), pointing_hdu(track, "cs1")
    gadf = "[GADF](https://gamma-astro-data-formats.readthedocs.io)"
    parts = [f"## DL3\n\nPhoton lists follow {gadf}; the responses have its columns.\n"]
    parts += [f"### {hdu.name}\n\n{_table(_fits_rows(hdu))}" for hdu in hdus]
    return "\n".join(parts)


def _fits_rows(hdu: fits.BinTableHDU) -> Iterator[Row]:
    meanings = FITS_MEANINGS[hdu.name]
    if set(meanings) != set(hdu.columns.names):
        raise SystemExit(f"docs/reference/fits_meanings.py: has other columns of {hdu.name} than the files")
    for column in hdu.columns:
        yield (
            column.name,
            hdu.data.dtype[column.name].newbyteorder("=").name,
            column.unit or "",
            meanings[column.name],
        )
