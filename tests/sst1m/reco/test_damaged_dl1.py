"""DL1 files with damaged bytes: the same DL2, or an error that names the file; never another number."""

import signal
from collections import Counter

import numpy as np
import pytest
import tables

from sst1m.checksum import with_checksum
from sst1m.errors import Sst1mError
from sst1m.isolation import run_isolated
from sst1m.reco.reconstruct import reconstruct_file

SETUP = "tel_001"


def damaged(content, rng):
    """Return the content with some bits flipped, a sector lost, or its end cut off."""
    changed, way = bytearray(content), rng.choice(["bit", "bits", "head", "lost", "cut"])
    if way == "cut":
        return way, bytes(changed[: int(rng.integers(len(changed)))])
    place = int(rng.integers(len(changed)))
    if way == "lost":
        changed[place : place + 512] = bytes(len(changed[place : place + 512]))
        return way, bytes(changed)
    for _ in range(1 if way == "bit" else 12):
        # most structures of HDF5 stand at the beginning
        place = int(rng.integers(len(changed) if way != "head" else min(60_000, len(changed))))
        changed[place] ^= 1 << int(rng.integers(8))
    return way, bytes(changed)


def content_of(path):
    with tables.open_file(str(path)) as h5file:
        nodes = h5file.walk_nodes("/", "Leaf")
        return {node._v_pathname: node.read() for node in nodes if node._v_pathname != "/sst1m/info"}


def differences(one, other):
    same = [
        name
        for name in one.keys() & other.keys()
        if np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes()
    ]
    return sorted((one.keys() | other.keys()) - set(same))


def reconstruct(path, output, config, store):
    signal.alarm(120)
    reconstruct_file(path, output, config=config, store=store, tel_setup=SETUP)


@pytest.mark.slow
@pytest.mark.torture
def test_damaged_dl1_gives_the_same_numbers_or_none(mc, mc_config, stores, tmp_path, dose, record_property):
    """Products have a checksum beside them; without it HDF5 does not see all damage, and may crash."""
    good, store, reference = mc["gamma_test"], stores[False], tmp_path / "reference.h5"
    reconstruct_file(good, reference, config=mc_config, store=store, tel_setup=SETUP)
    expected, content = content_of(reference), good.read_bytes()
    ended, wrong = Counter(), []
    (tmp_path / good.name).with_suffix(".json").write_bytes(with_checksum(b"{}", good))
    for number in range(dose(25, 1000)):
        way, bytes_ = damaged(content, np.random.default_rng([11, number]))
        path, output = tmp_path / good.name, tmp_path / "out_dl2.h5"
        path.write_bytes(bytes_)
        output.unlink(missing_ok=True)
        try:
            run_isolated(reconstruct, path, output, mc_config, store, subject=str(path))
        except Sst1mError as error:
            ended[way, "refused"] += 1
            if str(path) not in str(error) or "crashed the reader" in str(error):
                wrong.append(f"{number} {way}: {error}")
            continue
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            wrong.append(f"{number} {way}: {type(error).__name__}: {error}")
            continue
        ended[way, "same"] += 1
        try:
            different = differences(content_of(output), expected)
        except tables.HDF5ExtError as error:
            different = [f"what cannot be read: {error}"]
        if different:
            wrong.append(f"{number} {way}: other values in {different}")
    for (way, end), count in sorted(ended.items()):
        record_property(f"{way}: {end}", count)
    assert not wrong, "\n".join([f"{len(wrong)} of {ended.total() + len(wrong)}", *wrong[:20]])
