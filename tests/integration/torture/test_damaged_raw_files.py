"""Raw files damaged at random: a state and a reason for each, and never a wrong number."""

from collections import Counter

import numpy as np
import pytest
import tables

from sst1m.simulation.damage import RawDamage

PER_NIGHT = 100


def content_of(product):
    """Return all tables of a DL1 file but for what names the run."""
    content = {}
    with tables.open_file(str(product)) as h5file:
        for node in h5file.walk_nodes("/", "Leaf"):
            rows = node.read()
            if isinstance(rows, np.ndarray) and rows.dtype.names and "obs_id" in rows.dtype.names:
                rows["obs_id"] = 0
            if not node._v_pathname.startswith(("/sst1m/info", "/configuration/observation/")):
                content[node._v_pathname] = rows
    return content


def differences(one, other):
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or one[name].tobytes() != other[name].tobytes()
    ]


@pytest.fixture(scope="module")
def good(make_night, warm):
    """Return a raw file, and what its DL1 product holds."""
    night = make_night()
    night.add(21, 1)
    night.add(21, 2)
    command = warm(night)
    assert command.wait() == 0, command.text()
    first, second = map(content_of, night.products())
    assert differences(first, second) == []
    return night.path(21, 1), first


def damaged_night(make_night, damage, numbers):
    """Return a night with one damaged file for each number, and the damages by run."""
    night, made = make_night(), {}
    for run, number in enumerate(numbers, start=1):
        made[run] = damage.make(number)
        night.add(21, run, content=made[run].content)
    return night, made


def check_night(night, made, reference):
    """Return how many files ended how; each must have a state, a reason, and no wrong product."""
    ended = Counter()
    for run, damage in made.items():
        row = night.row(21, run)
        ended[damage.way, row["state"]] += 1
        if row["state"] == "done":
            product = night.ana / "20240304" / row["product"]
            found = content_of(product)
            if not damage.checksum_holds:
                assert differences(found, reference) == [], f"run {run}: {damage.way} was not seen"
        else:
            assert row["state"] in ("quarantined", "waiting", "skipped") and row["reason"], row
            assert "unexpected" not in row["reason"], f"run {run}, {damage.way}: {row['reason']}"
    return ended


@pytest.mark.slow
@pytest.mark.torture
def test_a_damaged_file_gives_the_same_numbers_or_none(good, make_night, warm, dose, record_property):
    path, reference = good
    damage = RawDamage(path, seed=20240304)
    n_files, ended = dose(66, 2200), Counter()
    for start in range(0, n_files, PER_NIGHT):
        numbers = range(start, min(start + PER_NIGHT, n_files))
        night, made = damaged_night(make_night, damage, numbers)
        command = warm(night)
        status = command.wait()
        assert status in (0, 20, 30), command.text()
        assert "Traceback" not in command.text()
        ended += check_night(night, made, reference)
    assert ended.total() == n_files
    for (way, state), number in sorted(ended.items()):
        record_property(f"{way}: {state}", number)
    assert {way for way, state in ended if state == "quarantined"} >= {"cut", "bit_of_events", "count"}
