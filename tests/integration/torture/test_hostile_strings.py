"""Strings from outside are data: in headers, file names, corrections, settings and task parameters."""

import json
import os
from html.parser import HTMLParser

import pytest

from sst1m.simulation.broken import HOSTILE_TARGETS

MARKUP = (
    "<script>alert(1)</script>_W1_84.4_21.9",
    '"><img src=x onerror=alert(1)>_W1_84.4_21.9',
    "Crab_W1_84.4_21.9 </td></table><b>",
    "Crab&lt;script&gt;_W1_84.4_21.9",
    "{{7*7}}_W1_84.4_21.9",
    "Crab_W1_84.4_21.9\x00\x1b[31m",
    "=cmd|'/C calc'!A0",
    "Crab_$(touch${IFS}gotcha)_84.4_21.9",
    "Crab_`touch gotcha`_84.4_21.9",
)
FILE_NAMES = (
    "$(touch gotcha).fits.fz",
    "`touch gotcha`.fits.fz",
    "SST1M1_20240304_0042.fits.fz;touch gotcha",
    "-rf",
    "<img src=x onerror=alert(1)>.fits.fz",
    "line\nbreak, and a comma.fits.fz",
)
REASON = '<script>alert(2)</script> " onmouseover="alert(3) $(touch gotcha)'


class _Tags(HTMLParser):
    """Notes every element and attribute that a browser would see."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def hostile(make_night, warm):
    night = make_night()
    night.add(21, 1)
    for run, target in enumerate((*HOSTILE_TARGETS, *MARKUP), start=2):
        night.add(21, run, target.replace("\\x00", "\x00"))
    for name in FILE_NAMES:
        (night.path(21, 1).parent / name).write_bytes(b"nothing")
    night.layout.root.mkdir(parents=True)
    quoted = '"' + REASON.replace('"', '""') + '"'
    night.layout.corrections.write_text(f"tel,run,exclude,reason\n21,2,true,{quoted}\n")
    command = warm(night, before=lambda: os.environ.update(DATABASE_PASSWORD="s3cr3t-word"))
    night.status, night.text = command.wait(), command.text()
    return night


def test_the_good_run_is_done_and_every_other_one_has_a_state(hostile):
    assert hostile.status in (20, 30), hostile.text
    assert "Traceback" not in hostile.text and "\x1b" not in hostile.text
    manifest = hostile.manifest()
    assert len(manifest) == 1 + len(HOSTILE_TARGETS) + len(MARKUP) + len(FILE_NAMES)
    assert hostile.row(21, 1)["state"] == "done"
    assert all(row["state"] == "done" or row["reason"] for row in manifest.values())


def test_no_variable_of_the_shell_is_written_down(hostile):
    files = [path for path in hostile.ana.rglob("*") if path.is_file()]
    assert len(files) > 10 and [path for path in files if b"s3cr3t" in path.read_bytes()] == []
    assert "s3cr3t" not in hostile.text


def test_no_string_became_a_path_or_a_command(hostile):
    outside = {path.name for path in hostile.base.iterdir()} - {"raw", "ana", "config.json", "luigi.cfg"}
    assert all(name.startswith("output") for name in outside)
    assert not [path for path in hostile.base.rglob("*") if path.name in ("gotcha", "x", "etc", "passwd")]
    targets = {path.name for path in hostile.layout.root.iterdir() if path.is_dir()}
    assert all(name.replace("_", "").replace("-", "").replace("+", "").isalnum() for name in targets - {"."}
               if not name.startswith("."))  # fmt: skip


def test_no_string_became_part_of_a_page(hostile):
    pages = sorted(hostile.ana.rglob("*.html"))
    assert pages, "the night has a page, whatever is in it"
    for page in pages:
        tags = _Tags()
        tags.feed(page.read_text())
        assert not [tag for tag, _ in tags.found if tag in ("script", "iframe", "object", "embed", "form")]
        names = {name for _, attributes in tags.found for name in attributes}
        assert not [name for name in names if name.startswith("on")]
        sources = [attributes.get("src", "") for tag, attributes in tags.found if tag == "img"]
        assert all(source.startswith("data:") for source in sources)
        links = [attributes.get("href", "") for tag, attributes in tags.found if tag == "a"]
        assert not [link for link in links if link.lower().startswith(("javascript:", "data:"))]
    assert "alert(2)" in pages[0].read_text(), "the reason itself is shown, as text"
    for path in hostile.ana.rglob("*.json"):
        json.loads(path.read_text())


@pytest.mark.parametrize(
    "options",
    [
        ("--targets", "$(touch gotcha)"),
        ("--targets", "../../etc"),
        ("--until", "dl1;touch gotcha"),
        ("--date", "2024-03-04;touch gotcha"),
        ("--date", "../../2024-03-04"),
        ("--no-such-option", "x"),
    ],
)
def test_hostile_parameters_are_one_line(made_night, options):
    made_night.add(21, 1)
    done = made_night.run(*options)
    assert done.returncode not in (0, 1), done
    assert "Traceback" not in done.stderr, done.stderr
    assert not list(made_night.base.rglob("gotcha"))


@pytest.mark.parametrize("key", ["root_dir", "ana_dir", "config_file"])
def test_hostile_settings_are_one_line(made_night, key):
    made_night.add(21, 1)
    text = made_night.luigi_cfg.read_text().splitlines()
    wrong = [f"{key} = $(touch gotcha)/`id`/../<b>" if line.startswith(key) else line for line in text]
    made_night.luigi_cfg.write_text("\n".join(wrong))
    done = made_night.run()
    assert done.returncode in (30, 35), done
    assert "Traceback" not in done.stderr, done.stderr
    assert not list(made_night.base.rglob("gotcha"))
