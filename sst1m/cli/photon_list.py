"""Make the HDF5 photon list of a DL2 file by hand."""

from pathlib import Path

import click

from ..errors import InputError

__all__ = ["photon_list"]


@click.command(name="photon-list")
@click.option("--input-file", "-f", required=True, type=click.Path(path_type=Path), help="DL2 file.")
@click.option(
    "--config", "-c", "config_file", required=True, type=click.Path(path_type=Path), help="Analysis JSON."
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
def photon_list(input_file: Path, config_file: Path, output_dir: Path) -> None:
    """
    Write the gamma-like events of a DL2 file as an HDF5 table, /photon_list/<telescopes>.

    The event selection and the global gammaness cut of the configuration apply; columns that only serve the
    reconstruction are left out.

    \b
    Example:
        sst1m photon-list -f SST1M1_20240304_0012_W1_dl1_dl2.h5 -c config/sst1m_data_config.json -o lists
    """
    if not input_file.is_file():
        raise InputError(f"{input_file}: there is no such file; check the path")
    from ..config import load_config
    from ..dl3.photon_list import write_photon_list

    output = output_dir / f"{input_file.name.removesuffix('.h5')}_pl.h5"
    summary = write_photon_list(input_file, output, config=load_config(config_file))
    click.echo(f"{output}: {summary.counts['n_written']} of {summary.counts['n_dl2']} events")
