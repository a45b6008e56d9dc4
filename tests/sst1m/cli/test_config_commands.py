"""The commands around configuration files."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sst1m.cli.config import config_group
from sst1m.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "config"
DATA_FILE, MC_FILE = str(CONFIG / "sst1m_data_config.json"), str(CONFIG / "sst1m_mc_config.json")


def run(*arguments):
    return CliRunner().invoke(config_group, list(arguments))


def test_check_names_every_bad_file(tmp_path):
    assert run("check", DATA_FILE, MC_FILE).exit_code == 0
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    result = run("check", str(bad), DATA_FILE, str(tmp_path / "none.json"))
    assert isinstance(result.exception, ConfigError) and result.exception.exit_code == 2
    assert "bad.json: is not JSON" in str(result.exception) and "none.json: no such file" in str(
        result.exception
    )
    assert f"{DATA_FILE}: good, data, fingerprint" in result.output


def test_show_prints_the_effective_configuration():
    shown = json.loads(run("show", DATA_FILE).output)
    assert shown["DataWriter"]["write_images"] == "all"
    fingerprint = run("show", "--fingerprint-only", DATA_FILE).output.strip()
    assert len(fingerprint) == 64


def test_diff_tells_by_its_exit_code(tmp_path):
    assert run("diff", DATA_FILE, DATA_FILE).exit_code == 0
    assert run("diff", "--shared", DATA_FILE, MC_FILE).exit_code == 0
    document = json.loads(Path(DATA_FILE).read_text())
    document["analysis"]["gamma_efficiency"] = 0.5
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    result = run("diff", DATA_FILE, str(other))
    assert (result.exit_code, result.output) == (1, "analysis.gamma_efficiency: 0.7 -> 0.5\n")
    result = run("diff", DATA_FILE, MC_FILE)
    assert (
        result.exit_code == 1
        and 'stereo.event_matching_method: "WhiteRabbitClosest" -> (absent)' in result.output
    )


@pytest.mark.parametrize("kind", ["data", "mc"])
def test_keys_lists_the_kind(kind):
    output = run("keys", "--kind", kind).output
    assert ("`analysis.n_bins_migration`" in output) == (kind == "mc")


@pytest.mark.parametrize("command", ["check", "show", "diff", "keys"])
def test_help_shows_an_example(command):
    assert f"sst1m config {command}" in run(command, "--help").output
