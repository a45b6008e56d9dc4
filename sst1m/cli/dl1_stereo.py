"""Find the showers that both telescopes recorded, by hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..checkpoint import sweep_parts, write_atomically
from ..errors import ConfigError, InputError
from ..logs import run_log
from .progress import tell_step

if TYPE_CHECKING:
    from ..coincidence import Coincidences
    from ..config import DataConfig

__all__ = ["dl1_stereo"]

_NOT_DL1 = ("pedestal_hist", "_stereo", "_dl2", "coincidences")


def _night_of(paths: tuple[Path, ...]) -> str:
    """Return the night, YYYYMMDD, that all names share."""
    nights = set()
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; check the path")
        telescope, _, rest = path.name.partition("_")
        night = rest.partition("_")[0]
        if telescope != "SST1M1" or not (len(night) == 8 and night.isdigit()):
            raise InputError(f"{path}: is not named SST1M1_YYYYMMDD_..., like a DL1 file of telescope 1")
        nights.add(night)
    if len(nights) != 1:
        raise ConfigError(
            f"files of the nights {', '.join(sorted(nights))}; give those of one night at a time"
        )
    return nights.pop()


def _files(directory: Path, telescope: str, night: str, pattern: str) -> list[Path]:
    found = sorted(directory.glob(f"{telescope}_{night}_*{pattern}*.h5"))
    return [path for path in found if not any(word in path.name for word in _NOT_DL1)]


def _data_config(path: Path) -> "DataConfig":
    from ..config import DataConfig, load_config

    config = load_config(path)
    if not isinstance(config, DataConfig):
        raise ConfigError(f"{path}: is a configuration of simulations; give one of data")
    return config


def _tell(coincidences: "Coincidences") -> None:
    info = coincidences.info
    offset = coincidences.offset_ns
    shown = "none" if offset is None else f"{offset / 1e3:.3f} us"
    click.echo(
        f"{len(coincidences)} pairs by {info['method']}, matched fraction "
        f"{100 * coincidences.matched_fraction:.1f} %, clock offset {shown}, "
        f"window {info['half_width_ns']} ns, {info['n_accidental']:.2g} expected by chance"
    )
    for note in info["notes"]:
        click.echo(f"note: {note}")


@click.command(name="dl1-stereo")
@click.option(
    "--input-file-tel1",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="DL1 file of telescope 1; give the option once per file.",
)
@click.option(
    "--input-dir-tel2",
    required=True,
    type=click.Path(path_type=Path),
    help="Directory of the DL1 files of telescope 2.",
)
@click.option(
    "--config", "-c", "config_file", required=True, type=click.Path(path_type=Path), help="Analysis JSON."
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
@click.option(
    "--pattern", default="dl1", show_default=True, help="What DL1 names of both telescopes contain."
)
def dl1_stereo(
    input_file_tel1: tuple[Path, ...],
    input_dir_tel2: Path,
    config_file: Path,
    output_dir: Path,
    pattern: str,
) -> None:
    """
    Find the events that both telescopes saw, and write them as stereo DL1, one file per run of telescope 1.

    All files of the night that lie beside the given ones take part in the search, so that no event of
    telescope 2 is used twice; stereo files are written of the given ones. The pairs come to
    SST1M_YYYYMMDD_coincidences.h5, the histogram of their time differences beside it as .png. The method
    is that of the configuration: stereo.event_matching_method.

    \b
    Examples:
        sst1m dl1-stereo --input-file-tel1 cs1/SST1M1_20240304_0012_W1_dl1.h5 \\
            --input-dir-tel2 cs2 -c config/sst1m_data_config.json -o stereo
        sst1m dl1-stereo $(printf -- '--input-file-tel1 %s ' cs1/SST1M1_20240304_*_dl1.h5) \\
            --input-dir-tel2 cs2 -c config/sst1m_data_config.json -o stereo
    """
    from ..coincidence import match_night, stereo_name, write_coincidences, write_stereo_run

    config = _data_config(config_file)
    night = _night_of(input_file_tel1)
    if not input_dir_tel2.is_dir():
        raise InputError(f"{input_dir_tel2}: is no directory; give that of the DL1 files of telescope 2")
    second = _files(input_dir_tel2, "SST1M2", night, pattern)
    beside = {path for given in input_file_tel1 for path in _files(given.parent, "SST1M1", night, pattern)}
    first = sorted(beside | set(input_file_tel1))
    product = output_dir / f"SST1M_{night}_coincidences.h5"
    work_log = product.with_name(f".{product.stem}.part.log")
    heading = {"tel1": [str(path) for path in first], "tel2": [str(path) for path in second]}
    try:
        with run_log(work_log, heading | {"configuration": config_file, "product": product}) as lines:
            sweep_parts(product)
            tell_step(f"matching {len(first)} and {len(second)} runs")
            coincidences = match_night(first, second, config)
            write_coincidences(coincidences, product)
            _tell(coincidences)
            for path in input_file_tel1:
                tell_step(path.name)
                output = output_dir / stereo_name(path)
                sweep_parts(output)
                summary = write_stereo_run(coincidences, path, output, config)
                why = f" ({summary.reason})" if summary.reason else ""
                click.echo(f"{output}: {summary.n_events} of {summary.counts['n_tel1']} events{why}")
            lines.result(f"done, {len(coincidences)} pairs")
            write_atomically(product.with_suffix(".log"), lines.content())
    finally:
        work_log.unlink(missing_ok=True)
