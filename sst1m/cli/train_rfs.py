"""Train the forests of one telescope by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import InputError
from ..logs import run_log
from ..nodes import Node
from .progress import progress_steps

if TYPE_CHECKING:
    from ..reco.training import TrainingSummary

__all__ = ["train_rfs"]


@click.command(name="train-rfs")
@click.option(
    "--input-file-gamma",
    "--fg",
    "gamma",
    required=True,
    type=click.Path(path_type=Path),
    help="Diffuse gamma rays, DL1 of simulations.",
)
@click.option(
    "--input-file-proton",
    "--fp",
    "proton",
    type=click.Path(path_type=Path),
    help="Protons; without them no particle forest, and DL1 to DL2 refuses the models.",
)
@click.option(
    "--config",
    "-c",
    "config_file",
    required=True,
    type=click.Path(path_type=Path),
    help="Analysis JSON of MC.",
)
@click.option(
    "--output-dir",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("."),
    show_default=True,
    help="Directory of the node, by its name: models_mono/ze20_az180_nsb100.",
)
@click.option(
    "--telescope",
    "-t",
    type=click.Choice(["tel_001", "tel_002"]),
    default="tel_001",
    show_default=True,
    help="Whose forests.",
)
@click.option("--stereo", is_flag=True, help="For images of both telescopes, with their common geometry.")
@click.option("--plot-features", is_flag=True, help="Plot the importances of the features as PNG.")
@click.option("--node", "node_name", help="Like ze20_az180_nsb100; from the gamma file where left out.")
def train_rfs(
    gamma: Path,
    proton: Path | None,
    config_file: Path,
    output_dir: Path,
    telescope: str,
    stereo: bool,
    plot_features: bool,
    node_name: str | None,
) -> None:
    """
    Train the random forests of one telescope: energy, disp and particle.

    Writes reg_energy_tel_001.sav and so on, and last the card card_tel_001.json, which says what they were
    made from and lets DL1 to DL2 refuse forests that do not fit.

    \b
    Examples:
        sst1m train-rfs --fg gamma_train_dl1.h5 --fp proton_train_dl1.h5 -c config/sst1m_mc_config.json \\
            -t tel_001 -o models_mono/ze20_az180_nsb100 --plot-features
        sst1m train-rfs --fg gamma_train_dl1.h5 --fp proton_train_dl1.h5 -c config/sst1m_mc_config.json \\
            -t tel_002 --stereo -o models_stereo/ze20_az180_nsb100
    """
    for path in (gamma, proton):
        if path is not None and not path.is_file():
            raise InputError(f"{path}: there is no such file; check the path")
    from ..config import load_config
    from ..reco.training import train_forests

    heading = {"gammas": gamma, "protons": proton, "configuration": config_file, "directory": output_dir}
    log_file = output_dir / f"sst1m_rfs_training_{telescope}.log"
    with run_log(log_file, heading) as lines:
        summary = train_forests(
            gamma,
            proton,
            output_dir,
            config=load_config(config_file),
            telescope=int(telescope.removeprefix("tel_")),
            stereo=stereo,
            node=Node.parse(node_name) if node_name else None,
            plot_features=plot_features,
            progress=progress_steps(),
        )
        for line in _report(summary):
            lines.result(line)
    for line in _report(summary):
        click.echo(line)


def _report(summary: "TrainingSummary") -> Iterator[str]:
    for particle, counts in summary.counts.items():
        yield f"{particle}: " + ", ".join(f"{name} {number}" for name, number in counts.items())
    for stem, card in summary.forests.items():
        events = " and ".join(f"{number} {particle}s" for particle, number in card.n_events.items())
        yield (
            f"{stem}: {card.n_trees} trees, {card.n_nodes} nodes, {card.size / 1e6:.1f} MB, from {events}; "
            f"{card.events_per_second:.0f} events/s"
        )
    yield f"{summary.card}: {summary.node}, {summary.seconds:.1f} s"
