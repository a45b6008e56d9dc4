"""A first look at a source in photon lists (DL3)."""

from pathlib import Path

import click

from ..errors import InputError
from ..sources import DEFAULT_SOURCES, Source, SourceCatalogue, read_sources
from .progress import tell_step

__all__ = ["quicklook"]


def _source(name: str, ra: float | None, dec: float | None, catalogue: SourceCatalogue) -> Source:
    """Return the source: from the command, or else from the catalogue."""
    if (ra is None) != (dec is None):
        raise click.UsageError("--source-ra and --source-dec belong together")
    if ra is None or dec is None:
        return catalogue.named(name)
    return Source(name, ra, dec)


@click.command(name="quicklook")
@click.option(
    *("--index-dir", "-d"),
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the photon lists.",
)
@click.option("--source", "-s", "name", required=True, help="Name of the source, as in the catalogue.")
@click.option("--source-ra", type=click.FloatRange(0, 360, max_open=True), help="ICRS [deg], if not there.")
@click.option("--source-dec", type=click.FloatRange(-90, 90), help="ICRS [deg].")
@click.option(
    *("--sources", "sources_file"),
    type=click.Path(path_type=Path),
    default=DEFAULT_SOURCES,
    show_default="config/sources.ecsv",
    help="Catalogue of sources; no background is taken from the others in it.",
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
@click.option(
    "--on-radius", type=float, help="On-region [deg]; 0.2, or that of point-like responses, if left out."
)
@click.option("--energy-min", type=float, default=1.0, show_default=True, help="Reconstructed energy [TeV].")
@click.option("--energy-max", type=float, default=100.0, show_default=True, help="The same [TeV].")
@click.option(
    *("--spectrum", "shape"),
    type=click.Choice(["power-law", "log-parabola"]),
    default="power-law",
    show_default=True,
    help="Shape that is fitted.",
)
@click.option(
    *("--max-offset",),
    type=float,
    default=3.0,
    show_default=True,
    help="Leave out observations that point further away [deg].",
)
@click.option("--telescope", help="Only observations with this TELESCOP, such as SST1M_stereo.")
@click.option("--bins-per-decade", type=int, help="Of energy; 12, or 24 where observations have thresholds.")
@click.option("--no-pictures", is_flag=True, help="Only the numbers.")
@click.option("--crab-units", is_flag=True, help="Fluxes first in units of the Crab nebula (HEGRA).")
def quicklook(
    index_dir: Path,
    name: str,
    source_ra: float | None,
    source_dec: float | None,
    sources_file: Path,
    output_dir: Path,
    on_radius: float | None,
    energy_min: float,
    energy_max: float,
    shape: str,
    max_offset: float,
    telescope: str | None,
    bins_per_decade: int | None,
    no_pictures: bool,
    crab_units: bool,
) -> None:
    """
    Look at a source: theta2, significance map, spectrum, light curve, and a JSON file of the numbers.

    Works on any store of photon lists with hdu-index.fits.gz and obs-index.fits.gz. The background of the
    counts comes from reflected regions, that of the map from rings. Whatever cannot be made says why in the
    numbers. What gammapy had to say is in the log beside them.

    \b
    Examples:
        sst1m quicklook -d night/20240304/Crab/stereo/dl3 -s Crab -o looks
        sst1m quicklook -d dl3 -s Mrk421 -o looks --energy-min 2 --crab-units
        sst1m quicklook -d hess_crab -s Crab -o looks --on-radius 0.11 --energy-min 0.66 \\
            --energy-max 30 --spectrum log-parabola
        sst1m quicklook -d dl3 -s GRB221009A --source-ra 288.265 --source-dec 19.774 -o looks
    """
    if not index_dir.is_dir():
        raise InputError(f"{index_dir}: there is no such directory; check the path")
    catalogue = read_sources(sources_file)
    source = _source(name, source_ra, source_dec, catalogue)
    tell_step("loading gammapy")
    from ..logs import run_log
    from ..quicklook.look import PICTURES, numbers_path, sentence
    from ..quicklook.look import quicklook as look
    from ..quicklook.options import QuicklookOptions

    options = QuicklookOptions(
        on_radius_deg=on_radius,
        energy_min_tev=energy_min,
        energy_max_tev=energy_max,
        spectrum="log-parabola" if shape == "log-parabola" else "power-law",
        max_offset_deg=max_offset,
        bins_per_decade=bins_per_decade,
        telescope=telescope,
        crab_units=crab_units,
    )
    heading = {"photon lists": index_dir, "source": source, "options": options}
    with run_log(numbers_path(output_dir, source).with_suffix(".log"), heading) as lines:
        summary = look(
            index_dir,
            output_dir,
            source=source,
            options=options,
            neighbours=[other for other in catalogue.sources.values() if other.name != source.name],
            pictures=() if no_pictures else PICTURES,
            progress=tell_step,
        )
        lines.result(sentence(summary.content))
    _show(summary.content)
    for path in (*summary.pictures, summary.path):
        click.echo(path)


def _show(content: dict) -> None:
    """Say what was seen, and what could not be made."""
    from ..quicklook.look import sentence

    click.echo(sentence(content))
    spectrum = content["spectrum"]
    if spectrum["status"] == "fitted":
        values = (
            f"{key} = {found['value']:.3g} +- {found['error']:.2g} {found['unit']}".rstrip()
            for key, found in spectrum["parameters"].items()
        )
        energies = f"{spectrum['fit_min_tev']:.3g}-{spectrum['fit_max_tev']:.3g} TeV"
        heading = f"{spectrum['model']}, {energies}, reference {spectrum['reference_tev']:g} TeV"
        click.echo(f"{heading}: {', '.join(values)}")
    else:
        click.echo(f"spectrum not fitted: {spectrum['reason']}", err=True)
    for what in ("theta2", "sky_map"):
        if content[what]["status"] != "made":
            click.echo(f"{what} not made: {content[what]['reason']}", err=True)
    if content["left_out"]:
        click.echo(f"{len(content['left_out'])} observations left out, see the numbers", err=True)
