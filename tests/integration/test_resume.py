"""Killed at any moment, the same command finishes the night as if nothing had happened."""

import multiprocessing
import os
import random
import signal
import time

import pytest

from sst1m.io.dl1 import check_dl1

N_TIMED, N_STEPS = 13, 12
OPERATIONS = ("replace", "fsync", "unlink", "mkdir", "flock")


@pytest.fixture(scope="module")
def undisturbed(make_night, warm):
    """Return a finished night, the duration of its command, and the number of its disk operations."""
    night = filled(make_night())
    counter = multiprocessing.get_context("fork").Value("i", 0)
    start = time.monotonic()
    command = warm(night, before=lambda: count_operations(counter, None))
    assert command.wait() == 0, command.text()
    return night, time.monotonic() - start, counter.value


def filled(night):
    night.add(21, 1)
    night.add(22, 1, "Mrk421,W2,166.1,38.2")
    return night


def count_operations(counter, last: int | None) -> None:
    """Count what the main process does on the disk, and kill it just before operation number `last`."""
    import fcntl

    main = os.getpid()

    def counted(original):
        def operation(*args, **kwargs):
            if os.getpid() == main:
                counter.value += 1
                if counter.value == last:
                    os.kill(main, signal.SIGKILL)
            return original(*args, **kwargs)

        return operation

    for name in OPERATIONS:
        module = fcntl if name == "flock" else os
        setattr(module, name, counted(getattr(module, name)))


def look(night) -> set[str]:
    """Check that only complete products are visible, and say what the kill has left behind."""
    found = set()
    for product in night.products():
        check_dl1(product)
        assert product.with_suffix(".json").exists() and product.with_suffix(".log").exists()
    hidden = [path.name for path in night.ana.rglob("*") if ".part" in path.name]
    side_files = [path for path in night.ana.glob("*/*/cs*/dl1/*.json") if not path.name.startswith(".")]
    if any(name.endswith(".part.h5") for name in hidden):
        found.add("partial product")
    if len(side_files) > len(night.products()):
        found.add("side files without product")
    if not night.layout.manifest.exists():
        found.add("no manifest yet")
    if 0 < len(night.products()) < 2:
        found.add("between two runs")
    if len(night.products()) == 2 and not night.layout.record.exists():
        found.add("not closed")
    return found


def finish_and_compare(night, warm, undisturbed_night, differing_tables) -> None:
    command = warm(night)
    assert command.wait() == 0, command.text()
    assert not [path for path in night.ana.rglob("*") if ".part" in path.name]
    assert len(night.products()) == 2
    for product in night.products():
        reference = undisturbed_night.ana / product.relative_to(night.ana)
        assert differing_tables(product, reference) == []
    assert {row["state"] for row in night.manifest().values()} == {"done"}


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_finishes_the_night(
    undisturbed, make_night, warm, differing_tables
):
    reference, duration, n_operations = undisturbed
    random.seed(20240304)
    moments = [("after seconds", random.uniform(0.0, 0.9 * duration)) for _ in range(N_TIMED)]
    steps = sorted(random.sample(range(1, n_operations + 1), min(N_STEPS, n_operations)))
    moments += [("before operation", step) for step in steps]
    seen: set[str] = set()
    n_killed = 0
    for kind, moment in moments:
        night = filled(make_night())
        if kind == "after seconds":
            command = warm(night)
            time.sleep(moment)
            command.kill()
        else:
            counter = multiprocessing.get_context("fork").Value("i", 0)
            command = warm(night, before=lambda c=counter, m=moment: count_operations(c, m))
        n_killed += command.wait() == -signal.SIGKILL
        seen |= look(night)
        finish_and_compare(night, warm, reference, differing_tables)
    assert n_killed >= 20
    assert seen >= {"partial product", "no manifest yet", "between two runs"}


@pytest.mark.parametrize("last_replaced", ["_dl1.json", "_dl1.log"])
def test_a_kill_between_side_file_and_product_shows_no_product(
    last_replaced, undisturbed, make_night, warm, differing_tables
):
    night = filled(make_night())

    def kill_after() -> None:
        main, replace = os.getpid(), os.replace

        def replaced(source, destination):
            replace(source, destination)
            if str(destination).endswith(last_replaced) and os.getpid() == main:
                os.kill(main, signal.SIGKILL)

        os.replace = replaced

    assert warm(night, before=kill_after).wait() == -signal.SIGKILL
    assert night.products() == []
    assert list(night.ana.glob(f"*/*/cs*/dl1/*{last_replaced}"))
    finish_and_compare(night, warm, undisturbed[0], differing_tables)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_killed_command_leaves_no_process_at_work(made_night, warm, n_workers):
    night = filled(made_night)
    command = warm(night, "--workers", str(n_workers))
    deadline = time.monotonic() + 60
    while not list(night.ana.glob("*/*/cs*/dl1/.*.part.h5")) and time.monotonic() < deadline:
        time.sleep(0.005)
    part = next(night.ana.glob("*/*/cs*/dl1/.*.part.h5"))
    children = descendants_of(command.pid)
    assert len(children) >= (1 if n_workers == 1 else 3), "reductions run in processes of their own"
    command.kill()
    command.wait()
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(is_alive(pid) for pid in children)
    size = part.stat().st_size
    time.sleep(0.2)
    assert part.stat().st_size == size


def descendants_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = [int(word) for word in file.read().split()]
    return children + [below for child in children for below in descendants_of(child)]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_interrupted_command_cleans_up_after_itself(made_night, warm):
    night = filled(made_night)
    command = warm(night)
    deadline = time.monotonic() + 60
    while not list(night.ana.glob("*/*/cs*/dl1/.*.part.h5")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(command.pid, signal.SIGTERM)
    assert command.wait() != 0
    assert not list(night.ana.glob("*/*/cs*/dl1/.*.part.h5"))
    assert "Traceback" not in command.text()
