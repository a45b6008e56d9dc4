"""Pages as their readers get them: what the HTML says, and what a real browser makes of it."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

WIDTHS = (390, 1280)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1800,900", "--dump-dom"),
)
#: Runs in the page: opens what is folded, then tells the outer page what it needs and what it holds.
_PROBE = """
document.querySelectorAll('details').forEach(d => d.open = true);
const parts = [...document.querySelectorAll('section')].map(s => [s.querySelector('h2').innerText,
  s.innerText.length - s.querySelector('h2').innerText.length,
  [...s.querySelectorAll('svg.chart, svg.camera')].every(g => g.getBoundingClientRect().width > 100)]);
const found = {width: innerWidth, needed: document.documentElement.scrollWidth, parts: parts};
parent.document.body.insertAdjacentHTML('beforeend', '<pre></pre>');
parent.document.body.lastChild.textContent = JSON.stringify(found);
"""


@dataclass(frozen=True)
class Opened:
    """
    A page as a browser shows it.

    Parameters
    ----------
    needed : dict of int to int
        Width that the page takes, by the width of the window [px].
    parts : dict of str to int
        Letters in each section below its heading.
    drawn : bool
        Whether all graphics have a size.
    messages : list of str
        Errors and warnings on the console of the browser.
    """

    needed: dict[int, int]
    parts: dict[str, int]
    drawn: bool
    messages: list[str]


def find_browser() -> str:
    """Return a Chromium, or skip the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here, so no page was opened in a browser: apt-get install chromium")
    return found


def open_page(page: Path, directory: Path) -> Opened:
    """Open a page in frames as wide as a telephone and as a screen; a window cannot be made so narrow."""
    chromium = find_browser()
    text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{_PROBE}</script></body>")
    frames = [
        f'<iframe style="width: {width}px; height: 800px; border: 0" srcdoc="{html.escape(text)}"></iframe>'
        for width in WIDTHS
    ]
    outer = directory / "frames.html"
    outer.write_text(f'<!doctype html><meta charset="utf-8"><body>{"".join(frames)}</body>', encoding="utf-8")
    command = [chromium, *_FLAGS, f"--user-data-dir={directory / 'profile'}", outer.as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = [json.loads(html.unescape(text)) for text in re.findall(r"<pre>(.*?)</pre>", run.stdout, re.S)]
    return Opened(
        needed={one["width"]: one["needed"] for one in found},
        parts={title.strip(" !\n"): letters for title, letters, _ in found[0]["parts"]},
        drawn=all(drawn for one in found for _, _, drawn in one["parts"]),
        messages=[line for line in run.stderr.splitlines() if "CONSOLE" in line],
    )


class Reader(HTMLParser):
    """Collects what a browser would."""

    VOID = frozenset({"meta", "br", "hr"})

    def __init__(self):
        super().__init__()
        self.open, self.unbalanced = [], []
        self.ids, self.links, self.references, self.headings, self.text = [], [], [], [], []

    def handle_starttag(self, name, attributes):
        values = dict(attributes)
        if name not in self.VOID:
            self.open.append(name)
        if "id" in values:
            self.ids.append(values["id"])
        if name == "a":
            self.links.append(values["href"])
        self.references += [values[key] for key in ("src", "xlink:href", "data", "action") if key in values]
        if name in ("script", "link", "iframe", "object", "img"):
            self.references.append(name)

    def handle_startendtag(self, name, attributes):
        self.handle_starttag(name, attributes)
        if name not in self.VOID:
            self.open.pop()

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.unbalanced.append(name)

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data.strip())


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader


def broken_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    content = read(page)
    return [
        target
        for target in content.links
        if not (target[1:] in content.ids if target[0] == "#" else (page.parent / unquote(target)).is_file())
    ]
