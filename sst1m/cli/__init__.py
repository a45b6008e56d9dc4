"""Command line: single steps of the pipeline by hand."""

import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import Sst1mError
from .config import config_group
from .demo import demo
from .dl1_dl2 import dl1_dl2
from .dl1_stereo import dl1_stereo
from .dl2_dl3 import dl2_dl3
from .event_classes import event_classes
from .index import index
from .make_irfs import make_irfs
from .merge import merge
from .performance import performance
from .photon_list import photon_list
from .quicklook import quicklook
from .r0_dl1 import r0_dl1
from .simulate import simulate_group
from .train_rfs import train_rfs
from .train_rfs_misdirection import train_rfs_misdirection

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sst1m")
def cli() -> None:
    """
    Run single steps of the SST-1M pipeline by hand.

    Whole nights run as a Luigi graph:

    \b
        luigi --module tasks RunNight --date 2024-03-04
        luigi --module tasks MakeProduction --production demo
    """


COMMANDS = (
    config_group,
    demo,
    dl1_dl2,
    dl1_stereo,
    dl2_dl3,
    event_classes,
    index,
    make_irfs,
    merge,
    performance,
    photon_list,
    quicklook,
    r0_dl1,
    simulate_group,
    train_rfs,
    train_rfs_misdirection,
)
for command in COMMANDS:
    cli.add_command(command)


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
