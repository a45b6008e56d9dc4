"""What the commands of ``sst1m-submit`` have in common: the root task, the site, and explained errors."""

import os
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import click

from submit.errors import SiteError
from submit.root import Root
from submit.site import Site, find_site, load_site

__all__ = ["explained", "root_of", "root_options", "site_of"]


def explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an error that explains itself be one line, and its exit code that of the command."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("interrupted; the same command goes on from here", err=True)
            click.get_current_context().exit(130)
        except Exception as error:
            code = getattr(error, "exit_code", None)
            if not isinstance(code, int) or isinstance(error, click.ClickException):
                raise
            click.echo(f"ERROR: {error}", err=True)
            click.get_current_context().exit(code)

    return update_wrapper(wrapper, function)


def root_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take a root task as luigi's own command line does."""
    module = click.option(
        "--module", default=lambda: os.environ.get("SST1M_SUBMIT_MODULE", "tasks"), show_default="tasks",
        help="Python module that defines the task.",
    )  # fmt: skip
    words = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[TASK [--PARAMETER VALUE]...]")
    return module(words(function))


def site_of(context: click.Context) -> Site:
    """Return the settings that the command was given, or those that it finds."""
    site = load_site(find_site(context.obj))
    site.share()
    return site


def root_of(module: str, words: tuple[str, ...]) -> Root:
    """Return the task that the words of a command name; `SiteError` where there are none."""
    if not words:
        raise SiteError("which task? e.g. RunNight --date 2024-03-04; luigi's own parameters follow the name")
    return Root.parse(module, words)
