"""Index the photon lists of many nights by hand."""

import glob
from pathlib import Path

import click

from ..errors import InputError

__all__ = ["index"]


def _matching(patterns: tuple[str, ...]) -> list[Path]:
    """Return the files that match; every pattern must match some."""
    found: set[Path] = set()
    for pattern in (part for text in patterns for part in text.split()):
        matches = [Path(name) for name in glob.glob(pattern, recursive=True)]
        files = [path for path in matches if path.is_file()]
        if not files:
            raise InputError(f"{pattern}: no file matches; check the pattern, and put it in quotes")
        found.update(files)
    return sorted(found)


@click.command(name="index")
@click.option(
    "--input-files",
    "-d",
    required=True,
    multiple=True,
    help="Photon lists: patterns (with * and **) in quotes, separated by blanks.",
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
def index(input_files: tuple[str, ...], output_dir: Path) -> None:
    """
    Index photon lists (DL3) of many nights, targets and telescope set-ups for gammapy.

    Writes hdu-index.fits.gz and obs-index.fits.gz, which name the files relative to the output directory.
    Two photon lists with the same OBS_ID are an error.

    \b
    Example:
        sst1m index --input-files 'night/2024*/Crab/stereo/dl3/*_dl3.fits' --output-dir crab
        python -c "from gammapy.data import DataStore; DataStore.from_dir('crab').info()"
    """
    files = _matching(input_files)
    from ..dl3.index import write_index

    paths = write_index(files, output_dir)
    click.echo(f"{paths[0]}, {paths[1].name}: {len(files)} photon lists")
