"""Command line: single steps of the pipeline by hand."""

import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import Sst1mError
from .config import config_group
from .demo import demo
from .r0_dl1 import r0_dl1
from .simulate import simulate_group

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sst1m")
def cli() -> None:
    """
    Run single steps of the SST-1M pipeline by hand.

    Whole nights run as a Luigi graph:

    \b
        luigi --module tasks RunNight --date 2024-03-04 --until dl1
    """


cli.add_command(config_group)
cli.add_command(demo)
cli.add_command(r0_dl1)
cli.add_command(simulate_group)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; an error of ours ends in one line and its exit code, never in a traceback."""
    try:
        code = cli.main(arguments, standalone_mode=False)
    except Sst1mError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("aborted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
