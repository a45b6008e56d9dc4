"""Pieces of Markdown."""

import re
from collections.abc import Iterable, Sequence

__all__ = ["cell", "code", "fenced", "markdown_table", "prose"]


def cell(text: object) -> str:
    """Return text that can stand in a table: on one line, without bars and tags."""
    line = " ".join(str(text).split())
    return line.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def code(text: object) -> str:
    """Return text as code; bars in it would end the cell of a table."""
    return f"`{text}`" if str(text) else ""


def fenced(text: str) -> str:
    """Return lines as a block of code."""
    return f"```text\n{text.rstrip()}\n```\n"


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def prose(text: str) -> str:
    """Return a docstring's text as Markdown: double backquotes become single ones."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)
