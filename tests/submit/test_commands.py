"""The commands as an observer uses them."""

import json
import os
import re
import time

import pytest


def test_status_explain_logs_and_page_tell_an_observer(farm, tmp_path):
    made = farm(3)
    made.plant(n1="always")
    made.submit()
    made.wait_quiet()
    page = tmp_path / "status.html"
    status, table = made.said_by("status", "--html", str(page), *made.words)
    assert status == 0
    lines = [line.split() for line in table.splitlines()]
    assert lines[0][1:3] == ["Sum", f"where={made.where},"] and "2 of 4 tasks done after 2 sub" in table
    assert ["stage", "total", "done", "blocked", "quarantined"] in lines
    assert ["leaf", "3", "2", "1"] in lines and ["sum", "1", "1"] in lines
    assert "1 quarantined (deterministic), e.g. Leaf_1_" in table and "cannot be done" in table
    found = json.loads(made.said_by("status", "--json")[1])[0]
    assert found["schema"] == "sst1m-submit-status/1" and found["total"]["quarantined"] == 1
    assert found["failures"][0]["class"] == "deterministic" and found["stages"][0]["stage"] == "leaf"
    status, text = made.said_by("explain", "Sum_")
    assert status == 0 and "waits for" in text and "cannot be done" in text and "sst1m-submit retry" in text
    status, text = made.said_by("logs", "Leaf_1_")
    assert status == 0 and "leaf 1, attempt 2" in text and "RuntimeError: cannot be done" in text
    assert re.search(r"Z attempt 2 at Leaf_1_\S+ on n\d+p\d+, job \d+_0\n", text)
    assert re.search(r"Z failed after [\d.]+ s, .* MB deterministic RuntimeError: cannot be done\n", text)
    assert "leaf 1, attempt 1" in made.said_by("logs", "--all", "Leaf_1_")[1]
    text = page.read_text()
    assert "quarantined" in text and "<script" not in text and "http" not in text


def test_what_is_told_of_work_that_is_on_its_way(farm):
    made = farm(6, minutes=10)
    made.plant(**{f"n{n}": "slow" for n in range(6)})
    status, text = made.said_by("submit", *made.words)
    assert status == 0 and "7 to be submitted in 2 shards of 2 arrays" in text
    assert f"submitted; sst1m-submit status {made.campaign.name}" in text
    made.wait_for(lambda: made.tries(1) == 1, "the second leaf begins", 60)
    found = made.status()
    assert found.total["running"] == 1, "the others of its shard wait"
    assert found.total["queued"] + found.total["done"] == 6
    # The leaves are expected to take 30 s; those that are done took 4 s.
    assert 4 < found.eta_s < 60 and found.elements["running"] == 1
    status, text = made.said_by("submit", *made.words)
    assert status == 0 and "none of them to be submitted now" in text and "on their way" in text
    status, text = made.said_by("explain", "Sum_")
    assert status == 0 and "queued as a part of a job" in text
    status, text = made.said_by("cancel", *made.words)
    assert status == 0 and "ended " in text
    made.wait_quiet()
    status, text = made.said_by("status", "--watch", "1", *made.words)
    assert status == 0 and " open" in text, "it ends when nothing is on its way"
    assert "no job was on its way" in made.said_by("cancel", *made.words)[1]


def test_a_file_is_no_proof_where_the_task_has_an_answer_of_its_own(make_farm):
    made = make_farm("local", 1, finalizer="none")
    words = ("--module", "farm_tasks", "Never", "--where", str(made.where), "--n", "1")
    assert made.said_by("submit", *words)[0] == 0
    made.wait_for(lambda: "1 failed" in made.said_by("status")[1], "the failure")
    assert made.where.joinpath("out", "1.txt").exists()
    assert "ran without an error but is not complete" in made.said_by("status")[1]


def test_what_waits_for_a_file_from_elsewhere_is_explained_and_goes_on_with_it(make_farm):
    made = make_farm("local", 1)
    words = ("--module", "farm_tasks", "Waiting", "--where", str(made.where), "--n", "1")
    status, text = made.said_by("submit", *words)
    assert status == 30 and "OtherFile__" in text and "its product comes from elsewhere" in text
    status, text = made.said_by("explain", "Waiting_1_")
    assert status == 0 and re.search(r"Waiting_1_\S+: waits for\n  OtherFile_\S+: its product", text), text
    made.where.joinpath("elsewhere.txt").write_text("x")
    assert made.said_by("submit", *words)[0] == 0
    made.wait_for(made.where.joinpath("out", "1.txt").exists, "the product", 30)


