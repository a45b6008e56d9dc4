"""OpenPBS and Torque: what their real answers mean, and the words that they are given."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from submit.backends import make_backend, openpbs, torque
from submit.backends.pbs import split_id
from submit.errors import SchedulerError
from submit.site import load_site

SITES = Path(__file__).parents[2] / "config" / "sites"


@pytest.fixture
def recorded(shared_data):
    """Return a function that gives a real answer of OpenPBS: text and exit status."""

    def read(name):
        text = (shared_data / "openpbs" / f"{name}.txt").read_text()
        status = re.search(r"\[exit (\d+)\]\s*$", text)
        body = re.sub(r"\[exit \d+\]\s*$", "", re.sub(r"^\$ .*\n", "", text))
        return body, int(status[1]) if status else 0

    return read


@pytest.fixture
def answering(tmp_path, monkeypatch):
    """Return a function that lets a command of PBS give a recorded answer, and note what it was asked."""

    def plant(command, text, status=0, stderr=""):
        directory = tmp_path / "bin"
        directory.mkdir(exist_ok=True)
        (tmp_path / f"{command}.out").write_text(text)
        (tmp_path / f"{command}.err").write_text(stderr)
        (directory / command).write_text(
            f'#!/bin/bash\nprintf "%s\\n" "$*" >> "{tmp_path}/{command}.asked"\n'
            f'cat "{tmp_path}/{command}.err" >&2\ncat "{tmp_path}/{command}.out"\nexit {status}\n'
        )
        (directory / command).chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
        return tmp_path / f"{command}.asked"

    return plant


def test_ids():
    assert split_id("107.pbsbox") == ("107.pbsbox", None)
    assert split_id("107[].pbsbox") == ("107[].pbsbox", None)
    assert split_id("107[3].pbsbox") == ("107[].pbsbox", 3)
    with pytest.raises(SchedulerError, match="not the id of a job"):
        split_id("qsub: Unknown queue")


def test_a_finished_array_with_one_failure(recorded, answering, make_site):
    asked = answering("qstat", recorded("array_finished_json")[0])
    backend = make_backend(make_site("openpbs"))
    state = backend.query(["107[].pbsbox", "99.pbsbox"])
    elements = state["107[].pbsbox"].elements
    assert [(e.phase, e.reason, e.exit_code) for e in elements.values()] == [
        ("ended", "ok", 0), ("ended", "ok", 0), ("ended", "failed", 7), ("ended", "ok", 0),
        ("ended", "ok", 0),
    ]  # fmt: skip
    assert list(elements) == [0, 1, 2, 3, 4] and elements[2].node == "pbsbox"
    assert not state["99.pbsbox"].known
    assert asked.read_text() == "-x -t -f -F json 107[].pbsbox 99.pbsbox\n"


@pytest.mark.parametrize(
    ("name", "native", "expected"),
    [
        ("array_running_json", "107[].pbsbox", ("queued", None)),
        ("walltime_json", "109.pbsbox", ("ended", "timeout")),
        ("killed_json", "110.pbsbox", ("ended", "cancelled")),
        ("dependent_held_json", "108.pbsbox", ("queued", None)),
        ("dependent_finished_json", "108.pbsbox", ("ended", "ok")),
    ],
)
def test_states_of_real_jobs(recorded, answering, make_site, name, native, expected):
    answering("qstat", recorded(name)[0])
    state = make_backend(make_site("openpbs")).query([native])[native]
    assert {(element.phase, element.reason) for element in state.elements.values()} == {expected}


def test_a_server_without_history_and_unknown_jobs(recorded, answering, make_site):
    text, status = recorded("qstat_unknown")
    answering("qstat", "", status, stderr=text)
    assert not make_backend(make_site("openpbs")).query(["99999.pbsbox"])["99999.pbsbox"].known
    asked = answering("qstat", "PBS is not configured to maintain job history\n")
    asked.unlink()
    make_backend(make_site("openpbs")).query(["1.pbsbox"])
    assert [line.split()[0] for line in asked.read_text().splitlines()] == ["-x", "-t"]


def test_limits_of_the_real_server(recorded, answering, make_site):
    answering("qstat", recorded("server")[0])
    limits = make_backend(make_site("openpbs")).limits()
    assert (limits.max_array_size, limits.remembers_s) == (10000, 86400.0)
    limits = make_backend(make_site("openpbs", queue={"max_array_size": 500})).limits()
    assert limits.max_array_size == 500


def test_submitted_and_found_by_name(recorded, answering, make_site, make_job):
    answering("qselect", recorded("select_by_name")[0])
    asked = answering("qsub", recorded("qsub_array")[0])
    site = make_site("openpbs", queue={"name": "grid", "max_running": 2})
    backend = make_backend(site)
    assert (
        backend.submit(make_job(backend, n_elements=5, depends_on=("3[].pbsbox", "4.pbsbox")))
        == "107[].pbsbox"
    )
    words = asked.read_text()
    assert " -J 0-4%2 " in words and " -q grid " in words
    assert " -W depend=afterany:3[].pbsbox:4.pbsbox " in words
    assert " -l select=1:ncpus=1:mem=100mb -l walltime=00:10:00 " in words
    assert backend.find(["sst1m.demo.dl1"]) == {"sst1m.demo.dl1": "107[].pbsbox"}
    # A range of one element is refused by OpenPBS.
    assert "-J" not in backend.arguments(make_job(backend, n_elements=1))


@pytest.mark.parametrize(
    "name", ["qsub_bad_queue", "qsub_bad_resource", "qsub_too_large", "qsub_single_range"]
)
def test_refusals_say_why(recorded, answering, make_site, make_job, name):
    text, status = recorded(name)
    answering("qselect", "")
    answering("qsub", "", status, stderr=text)
    backend = make_backend(make_site("openpbs"))
    with pytest.raises(SchedulerError, match="qsub: .*settings of the site"):
        backend.submit(make_job(backend, n_elements=5))


def test_deleting_what_has_ended_is_no_error(recorded, answering, make_site):
    text, status = recorded("qstat_unknown")
    asked = answering("qdel", "", status, stderr=text)
    make_backend(make_site("openpbs")).cancel(["107[].pbsbox", "3.pbsbox"])
    assert asked.read_text() == "107[].pbsbox 3.pbsbox\n"


TORQUE = """<?xml version="1.0"?>
<Data>
<Job><Job_Id>12[0].srv</Job_Id><job_state>C</job_state><exec_host>n1/0+n1/1</exec_host><exit_status>0</exit_status></Job>
<Job><Job_Id>12[1].srv</Job_Id><job_state>C</job_state><exec_host>n2/0</exec_host><exit_status>-11</exit_status></Job>
<Job><Job_Id>12[2].srv</Job_Id><job_state>R</job_state><exec_host>n2/1</exec_host></Job>
<Job><Job_Id>12[3].srv</Job_Id><job_state>Q</job_state></Job>
<Job><Job_Id>12[4].srv</Job_Id><job_state>C</job_state><exit_status>271</exit_status></Job>
<Job><Job_Id>12[5].srv</Job_Id><job_state>?</job_state></Job>
</Data>"""


def test_torque_states():
    elements = torque.read_jobs(TORQUE)["12[].srv"].elements
    assert [(e.phase, e.reason, e.node) for e in elements.values()] == [
        ("ended", "ok", "n1"), ("ended", "timeout", "n2"), ("running", None, "n2"), ("queued", None, ""),
        ("ended", "cancelled", ""), ("queued", None, ""),
    ]  # fmt: skip
    with pytest.raises(SchedulerError, match="no XML"):
        torque.read_jobs("qstat: broken")
    with pytest.raises(SchedulerError, match="no JSON"):
        openpbs._json(openpbs.Answer(("qstat",), 0, "{broken", ""))


def test_torque_words(make_site, make_job):
    backend = make_backend(make_site("torque"))
    words = backend.arguments(make_job(backend, n_elements=1, depends_on=("3[].srv",)))
    assert words[words.index("-t") + 1] == "0-0"
    assert (
        words[words.index("-l") + 1] == "nodes=1:ppn=1,mem=100mb,walltime=00:10:00" and words.count("-l") == 1
    )
    assert words[words.index("-W") + 1] == "depend=afteranyarray:3[].srv"


def test_the_torque_style_wrapper_of_slurm_accepts_the_words(slurm, make_site, make_job):
    """Shows no more than that a program of this style takes the command line."""
    qsub = shutil.which("qsub")
    if qsub is None or "slurm" not in Path(qsub).read_text(errors="replace").lower():
        pytest.skip("no Torque-style wrapper of Slurm here: apt-get install slurm-wlm-torque")
    backend = make_backend(make_site("torque"))
    job = make_job(backend, n_elements=2)
    (job.directory / "logs").mkdir()
    done = subprocess.run(backend.arguments(job), capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip().isdigit(), done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(SITES.glob("*.toml")), ids=lambda path: path.stem)
def test_templates_of_sites_are_valid_and_show_the_defaults(path):
    site = load_site(path)
    assert site.backend == path.stem and make_backend(site).name == path.stem
    for table in ("queue", "node", "plan", "notify"):
        given = getattr(site, table)
        expected = type(given)()
        if path.stem == "local" and table == "node":
            expected = expected.model_copy(update={"latency_s": 0.0})
        assert given == expected
