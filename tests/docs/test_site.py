"""The documentation builds without a warning, is current, and asks the network for nothing."""

import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import markdown
import pytest
import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
#: Elements that a browser fetches by itself, and where from.
_FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


def _commands(command: click.Command, name: str) -> dict[str, click.Command]:
    """Return all commands that do something, by their full names."""
    if not isinstance(command, click.Group):
        return {name: command}
    return {
        k: v for part, sub in command.commands.items() for k, v in _commands(sub, f"{name} {part}").items()
    }


class _Page(HTMLParser):
    """What a page fetches, and the links and names in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if _FETCHED.get(tag) in values:
            self.fetched.append(values[_FETCHED[tag]])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        self.names.add(values.get("id", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site as `make docs` does."""
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    # with --quiet it would not see its own warnings
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return directory


def test_generated_pages_are_current():
    command = [sys.executable, "docs/reference", "--check"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_every_page_is_built_and_found_by_the_search(site):
    for page in PAGES:
        assert (site / f"{page.stem}.html").is_file()
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    assert "camera_frame_hillas_intensity" in index
    assert "quarantine" in index


def test_nothing_comes_from_the_network(site):
    for path in site.glob("*.html"):
        assert [url for url in _Page(path).fetched if re.match(r"(https?:)?//", url)] == [], path.name
    for path in site.rglob("*.css"):
        urls = re.findall(r"url\(\s*['\"]?([^)'\"]+)", path.read_text(encoding="utf-8"))
        assert not [url for url in urls if re.match(r"(https?:)?//", url)], path.name


def test_links_lead_somewhere(site):
    pages = {path.name: _Page(path) for path in site.glob("*.html") if path.name != "404.html"}
    for name, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            assert (site / (target or name)).exists(), f"{name}: {link}"
            if anchor and (target or name) in pages:
                assert anchor in pages[target or name].names, f"{name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_look_here_as_on_a_forge(page):
    """Lists and tables that only one dialect of Markdown sees would be lines of text in the other."""
    extensions = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["markdown_extensions"]
    names = [name if isinstance(name, str) else next(iter(name)) for name in extensions]
    text = page.read_text(encoding="utf-8")
    ours = markdown.markdown(text, extensions=[name for name in names if name != "codehilite"])
    theirs = MarkdownIt("gfm-like", {"linkify": False}).disable("linkify").render(text)
    for tag in ("<li", "<table", "<tr", "<pre", "<h2", "<h3", "<code"):
        assert ours.count(tag) == theirs.count(tag), tag


def test_files_that_pages_name_exist():
    named = re.compile(r"`((?:tests|benchmarks|config|docs|sst1m|notebooks)/[\w/.-]+\.\w+)`")
    missing = {
        f"{page.name}: {name}"
        for page in PAGES
        for name in named.findall(page.read_text())
        if not (ROOT / name).exists()
    }
    assert missing == set()
    tests = {path.name for path in ROOT.glob("tests/**/test_*.py")}
    named = re.compile(r"`(test_\w+\.py)`")
    assert {name for page in PAGES for name in named.findall(page.read_text())} <= tests


def test_every_command_shows_an_example():
    from sst1m.cli import cli
    from submit.cli import main

    for name, command in (_commands(cli, "sst1m") | _commands(main, "sst1m-submit")).items():
        parts = inspect.cleandoc(command.help or "").split("\n\n")
        examples = "\n".join(part for part in parts if part.startswith("\b"))
        assert name in examples, name
