"""
Write the pages of the documentation that follow from the code: commands, tasks, columns, configuration keys.

Run with ``python docs/reference``; with ``--check`` nothing is written, and the status is 1 if a page is old.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from column_page import column_page
from command_page import command_page
from key_tables import with_key_tables
from task_page import task_page

DOCS = Path(__file__).resolve().parents[1]
#: What makes the text of a page, from the text that it has now.
PAGES: dict[str, Callable[[str], str]] = {
    "commands.md": lambda _: command_page(),
    "tasks.md": lambda _: task_page(),
    "columns.md": lambda _: column_page(),
    "configuration.md": with_key_tables,
}


def old_pages(*, renew: bool) -> list[str]:
    """Return the names of the pages that are not what the code says; renew them if asked to."""
    old = []
    for name, make in PAGES.items():
        path = DOCS / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = make(before)
        if after != before:
            old.append(name)
            if renew:
                path.write_text(after, encoding="utf-8")
    return old


def main() -> None:
    """Renew the pages, or only look."""
    check = sys.argv[1:] == ["--check"]
    for name in (old := old_pages(renew=not check)):
        sys.stderr.write(
            f"docs/{name}: {'is old; renew it with python docs/reference' if check else 'renewed'}\n"
        )
    sys.exit(1 if check and old else 0)


if __name__ == "__main__":
    main()
