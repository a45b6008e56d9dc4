"""Make photon lists (DL3) from DL2 files by hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, InputError
from ..layout_mc import EVENT_CLASSES
from ..sources import DEFAULT_SOURCES, Source, read_sources
from .progress import progress_bar

if TYPE_CHECKING:
    from ..config import DataConfig
    from ..dl3.cuts import CutTables, GlobalCut
    from ..dl3.export import Dl3Summary
    from ..dl3.names import Dl3Setup

__all__ = ["dl2_dl3"]

PATTERN = "*dl2.h5"


def _target(name: str, ra: float | None, dec: float | None, sources_file: Path) -> Source:
    """Return the target: from the command, or else from the catalogue."""
    if (ra is None) != (dec is None):
        raise click.UsageError("--target-ra and --target-dec belong together")
    if ra is None or dec is None:
        return read_sources(sources_file).named(name)
    return Source(name, ra, dec)


def _setup_of(path: Path) -> "Dl3Setup":
    """Return the set-up of a DL2 file."""
    from ..dl3.names import DL3_SETUPS, tel_setup_of
    from ..io.dl2 import check_dl2

    found = check_dl2(path)["tel_setup"]
    for setup in DL3_SETUPS:
        if tel_setup_of(setup) == found:
            return setup
    raise InputError(f"{path}: is a simulation ({found}); photon lists are made from observations")


def _cuts(
    directory: Path | None, setup: "Dl3Setup", method: str, config: "DataConfig", event_class: int | None
) -> "CutTables | GlobalCut":
    from ..dl3.cuts import CutTables, GlobalCut

    if directory is None:
        return GlobalCut.from_config(config, event_class)
    if not directory.is_dir():
        raise InputError(f"{directory}: there is no such directory of gammaness cuts; check the path")
    known = "significance" if method == "significance" else "efficiency"
    return CutTables(directory, setup, known, event_class)


@click.command(name="dl2-dl3")
@click.option(
    "--input-dir",
    "-d",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the DL2 files of one target, night and set-up.",
)
@click.option(
    "--irf-dir",
    "-i",
    required=True,
    type=click.Path(path_type=Path),
    help="Root of the instrument responses.",
)
@click.option(
    "--config", "-c", "config_file", required=True, type=click.Path(path_type=Path), help="Analysis JSON."
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
@click.option("--target-name", "-t", required=True, help="Name of the target, as in the catalogue.")
@click.option("--target-ra", type=click.FloatRange(0, 360, max_open=True), help="ICRS [deg], if not there.")
@click.option("--target-dec", type=click.FloatRange(-90, 90), help="ICRS [deg].")
@click.option(
    "--sources",
    "sources_file",
    type=click.Path(path_type=Path),
    default=DEFAULT_SOURCES,
    show_default="config/sources.ecsv",
    help="Catalogue of sources.",
)
@click.option(
    "--gammaness-cut-dir",
    type=click.Path(path_type=Path),
    help="Energy-dependent cuts, one directory per node; without it the global cut.",
)
@click.option(
    "--gammaness-cuts",
    "cut_method",
    type=click.Choice(["efficiency", "significance"]),
    default="efficiency",
    show_default=True,
    help="Which of the energy-dependent cuts.",
)
@click.option(
    "--event-classes",
    multiple=True,
    type=click.IntRange(EVENT_CLASSES[0], EVENT_CLASSES[-1]),
    help="Photon lists of one class of events, in event_class_N/; may be given again. All events without it.",
)
@click.option(
    "--irf-method",
    type=click.Choice(["interpolate", "nearest"]),
    default="interpolate",
    show_default=True,
    help="Responses between nodes.",
)
@click.option("--irf-version", help="MAJOR_MINOR of the responses; the newest where left out.")
@click.option(
    "--max-gap", default=15.0, show_default=True, help="A longer pause begins a new photon list [min]."
)
def dl2_dl3(
    input_dir: Path,
    irf_dir: Path,
    config_file: Path,
    output_dir: Path,
    target_name: str,
    target_ra: float | None,
    target_dec: float | None,
    sources_file: Path,
    gammaness_cut_dir: Path | None,
    cut_method: str,
    event_classes: tuple[int, ...],
    irf_method: str,
    irf_version: str | None,
    max_gap: float,
) -> None:
    """
    Make photon lists (DL3) of one target, night and telescope set-up.

    Each wobble block gives one FITS file with events, good time intervals, pointing and the instrument
    responses at its zenith, azimuth and night sky; two index files let gammapy find them. Responses that
    were made with other cuts than the data are refused.

    \b
    Examples:
        sst1m dl2-dl3 -d night/20240304/Crab/stereo/dl2 -i irfs -c config/sst1m_data_config.json \\
            -o night/20240304/Crab/stereo/dl3 --target-name Crab
        sst1m dl2-dl3 -d dl2 -i irfs -c config/sst1m_data_config.json -o dl3_eff --target-name Crab \\
            --gammaness-cut-dir mc/demo/cuts
        sst1m dl2-dl3 -d dl2 -i irfs -c config/sst1m_data_config.json -o dl3 --target-name GRB \\
            --target-ra 288.265 --target-dec 19.774
        sst1m dl2-dl3 -d dl2_classes -i irfs -c config/sst1m_data_config.json -o dl3 --target-name Crab \\
            --event-classes 1 --event-classes 2
    """
    from ..config import DataConfig, load_config
    from ..dl3.blocks import BlockRules
    from ..dl3.export import export_dl3
    from ..dl3.names import tel_setup_of
    from ..irf.catalogue import IrfCatalogue

    files = sorted(input_dir.glob(PATTERN))
    if not files:
        raise InputError(f"{input_dir}: there is no DL2 file ({PATTERN}); check the path, or run dl1-dl2")
    target = _target(target_name, target_ra, target_dec, sources_file)
    config, setup = load_config(config_file), _setup_of(files[0])
    if not isinstance(config, DataConfig):
        raise ConfigError(f"{config_file}: is a configuration of simulations; give one of data")
    for event_class in event_classes or (None,):
        cuts = _cuts(gammaness_cut_dir, setup, cut_method, config, event_class)
        with progress_bar("DL2 files") as show:
            summary = export_dl3(
                files,
                output_dir if event_class is None else output_dir / f"event_class_{event_class}",
                target=target,
                setup=setup,
                config=config,
                cuts=cuts,
                irfs=IrfCatalogue(irf_dir, tel_setup_of(setup), cuts.tag, irf_version),
                irf_method="nearest" if irf_method == "nearest" else "interpolate",
                rules=BlockRules(max_gap_s=60 * max_gap),
                progress=show,
            )
        _show(summary)


def _show(summary: "Dl3Summary") -> None:
    for path, facts in zip(summary.files, summary.observations, strict=True):
        runs = f"{len(facts['runs'])} run{'s' * (len(facts['runs']) != 1)}"
        click.echo(f"{path}: {facts['n_written']} events, {facts['livetime_s']:.1f} s live time, {runs}")
    for name, reason in summary.left_out.items():
        click.echo(f"{name}: in no photon list: {reason}")
    for name in summary.removed:
        click.echo(f"{name}: removed, it is no longer a product of these files")
