"""What MkDocs does besides: files of the project that pages link to, and the colours of code."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
#: Where files that lie outside of ``docs`` come to on the site.
PROJECT = "project"
_OUTSIDE = re.compile(r"(?<=\]\()\.\./([^)\s#]+)")


def _linked_files() -> set[str]:
    """Return the files of the project outside of ``docs`` that any page links to."""
    pages = (path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md"))
    return {link for text in pages for link in _OUTSIDE.findall(text) if (ROOT / link).is_file()}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that pages link to, and the style sheets of code, light and dark."""
    for link in sorted(_linked_files()):
        # as plain text, which every browser shows
        name = f"{PROJECT}/{link}" if link.endswith(".ipynb") else f"{PROJECT}/{link}.txt"
        files.append(File.generated(config, name, content=(ROOT / link).read_bytes()))
    files.append(File.generated(config, "style/code.css", content=_code_style()))
    return files


def _code_style() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".codehilite")
    dark = HtmlFormatter(style="github-dark").get_style_defs('[data-bs-theme="dark"] .codehilite')
    return f"{light}\n{dark}\n"


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links out of ``docs`` lead to the copies on the site."""

    def target(match: re.Match[str]) -> str:
        path = f"{PROJECT}/{match[1]}"
        return path if match[1].endswith(".ipynb") else f"{path}.txt"

    return _OUTSIDE.sub(target, markdown)