def test_a_plan_changes_nothing_and_shows_the_first_script(make_farm):
    made = make_farm("local", 5, node='environment = ["module load python"]')
    status, text = made.said_by("plan", *made.words)
    assert status == 0
    assert "6 tasks are missing (6 looked at): 6 to be submitted" in text and "001-leaf" in text
    script = text[text.index("#!/bin/bash") :]
    assert "\nmodule load python\n" in script and "-m submit.worker" in script
    assert not made.site.state_dir.exists()


@pytest.mark.parametrize(
    "command", ["plan", "submit", "status", "explain", "logs", "retry", "cancel", "doctor", "gc"]
)
def test_help_has_an_example(make_farm, command):
    status, text = make_farm("local", 1).said_by(command, "--help")
    assert status == 0 and re.search(rf"^  sst1m-submit (--site \S+ )?{command}", text, re.MULTILINE), text


def test_doctor_looks_at_the_site(farm, make_farm, tmp_path, slurm):
    made = farm(1, queue="max_queued = 30000")
    status, text = made.said_by("doctor")
    assert status == 1 and "slurm answers; arrays of up to 10001 elements" in text
    assert "BAD  queue.max_queued: 30000 is more than the 20000 allowed" in text
    assert "ERROR: 1 findings are not as they should be" in text
    made.file.write_text(made.file.read_text().replace("max_queued = 30000", ""))
    status, text = made.said_by("doctor")
    assert status == 0 and "BAD" not in text
    made.file.write_text(made.file.read_text().replace('"state"', '"submit.toml/state"'))
    status, text = made.said_by("doctor")
    assert status == 1 and "BAD  state directory" in text and "Traceback" not in text


def test_what_is_left_over_is_removed_and_nothing_else(make_farm):
    made = make_farm("local", 3, queue="max_walltime_minutes = 60")
    made.submit()
    made.wait_result()
    made.wait_quiet()
    assert made.submit().complete
    part, new = made.where / "out" / ".7.a1b2.part.txt", made.where / "out" / ".8.a1b2.part.txt"
    lease = made.site.state_dir / "leases" / "00" / "gone"
    record = next(made.campaign.rounds.glob("*/001-leaf/array.json"))
    torn = record.with_name(f".{record.name}.17-a1b2.part")
    lease.parent.mkdir(parents=True, exist_ok=True)
    long_ago = time.time() - 40 * 86400
    for path in (part, new, lease, torn):
        path.write_text("x")
    closed = list(made.campaign.rounds.glob("*/closed.json"))
    assert len(closed) == 1
    for path in (part, lease, torn, *closed):
        os.utime(path, (long_ago, long_ago))
    before = {path for path in (made.where, made.site.state_dir) for path in path.rglob("*")}
    status, listed = made.said_by("gc", "--dry-run")
    assert status == 0 and before == {p for p in (made.where, made.site.state_dir) for p in p.rglob("*")}
    assert str(part) in listed and str(lease) in listed and str(new) not in listed
    status, removed = made.said_by("gc")
    assert status == 0 and removed.replace("were", "would be") == listed
    gone = before - {p for p in (made.where, made.site.state_dir) for p in p.rglob("*")}
    assert {part, lease, torn} < gone
    rest = gone - {part, lease, torn}
    assert rest and all({"logs", "results"} & set(path.relative_to(closed[0].parent).parts) for path in rest)
    assert made.submit().complete and made.status().total == {"done": 4}
    assert made.said_by("gc")[1] == "0 were removed\n"


def test_mistakes_on_the_command_line_are_one_clear_line(make_farm, tmp_path, monkeypatch):
    made = make_farm("local", 1)
    (tmp_path / "broken_tasks.py").write_text("nothing\n")
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}:{tmp_path}")
    for words, expected in [
        (("submit",), "which task?"),
        (("submit", "--module", "no_such_module", "X"), "cannot be imported"),
        (("submit", "--module", "broken_tasks", "X"), "NameError: name 'nothing' is not defined (/"),
        (("submit", "--module", "farm_tasks", "Summ"), "Summ"),
        (("submit", "--module", "farm_tasks", "Sum", "--count", "x"), "count"),
        (("plan", "--module", "farm_tasks", "Sum", "--cuont", "3"), "cuont"),
        (("explain", "nothing"), "there is no campaign"),
        (("retry",), "which tasks?"),
        (("--site", "/nowhere.toml", "status"), "config/sites"),
    ]:
        status, text = made.said_by(*words)
        assert status == 2, text
        assert expected in text and "Traceback" not in text and len(text.strip().splitlines()) == 1, text
