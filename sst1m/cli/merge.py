"""Join DL1 files of one simulated sample."""

from pathlib import Path

import click

from ..errors import InputError, OutputError
from .progress import progress_bar

__all__ = ["merge"]


@click.command()
@click.option(
    "--input-dir", "-d", required=True, type=click.Path(path_type=Path), help="Directory of the DL1 files."
)
@click.option(
    "--output-file",
    "-o",
    default=Path("merge.h5"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="File to be made.",
)
@click.option("--pattern", default="*.h5", show_default=True, help="Names of the files, with wildcards.")
@click.option("--skip-images", is_flag=True, help="Leave out the images, those without noise, too.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--skip-broken", is_flag=True, help="Leave out files that are not complete, instead of ending.")
def merge(
    input_dir: Path, output_file: Path, pattern: str, skip_images: bool, overwrite: bool, skip_broken: bool
) -> None:
    """
    Join the DL1 files of a simulated sample: the same particle, spectrum, pointing and analysis.

    Numbers of thrown showers are added, files without a single event included. The result lists the files
    it was made of.

    \b
    Examples:
        sst1m merge -d mc/gamma -o gamma_train_dl1.h5 --pattern 'gamma_*_dl1.h5'
        sst1m merge -d mc/proton -o proton_train_dl1.h5 --skip-images --skip-broken
    """
    from ..checkpoint import committed
    from ..io.dl1 import check_dl1
    from ..io.merge import merge_dl1

    if not input_dir.is_dir():
        raise InputError(f"{input_dir}: no such directory; give the one with the DL1 files")
    if output_file.exists() and not overwrite:
        raise OutputError(f"{output_file} is there already; give another name, or --overwrite")
    here = output_file.resolve()
    files = sorted(path for path in input_dir.glob(pattern) if path.is_file() and path.resolve() != here)
    if not files:
        raise InputError(f"{input_dir}: no file matches {pattern}; correct --input-dir or --pattern")
    with committed(output_file, validate=check_dl1) as part, progress_bar(output_file.name) as show:
        options = {"skip_images": skip_images, "skip_broken": skip_broken}
        info = merge_dl1(files, part, progress=show, **options)
        show(len(files), len(files))
    merged = info["merged"]
    for record in merged["skipped"]:
        click.echo(f"skipped {record['file']}: {record['reason']}", err=True)
    counts = f"{info['n_events']} events of {info['n_thrown']} showers"
    click.echo(f"{output_file}: {len(merged['files'])} files, {counts}")
