"""Train the forest that predicts how far off a direction is, by hand."""

from pathlib import Path

import click

from ..errors import InputError
from ..logs import run_log
from .progress import tell_step

__all__ = ["train_rfs_misdirection"]


@click.command(name="train-rfs-misdirection")
@click.option(
    "--input-file-gamma",
    "--fg",
    "gamma",
    required=True,
    type=click.Path(path_type=Path),
    help="Diffuse gamma rays, DL2 of simulations that the other forests were not trained with.",
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
    help="Directory of the node, by its name: models_misdirection/ze20_az180_nsb100.",
)
@click.option("--plot-features", is_flag=True, help="Plot the importances of the features as PNG.")
def train_rfs_misdirection(gamma: Path, config_file: Path, output_dir: Path, plot_features: bool) -> None:
    """
    Train the forest that predicts how far off the direction of an event is.

    Writes reg_misdirection_stereo.sav (or _tel_001, _tel_002) and last its card. The command event-classes
    divides events by what it predicts. Neither edges nor responses should come from the same events: to
    these the forest has adapted.

    \b
    Example:
        sst1m train-rfs-misdirection --fg gamma_test_a_dl2.h5 -c config/sst1m_mc_config.json \\
            -o models_misdirection/ze20_az180_nsb100 --plot-features
    """
    if not gamma.is_file():
        raise InputError(f"{gamma}: there is no such file; check the path")
    from ..config import load_config
    from ..reco.misdirection import STEM, train_misdirection

    heading = {"gammas": gamma, "configuration": config_file, "directory": output_dir}
    with run_log(output_dir / "sst1m_rfs_mis_training.log", heading) as lines:
        tell_step("training")
        summary = train_misdirection(
            gamma, output_dir, config=load_config(config_file), plot_features=plot_features
        )
        counts = ", ".join(f"{name} {number}" for name, number in summary.card.training["counts"].items())
        forest = summary.card.forests[STEM]
        line = (
            f"{summary.path}: {summary.card.node}, {counts}; {forest.n_trees} trees, {forest.n_nodes} nodes, "
            f"{forest.size / 1e6:.1f} MB, {forest.events_per_second:.0f} events/s; {summary.seconds:.1f} s"
        )
        lines.result(line)
    click.echo(line)
