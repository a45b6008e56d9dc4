"""How far a long command is, on a terminal; where there is none, nothing is said."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import click

__all__ = ["adding_up", "on_terminal", "progress_bar", "progress_steps", "tell_step"]

_WIDTH = 24


def on_terminal() -> bool:
    """Return whether somebody watches: standard error is a terminal."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left; what is yielded takes how many are done, and of how many."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not on_terminal()) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show


def adding_up(show: Callable[[int, int], object], total: int | None = None) -> Callable[[int], None]:
    """Return what takes how many more are done, and shows the sum; without a total as all there are."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        show(done, total or done)

    return count


def progress_steps() -> Callable[[str, int, int], None]:
    """Return what shows the steps of a command, each with a bar: its name, how many are done, of how many."""

    def show(what: str, done: int, total: int) -> None:
        if on_terminal():
            filled = _WIDTH * done // max(total, 1)
            end = "\n" if done >= total else ""
            bar = "#" * filled + "-" * (_WIDTH - filled)
            click.echo(f"\r\x1b[K  [{bar}] {what}{end}", nl=False, err=True)

    return show


def tell_step(what: str) -> None:
    """Say which step begins, for steps of which nobody knows the length."""
    if on_terminal():
        click.echo(f"  {what} ...", err=True)
