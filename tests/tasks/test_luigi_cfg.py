"""The command line and luigi.cfg: mistakes are one clear line and no success, wherever the command starts."""

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

LUIGI = str(Path(sys.executable).with_name("luigi"))
SITE = "[site]\nroot_dir = {0}/raw\nana_dir = {0}/ana\nconfig_file = {1}/config/sst1m_data_config.json\n"


@pytest.fixture
def command(tmp_path, project_root):
    """Run the real command in another directory with a given luigi.cfg."""

    def run(text: str | None, *arguments: str, program: tuple[str, ...] = (LUIGI, "--module", "tasks")):
        if text is not None:
            (tmp_path / "luigi.cfg").write_text(text.format(tmp_path, project_root))
        environment = {key: value for key, value in os.environ.items() if key != "LUIGI_CONFIG_PATH"}
        return subprocess.run(
            [*program, *(arguments or ("RunNight", "--date", "2024-03-04"))],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(project_root)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def assert_one_line(result, *words: str) -> None:
    assert result.returncode not in (0, 1), result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    for word in words:
        assert word in result.stderr


def test_without_luigi_cfg_the_missing_paths_are_named(command):
    result = command(None)
    assert result.returncode == 35
    assert_one_line(
        result, "[site] root_dir, ana_dir, config_file not set", "LUIGI_CONFIG_PATH", "--site-root-dir"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SITE.replace("root_dir", "root_dri"), ("[site] root_dri is unknown; did you mean root_dir?",)),
        (SITE + "[nigth]\ncs1 = true\n", ("section [nigth] is unknown; did you mean night?",)),
        (SITE + "[night]\ncs3 = true\n", ("[night] cs3 is unknown; did you mean cs",)),
        (
            SITE + "[retcode]\ntask_fialed = 1\n",
            ("[retcode] task_fialed is unknown; did you mean task_failed?",),
        ),
        (
            SITE + "[worker]\nkeep_alife = true\n",
            ("[worker] keep_alife is unknown; did you mean keep_alive?",),
        ),
        (SITE.replace("{0}/raw", "{0}/r\0w"), ("[site] root_dir", "NUL")),
        (SITE + "[RunNight]\nuntill = dl1\n", ("[RunNight] untill is unknown; did you mean until?",)),
        (SITE + "[night]\nsettle_minutes = soon\n", ("[night]", "settle_minutes", "soon")),
        (SITE + "[night]\ncs1 = perhaps\n", ("[night]", "cs1", "perhaps")),
        (SITE + "[night]\ncs1 = false\ncs2 = false\n", ("cs1 and cs2 are both false",)),
        (SITE.replace("{0}/raw", "raw"), ("[site] root_dir = raw is not absolute",)),
        (SITE.replace("{0}/raw", "${{NO_SUCH_VARIABLE}}/raw"), ("NO_SUCH_VARIABLE",)),
        (SITE.replace("sst1m_data", "absent"), ("config_file", "absent_config.json", "cannot be read")),
        (SITE.replace("sst1m_data", "sst1m_mc"), ("configuration of simulations",)),
    ],
)
def test_mistakes_in_luigi_cfg_are_named(command, text, words):
    result = command(text)
    assert result.returncode == 35, result.stderr
    assert_one_line(result, *words)


def test_values_for_luigi_itself_are_named(command):
    result = command(SITE + "[core]\nno_lock = perhaps\n")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1), result.stderr
    assert "luigi.cfg, [core]" in result.stderr and "no_lock" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("RunNight", "--date", "yesterday"), ("'yesterday' is not a date", "YYYY-MM-DD")),
        (("RunNight", "--date", "2024-03-04", "--until", "dl9"), ("--until dl9", "dl1, dl2, dl3")),
        (("RunNight", "--date", "2024-03-04"), ("[site] mono_model_dir is not set", "--until dl1")),
        (("RunNights", "--start", "2024-03-05", "--stop", "2024-03-04"), ("the other way round",)),
        (("RunNihgt", "--date", "2024-03-04"), ("RunNihgt", "RunNight")),
        (("RunNight", "--date", "2024-03-04", "--until", "dl1"), ("no raw files of the night 2024-03-04",)),
    ],
)
@pytest.mark.parametrize("program", [(LUIGI, "--module", "tasks"), (sys.executable, "-m", "tasks")])
def test_mistakes_on_the_command_line_are_named(command, arguments, words, program):
    result = command(SITE, *arguments, program=program)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_without_a_date_it_is_last_night(command):
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    result = command(SITE, "RunNight", "--until", "dl1")
    assert f"no raw files of the night {yesterday:%Y-%m-%d}" in result.stderr


def test_nights_without_raw_files_are_named(command):
    nights = ("RunNights", "--start", "2024-03-04", "--stop", "2024-03-09", "--until", "dl1")
    result = command(SITE, *nights)
    assert result.returncode == 0
    assert "0 nights with raw files, 6 skipped" in result.stderr
    assert "skipped: 2024-03-04 to 2024-03-09" in result.stderr


def test_the_shipped_luigi_cfg_is_valid_and_decides_no_path(command, project_root):
    text = (project_root / "luigi.cfg").read_text()
    assert not [line for line in text.splitlines() if "_dir" in line and not line.startswith("#")]
    assert_one_line(
        command(text.replace("{", "{{").replace("}", "}}")), "root_dir, ana_dir, config_file not set"
    )


def test_importing_the_tasks_takes_less_than_a_second(project_root):
    code = (
        "import sys, time; start = time.process_time(); import tasks; print(time.process_time() - start); "
        "print([name for name in ('numpy', 'astropy', 'numba', 'ctapipe', 'gammapy', 'pydantic', 'tables') "
        "if name in sys.modules])"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True
    )
    seconds, heavy = done.stdout.splitlines()
    assert float(seconds) < 1.0
    assert heavy == "[]"
    assert time.monotonic() - start < 20
