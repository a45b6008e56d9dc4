"""Whatever is killed of jobs on a real Slurm, however often: one more call completes, products are equal."""

import os
import time
from collections import Counter

import numpy as np
import pytest
from killing import settled

N_LEAVES, N_KILLS = 36, 12


def forget(path):
    """Let a file be as old as what no job can need any more."""
    long_ago = time.time() - 90 * 86400
    os.utime(path, (long_ago, long_ago))


def temporary(*directories):
    found = (path for directory in directories for path in directory.rglob(".*") if path.is_file())
    return sorted(path for path in found)


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_killed_at_random_one_more_call_completes(
    start_slurm, make_farm, make_killer, tmp_path, monkeypatch, watched, dose, record_property
):
    cluster = start_slurm(3)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    rng, killed = np.random.default_rng(20240304), Counter()
    while killed.total() < dose(8, 200):
        base = tmp_path / f"farm{killed.total()}"
        base.mkdir()
        made = make_farm("slurm", N_LEAVES, minutes=2.4, base=base, queue="max_running = 3")
        made.plant(**{f"n{n}": "brief" for n in range(N_LEAVES)})
        with watched(made.where / "out"):
            killer = make_killer(cluster, lambda made=made: made.call("submit", *made.words), rng, killed)
            end_after_kills(made, killer, dose(8, N_KILLS))
    for what, number in sorted(killed.items()):
        record_property(what, number)


def end_after_kills(made, killer, number):
    """End things of a campaign, call once more, and look at all that there is in the end."""
    killer.run(number, made.result.exists)
    said = "\n---\n".join(killer.said)
    # Python itself has no better words for Ctrl-C while it loads a program.
    assert not [text for text in killer.said if "Traceback" in text and "KeyboardInterrupt" not in text], said
    # A controller that is killed forgets what it has just accepted; nobody counts on that after a while.
    cluster = killer.cluster
    made.wait_for(
        lambda: settled(cluster, made.campaign, made.status()),
        lambda: cluster.run("squeue") + cluster.run("sinfo") + made.tell(),
        300,
    )
    status, text = made.said_by("submit", *made.words)
    assert status == 0, f"{text}\n{said}\n{made.tell()}"
    made.wait_result(150)
    made.wait_quiet()
    assert {path.name: path.read_text() for path in (made.where / "out").glob("[0-9]*.txt")} == {
        f"{n}.txt": f"{n}\n" for n in range(made.count)
    }
    assert made.said_by("submit", *made.words) == (0, "complete: nothing is missing\n")
    for path in temporary(made.where, made.site.state_dir):
        forget(path)
    assert made.said_by("gc")[0] == 0
    assert temporary(made.where, made.site.state_dir) == []
