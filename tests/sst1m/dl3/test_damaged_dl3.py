"""Photon lists and their index with damaged bytes: refused by name, or the same events and responses."""

import shutil
import signal
from collections import Counter

import numpy as np
import pytest
from astropy.table import Table

from sst1m.dl3.index import HDU_INDEX, OBS_INDEX, write_index
from sst1m.errors import Sst1mError
from sst1m.isolation import run_isolated
from sst1m.quicklook.observations import select_observations
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.quiet import gammapy_in_the_log
from sst1m.simulation.spoiled import spoiled_bytes


@pytest.fixture(scope="module")
def store(export, make_dl2, new_run, tmp_path_factory):
    """Return a directory of two photon lists and their index."""
    directory = tmp_path_factory.mktemp("dl3")
    runs = [new_run(1), new_run(2, start_s=1200.0)]
    export([make_dl2(directory / "dl2", run) for run in runs], directory / "store")
    return directory / "store"


def index_of(directory):
    """Make the index anew; return its content without size and checksum of the files: the damage may lie
    after all tables, or in padding."""
    signal.alarm(120)
    files = sorted(directory.glob("SST1M_*_dl3.fits"))
    tables = [Table.read(path) for path in write_index(files, directory / "new")]
    return [
        {name: table[name].tolist() for name in table.colnames if name not in ("MD5", "SIZE")}
        for table in tables
    ]


def seen_by_gammapy(directory, source):
    """Return all that a first look takes from a store, as bytes and JSON values."""
    signal.alarm(120)
    with gammapy_in_the_log():
        selection = select_observations(directory, source, QuicklookOptions())
    found = [selection.left_out]
    for chosen in selection.used:
        observation = chosen.observation
        events = observation.events.table
        found.append([chosen.facts, chosen.energy_tev, chosen.simulated, str(chosen.pointing)])
        found += [np.asarray(events[name]).tobytes() for name in ("ENERGY", "RA", "DEC")]
        found.append(events["TIME"].mjd.tobytes())
        found += [getattr(observation, name).data.tobytes() for name in ("aeff", "edisp", "psf", "bkg")]
        found.append([str(axis) for axis in observation.aeff.axes])
        found.append(observation.gti.table["START"].mjd.tobytes())
    return found


def how_it_ended(read, arguments, expected, path):
    """Return ``refused`` or ``same``, or what is wrong."""
    try:
        found = run_isolated(read, *arguments, subject=str(path))
    except Sst1mError as error:
        named = str(path.parent) in str(error) and "crashed" not in str(error)
        return "refused" if named else f"refused so: {error}"
    except Exception as error:  # noqa: BLE001 - to be reported with all others
        return f"{type(error).__name__}: {error}"
    return "same" if found == expected else "something else was read"


@pytest.mark.slow
@pytest.mark.torture
def test_damaged_photon_lists_are_refused_or_the_same(store, crab, tmp_path, dose, record_property):
    good_index, good = run_isolated(index_of, store), run_isolated(seen_by_gammapy, store, crab)
    indices = [HDU_INDEX, OBS_INDEX]
    names = [*sorted(path.name for path in store.glob("SST1M_*_dl3.fits")), *indices]
    directory, ended, wrong = tmp_path / "store", Counter(), []
    for number in range(dose(24, 1500)):
        rng = np.random.default_rng([37, number])
        # A store that was copied without the JSON files has the checksums of FITS alone.
        left_out = ("new", "*.json") if rng.random() < 0.5 else ("new",)
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(store, directory, ignore=shutil.ignore_patterns(*left_out))
        path = directory / names[number % len(names)]
        way, content = spoiled_bytes(path.read_bytes(), rng)
        path.write_bytes(content)
        kind = "index file" if path.name in indices else "photon list"
        readers = {"look": (seen_by_gammapy, (directory, crab), good)}
        readers |= {"index": (index_of, (directory,), good_index)} if kind == "photon list" else {}
        for reader, (read, arguments, expected) in readers.items():
            end = how_it_ended(read, arguments, expected, path)
            ended[kind, reader, end if end in ("same", "refused") else "wrong"] += 1
            wrong += [] if end in ("same", "refused") else [f"{number} {path.name} {way}, {reader}: {end}"]
    for end, count in sorted(ended.items()):
        record_property("{}, {}: {}".format(*end), count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    assert ended["photon list", "look", "refused"] > ended["photon list", "look", "same"]
