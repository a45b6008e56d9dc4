"""A night and a production as submitted jobs that are killed at random: equal products, event for event."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import science
from killing import settled
from science import (
    ScienceFarm,
    configure_production,
    differing_products,
    is_complete,
    nights,
    one_thread,
    photons,
    productions,
    small_night,
    small_production,
)

from sst1m.io.dl1 import check_dl1
from sst1m.io.dl2 import check_dl2

raw_templates, make_night, warm = nights.raw_templates, nights.make_night, nights.warm
differing_tables, make_production = nights.differing_tables, productions.make_production
alone = science.alone

#: Quick answers to what dies; as few attempts as a site has.
SITE = science.SITE.replace(
    "[plan]\n", "[plan]\nheartbeat_s = 1.0\nstale_lease_s = 10.0\nlost_after_s = 30.0\n"
)
#: Ended in one night or production; the same step must not be hit more often than the rules forgive.
N_KILLS = 8


@pytest.fixture
def end_after_kills(start_slurm, make_killer, wait_for, monkeypatch):
    """Return what submits, ends things at random, and calls once more."""
    cluster = start_slurm(3)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])

    def quiet():
        return not cluster.run("squeue", "-h", check=False).strip()

    def run(base, words, is_done, rng, killed, number):
        farm = ScienceFarm(base, cluster.env, SITE)

        def said():
            return f"{farm.status().elements} {cluster.run('squeue')} {cluster.run('sinfo')} {farm.said()}"

        killer = make_killer(cluster, lambda: farm.start("submit", *words), rng, killed)
        killer.run(number, is_done)
        # A controller that is killed forgets what it has just accepted; nobody counts on that after a while.
        wait_for(lambda: settled(cluster, farm.campaign, farm.status()), said, 150)
        status, output = farm.call("submit", *words)
        assert status == 0, output
        wait_for(lambda: is_done() and quiet(), said, 600)
        assert farm.call("submit", *words) == (0, "complete: nothing is missing\n")

    yield run
    cluster.stop()


def temporary(directory):
    return [path for path in directory.rglob("*") if ".part" in path.name]


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_night_whose_jobs_are_killed_at_random(
    request, make_night, warm, end_after_kills, differing_tables, watched, dose, record_property
):
    make = dose(dl1_night, lambda make: small_night(make, request.getfixturevalue("alone")))
    reference, rng, killed = make(make_night), np.random.default_rng(5), Counter()
    whole = dose((), ("--night-stereo", "false", "--night-irf-method", "nearest"))
    command = warm(reference, *whole, before=one_thread)
    assert command.wait() == 0, command.text()
    while killed.total() < dose(3, 32):
        night = make(make_night)
        words = ("RunNight", "--date", f"{nights.NIGHT:%Y-%m-%d}", *night.until)
        with watched(night.ana, "night.log"):
            done = partial(is_complete, night)
            end_after_kills(night.base, words, done, rng, killed, dose(3, N_KILLS))
        compare_nights(night, reference, differing_tables)
    for what, number in sorted(killed.items()):
        record_property(what, number)


def dl1_night(make):
    night = make()
    for run in (1, 2):
        night.add(21, run)
    night.add(22, 1)
    return night


def compare_nights(night, reference, differing_tables):
    names = [str(path.relative_to(night.ana)) for path in sorted(night.ana.rglob("*/cs?/*/*.h5"))]
    expected = sorted(reference.ana.rglob("*/cs?/*/*.h5"))
    assert names == [str(path.relative_to(reference.ana)) for path in expected]
    assert [name for name in names if differing_tables(night.ana / name, reference.ana / name)] == []
    lists = sorted(night.ana.rglob("dl3/*_dl3.fits"))
    assert len(lists) == len(list(reference.ana.rglob("dl3/*_dl3.fits")))
    assert all(photons(path) == photons(reference.ana / path.relative_to(night.ana)) for path in lists)
    assert {row["state"] for row in night.manifest().values()} == {"done"}
    for path in night.ana.rglob("*/cs?/*/*.h5"):
        (check_dl2 if "_dl2" in path.name else check_dl1)(path)
    assert temporary(night.ana) == []


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_production_whose_jobs_are_killed_at_random(
    make_production, end_after_kills, watched, dose, record_property
):
    until = dose(("--until", "dl1"), ())
    reference, rng, killed = small_production(make_production), np.random.default_rng(6), Counter()
    status, output = reference.run(*until, before=one_thread)
    assert status == 0, output
    while killed.total() < dose(3, 24):
        production = small_production(make_production)
        words = (*configure_production(production), *until)
        with watched(production.layout.root), watched(production.irf_dir):
            done = production.layout.record.exists
            end_after_kills(production.base, words, done, rng, killed, dose(3, N_KILLS))
        assert differing_products(production, reference) == []
        assert temporary(production.layout.root) == temporary(production.irf_dir) == []
    for what, number in sorted(killed.items()):
        record_property(what, number)
