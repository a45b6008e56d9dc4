"""The project's own graphs on a real Slurm: a production and a night end as in a single process."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import science
from science import (
    SITE,
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

ROOT = Path(__file__).parents[2]
raw_templates, make_night, warm = nights.raw_templates, nights.make_night, nights.warm
differing_tables, make_production = nights.differing_tables, productions.make_production
alone = science.alone


@pytest.fixture
def make_farm(slurm):
    """Return a maker of farms on the shared Slurm."""
    yield lambda base: ScienceFarm(base, slurm.env)
    slurm.cancel_all()


@pytest.mark.slow
def test_a_production_on_slurm_equals_that_of_one_process(alone, make_production, make_farm, wait_for):
    production = small_production(make_production)
    words = configure_production(production)
    farm = make_farm(production.base)
    status, output = farm.call("submit", *words)
    assert status == 0 and "submitted" in output, output
    wait_for(production.layout.record.exists, farm.said, 180)
    assert any(name.endswith("_dl2.h5") for name in production.products())
    assert differing_products(production, alone) == []
    assert json.loads(production.layout.record.read_text())["complete"]
    # the last job of the round may still be looking, which the command says with another status
    wait_for(lambda: farm.call("submit", *words) == (0, "complete: nothing is missing\n"), farm.said, 60)
    wait_for(lambda: farm.status().total.keys() == {"done"}, farm.said, 30)
    assert farm.status().total["done"] > 20


@pytest.mark.slow
def test_a_night_on_slurm_equals_that_of_one_process(
    alone, make_night, warm, make_farm, wait_for, differing_tables
):
    local, night = small_night(make_night, alone), small_night(make_night, alone)
    options = ("--night-stereo", "false", "--night-irf-method", "nearest")
    command = warm(local, *options, before=one_thread)
    assert command.wait() == 0, command.text()
    farm = make_farm(night.base)
    words = ("RunNight", "--date", f"{nights.NIGHT:%Y-%m-%d}")
    status, output = farm.call("submit", *words)
    assert status == 0 and "submitted" in output, output
    again, _ = farm.call("submit", *words)
    assert again == 0, "safe to be called at any time"
    wait_for(lambda: is_complete(night), farm.said, 180)
    names = [str(path.relative_to(night.ana)) for path in sorted(night.ana.rglob("*/cs?/*/*.h5"))]
    assert names == [str(path.relative_to(local.ana)) for path in sorted(local.ana.rglob("*/cs?/*/*.h5"))]
    assert len(names) == 4 and sum("_dl2" in name for name in names) == 2
    assert [name for name in names if differing_tables(night.ana / name, local.ana / name)] == []
    lists = sorted(night.ana.rglob("dl3/*_dl3.fits"))
    assert len(lists) == 2
    assert all(photons(path) == photons(local.ana / path.relative_to(night.ana)) for path in lists)
    assert sum(len(photons(path)) for path in lists) > 0
    assert {row["state"] for row in night.manifest().values()} == {"done"}
    wait_for(lambda: farm.status().total.keys() == {"done"}, farm.said, 30)
    stages = {(row.stage, row.by): row.counts["done"] for row in farm.status().rows}
    assert stages["manifest", ""] == stages["close", ""] == 1
    assert stages["dl1", "21"] == stages["dl1", "22"] == 1 and stages["dl3", "cs1"] == 1
    # the last job of the round may still be looking, which the command says with another status
    wait_for(lambda: farm.call("submit", *words) == (0, "complete: nothing is missing\n"), farm.said, 60)


@pytest.mark.slow
def test_a_run_that_its_process_does_not_survive_is_given_up_and_the_night_goes_on(make_night, wait_for):
    night = make_night()
    night.add(21, 1)
    night.add(21, 2)
    farm = ScienceFarm(night.base, settings=SITE.replace('"slurm"', '"local"') + 'finalizer = "none"\n')
    words = ("RunNight", "--date", f"{nights.NIGHT:%Y-%m-%d}", "--until", "dl1")
    status, output = farm.call("submit", *words)
    assert status == 0, output
    wait_for(lambda: farm.status().total.keys() == {"done"}, farm.said, 60)
    status, output = farm.call("logs", "tel", "21", "run", "0002")
    assert status == 0 and "tel 21 run 0002: 60 events in" in output
    status, output = farm.call("logs", "tel", "21")
    assert status == 4 and "2 tasks have 'tel 21' in their name:\n  tel 21 run 0001 (CalibrateRun_" in output
    lost = night.products()[1]
    lost.unlink()
    # The state is text: the second run has failed for good, as far as anybody knows.
    shards = farm.site.state_dir.glob("*/rounds/*/*-dl1/shards/*.jsonl")
    items = [json.loads(line) for path in shards for line in path.read_text().splitlines()]
    (second,) = (item["id"] for item in items if item["label"] == "tel 21 run 0002")
    for results in farm.site.state_dir.glob("*/rounds/*/*-dl1/results/*.jsonl"):
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        for line in lines:
            if line.get("id") == second and line["outcome"] == "done":
                line |= {"outcome": "failed", "class": "corrupt-input", "error": "takes every process down"}
        results.write_text("".join(json.dumps(one) + "\n" for one in lines))
    status, output = farm.call("submit", *words)
    assert status == 0 and "-close" in output, output
    assert not list(farm.site.state_dir.glob("*/quarantine/*")), "the night keeps its own record"
    row = night.row(21, 2)
    assert row["state"] == "quarantined" and "takes every process down" in row["reason"]
    assert night.row(21, 1)["state"] == "done" and not lost.exists()
    wait_for(lambda: len(farm.status().failures) == 2, farm.said, 60)
    failed = {failure["family"]: failure["error"] for failure in farm.status().failures}
    assert failed["CalibrateRun"] == "takes every process down" and "in quarantine" in failed["RunNight"]


def _cron_lines():
    """Return the commands of the crontab that comes with the project."""
    text = (ROOT / "config" / "unattended" / "crontab").read_text()
    return [line.split(maxsplit=5)[5] for line in text.splitlines() if line[:1].isdigit() or line[:1] == "*"]


@pytest.mark.slow
def test_the_crontab_follows_last_night_as_it_stands(alone, make_night, tmp_path, wait_for):
    night = small_night(make_night, alone)
    (night.base / "submit.toml").write_text(SITE.replace('"slurm"', '"local"'))
    last_night = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    raw = nights.raw_path(night.raw, nights.RawName(1, last_night, 1))
    raw.parent.mkdir(parents=True)
    # A run that is rightly skipped: there is nothing to do but to close the night.
    raw.write_bytes(night.content(21, "Transition"))
    os.utime(raw, (nights.LONG_AGO, nights.LONG_AGO))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SITE": night.base, "SST1M": tmp_path}
    submit, page = _cron_lines()

    def call(line):
        return subprocess.run(["/bin/sh", "-c", line], cwd="/", env=environment, timeout=120).returncode

    assert call(submit) == 0
    log = night.base / "submit.log"
    assert "submitted; sst1m-submit status RunNight_" in log.read_text()
    wait_for(nights.NightLayout(night.ana, last_night).record.exists, log.read_text, 60)
    (state,) = (night.base / "state").glob("RunNight_*")
    # The last job of the round has a look, and then nobody else is at it.
    wait_for(lambda: _finalized(state), log.read_text, 60)
    said = log.read_text()
    assert call(submit) == 0 and log.read_text() == said, "a night that is complete is not spoken of"
    assert call(page) == 0 and "RunNight date=" in (night.base / "status.html").read_text()


def _finalized(state: Path) -> bool:
    logs = state.glob("rounds/*/finalizer/logs/*.log")
    return any(": complete" in path.read_text() for path in logs) and not (state / "lock").exists()
