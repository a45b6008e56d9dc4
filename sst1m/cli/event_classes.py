"""Divide events into classes of like angular resolution, by hand."""

from pathlib import Path

import click

from ..errors import InputError
from .progress import tell_step

__all__ = ["event_classes"]

_PATH = click.Path(path_type=Path)


@click.command(name="event-classes")
@click.option("--input-file", "-f", required=True, type=_PATH, help="DL2 file of data or of simulations.")
@click.option("--config", "-c", "config_file", required=True, type=_PATH, help="Analysis JSON, as the file.")
@click.option(
    "--mis-models-dir",
    required=True,
    type=_PATH,
    help="Misdirection forests: one directory per node, or that of the only node.",
)
@click.option(
    "--mis-edges-dir",
    type=_PATH,
    help="Edges of the classes: one directory per node, or that of the only node; derived without it.",
)
@click.option("--output-dir", "-o", type=_PATH, default=Path("."), show_default=True)
def event_classes(
    input_file: Path, config_file: Path, mis_models_dir: Path, mis_edges_dir: Path | None, output_dir: Path
) -> None:
    """
    Divide events into four classes by the misdirection that a forest predicts, 1 being the best.

    Without --mis-edges-dir the edges of the classes are derived: quartiles in each bin of reconstructed
    energy of simulated gamma rays, as misdirection_edges_stereo.h5. With it a DL2 file of the same name is
    written into the output directory, with the column event_type (0: no class). The input is never changed.

    \b
    Examples:
        sst1m event-classes -f gamma_test_b_dl2.h5 -c config/sst1m_mc_config.json \\
            --mis-models-dir models_misdirection -o edges/ze20_az180_nsb100
        sst1m event-classes -f dl2/SST1M_stereo_dl2.h5 -c config/sst1m_data_config.json \\
            --mis-models-dir models_misdirection --mis-edges-dir edges -o dl2_classes
    """
    if not input_file.is_file():
        raise InputError(f"{input_file}: there is no such file; check the path")
    from ..config import load_config
    from ..irf.event_classes import classify_file, make_edges

    config = load_config(config_file)
    tell_step(f"predicting the misdirection of {input_file.name}")
    if mis_edges_dir is None:
        path = make_edges(input_file, output_dir, config=config, models_dir=mis_models_dir)
        click.echo(f"{path}: edges of the event classes")
        return
    output = output_dir / input_file.name
    counts = classify_file(
        input_file, output, config=config, models_dir=mis_models_dir, edges_dir=mis_edges_dir
    )
    listed = ", ".join(f"{number} of class {name}" for name, number in counts.items())
    click.echo(f"{output}: {listed}")
