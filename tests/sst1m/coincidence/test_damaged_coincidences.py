"""Files of coincidences and stereo DL1 with damaged bytes: refused by name, or the same events."""

import signal
from collections import Counter

import numpy as np
import pytest
import tables

from sst1m.coincidence import (
    match_night,
    read_coincidences,
    stereo_name,
    write_coincidences,
    write_stereo_run,
)
from sst1m.errors import Sst1mError
from sst1m.io.dl1_events import read_dl1_events
from sst1m.isolation import run_isolated
from sst1m.simulation.spoiled import spoiled_bytes


@pytest.fixture(scope="module")
def products(night, method_config, tmp_path_factory):
    """Return a file of coincidences and a stereo run, each with its checksum beside it."""
    directory, config = tmp_path_factory.mktemp("products"), method_config("WhiteRabbitClosest")
    pairs = directory / "night_coincidences.h5"
    found = match_night(night.files[21], night.files[22], config)
    write_coincidences(found, pairs)
    run = directory / stereo_name(night.files[21][0])
    write_stereo_run(found, night.files[21][0], run, config)
    return {"coincidences": pairs, "stereo DL1": run}


def stereo_of(path, night, config, output):
    """Return what the stereo run that follows from a file of coincidences holds."""
    signal.alarm(120)
    output.unlink(missing_ok=True)
    write_stereo_run(read_coincidences(path), night.files[21][0], output, config)
    with tables.open_file(str(output)) as h5file:
        nodes = h5file.walk_nodes("/", "Leaf")
        return {n._v_pathname: np.asarray(n.read()).tobytes() for n in nodes if "info" not in n._v_pathname}


def events_of(path):
    """Return what the reconstruction gets of a stereo run."""
    signal.alarm(120)
    dl1 = read_dl1_events(path, (21, 22))
    return {
        (tel_id, name): np.asarray(values).tobytes()
        for tel_id, events in dl1.telescopes.items()
        for name, values in events.columns.items()
    }


@pytest.mark.slow
@pytest.mark.torture
def test_damaged_pairs_are_refused_or_the_same(
    products, night, method_config, tmp_path, dose, record_property
):
    config = method_config("WhiteRabbitClosest")
    readers = {
        "coincidences": lambda path: stereo_of(path, night, config, tmp_path / "stereo.h5"),
        "stereo DL1": events_of,
    }
    good = {kind: run_isolated(read, products[kind]) for kind, read in readers.items()}
    ended, wrong = Counter(), []
    for number in range(dose(30, 600)):
        kind = list(products)[number % 2]
        path = tmp_path / products[kind].name
        way, content = spoiled_bytes(products[kind].read_bytes(), np.random.default_rng([41, number]))
        path.write_bytes(content)
        path.with_suffix(".json").write_bytes(products[kind].with_suffix(".json").read_bytes())
        try:
            found = run_isolated(readers[kind], path, subject=str(path))
        except Sst1mError as error:
            ended[kind, "refused"] += 1
            if str(path) not in str(error) or "crashed" in str(error):
                wrong.append(f"{number} {kind} {way}: {error}")
            continue
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            wrong.append(f"{number} {kind} {way}: {type(error).__name__}: {error}")
            continue
        ended[kind, "same"] += 1
        if found != good[kind]:
            wrong.append(f"{number} {kind} {way}: something else was read")
    for end, count in sorted(ended.items()):
        record_property("{}: {}".format(*end), count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    assert ended["coincidences", "refused"] > 0 and ended["stereo DL1", "refused"] > 0
