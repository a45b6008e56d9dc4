"""DL2 files with damaged bytes: the same events for all who read them, or an error that names the file."""

import signal
from collections import Counter

import numpy as np
import pytest

from sst1m.checksum import with_checksum
from sst1m.dl3.photon_list import write_photon_list
from sst1m.errors import Sst1mError
from sst1m.io.dl2 import read_dl2
from sst1m.isolation import run_isolated
from sst1m.reco.reconstruct import reconstruct_file
from sst1m.reco.selection import select_events
from sst1m.simulation.spoiled import spoiled_bytes


@pytest.fixture(scope="module")
def files(mc, mc_config, stores, tmp_path_factory):
    """Return a mono and a stereo DL2 file, each with its checksum beside it."""
    directory, made = tmp_path_factory.mktemp("dl2"), {}
    for setup in ("tel_001", "stereo"):
        made[setup] = directory / f"gamma_{setup}_dl2.h5"
        store = stores[setup == "stereo"]
        reconstruct_file(mc["gamma_test"], made[setup], config=mc_config, store=store, tel_setup=setup)
        made[setup].with_suffix(".json").write_bytes(with_checksum(b"{}", made[setup]))
    return made


def used(path, config, output):
    """Return what cuts, responses and photon lists get of a file."""
    signal.alarm(120)
    events = read_dl2(path)
    table = events.table
    content = {name: np.asarray(table[name]).tobytes() for name in table.colnames}
    summary = write_photon_list(path, output, config=config)
    return content, events.info, events.thrown, select_events(events, config).counts, summary.counts


@pytest.mark.slow
@pytest.mark.torture
def test_damaged_dl2_gives_the_same_events_or_none(files, mc_config, tmp_path, dose, record_property):
    output = tmp_path / "photons.h5"
    good = {setup: run_isolated(used, path, mc_config, output) for setup, path in files.items()}
    ended, wrong = Counter(), []
    for number in range(dose(40, 600)):
        setup = list(files)[number % 2]
        path = tmp_path / files[setup].name
        way, content = spoiled_bytes(files[setup].read_bytes(), np.random.default_rng([43, number]))
        path.write_bytes(content)
        path.with_suffix(".json").write_bytes(files[setup].with_suffix(".json").read_bytes())
        try:
            found = run_isolated(used, path, mc_config, output, subject=str(path))
        except Sst1mError as error:
            ended[setup, "refused"] += 1
            if str(path) not in str(error) or "crashed" in str(error):
                wrong.append(f"{number} {setup} {way}: {error}")
            continue
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            wrong.append(f"{number} {setup} {way}: {type(error).__name__}: {error}")
            continue
        ended[setup, "same"] += 1
        if found != good[setup]:
            wrong.append(f"{number} {setup} {way}: something else was read")
    for end, count in sorted(ended.items()):
        record_property("{}: {}".format(*end), count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    assert ended["tel_001", "refused"] > 0 and ended["stereo", "refused"] > 0
