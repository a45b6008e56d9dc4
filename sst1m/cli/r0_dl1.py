"""Reduce one raw or simulated file to DL1 by hand."""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..checkpoint import committed, sweep_parts
from ..errors import ConfigError, InputError, SkippedRun
from ..layout import side_paths
from ..logs import run_log
from ..names import RawName, Target, parse_target
from ..provenance import input_record, provenance_json, utc_now
from .progress import adding_up, progress_bar

if TYPE_CHECKING:
    from ..config import AnalysisConfig
    from ..reduction import ReductionSummary

__all__ = ["r0_dl1"]

Progress = Callable[[int, int], object]
SIMULATION_SUFFIXES = (".simtel", ".simtel.gz", ".simtel.zst")


@dataclass(frozen=True)
class _Request:
    """What the command line asks for."""

    input_file: Path
    config: "AnalysisConfig"
    output_dir: Path
    calibration_dir: Path | None
    px_charges: bool
    precise_timestamps: bool
    pointing: tuple[float, float] | None
    force_pointing: bool
    reclean: bool


def _is_simulation(path: Path) -> bool:
    return path.name.endswith(SIMULATION_SUFFIXES)


def _manual_pointing(ra: float | None, dec: float | None) -> tuple[float, float] | None:
    if (ra is None) != (dec is None):
        raise click.UsageError("give both --pointing-ra and --pointing-dec")
    return None if ra is None or dec is None else (ra, dec)


def _choose_pointing(request: _Request, target: Target) -> tuple[float, float, str]:
    """Return right ascension, declination and who said so; the header's word counts unless forced."""
    manual, path = request.pointing, request.input_file
    if request.force_pointing and manual is None:
        raise click.UsageError("--force-pointing needs --pointing-ra and --pointing-dec")
    if target.kind in ("dark", "transition") and not request.force_pointing:
        raise SkippedRun(f"{path} is a {target.kind} run; add --force-pointing to reduce it all the same")
    if target.ra_deg is None or target.dec_deg is None:
        if manual is None:
            raise InputError(
                f"{path}: its header has no pointing ({target.reason or 'no TARGET'}); "
                "give --pointing-ra and --pointing-dec"
            )
        return *manual, "command"
    if manual is None:
        return target.ra_deg, target.dec_deg, "header"
    if not request.force_pointing:
        raise ConfigError(
            f"{path}: its header says ra {target.ra_deg:g}, dec {target.dec_deg:g}; "
            "add --force-pointing to overrule it, or leave out --pointing-ra and --pointing-dec"
        )
    return *manual, "command"


def _reduce_simulation(request: _Request) -> tuple[Path, "ReductionSummary"]:
    from ..config import McConfig
    from ..reduction import reduce_simtel

    if not isinstance(request.config, McConfig):
        raise ConfigError(
            f"{request.config.path} is a configuration of data; {request.input_file} is simulated"
        )
    base = next(request.input_file.name.removesuffix(s) for s in SIMULATION_SUFFIXES if _ends(request, s))
    product = request.output_dir / f"{base.removesuffix('.corsika.gz')}_dl1.h5"

    def work(part: Path, progress: Progress) -> "ReductionSummary":
        return reduce_simtel(request.input_file, part, config=request.config, progress=adding_up(progress))

    return product, _commit(request, product, work, {"file": request.input_file.name})


def _ends(request: _Request, suffix: str) -> bool:
    return request.input_file.name.endswith(suffix)


def _reduce_raw(request: _Request) -> tuple[Path, "ReductionSummary"]:
    from ..config import DataConfig
    from ..io.rawfile import verify_raw_file
    from ..pointing import Pointing
    from ..reduction import ReductionOptions, reduce_raw_run

    if not isinstance(request.config, DataConfig):
        raise ConfigError(f"{request.config.path} is a configuration of simulations; give one of data")
    name = RawName.parse(request.input_file.name)
    target = parse_target(verify_raw_file(request.input_file).target)
    ra_deg, dec_deg, source = _choose_pointing(request, target)
    stem = f"{name.stem}_{target.wobble}" if source == "header" else name.stem
    charges = request.output_dir / f"{stem}_pedestal_hist.h5"
    product = request.output_dir / f"{stem}_dl1{'_recleaned' if request.reclean else ''}.h5"

    def work(part: Path, progress: Progress) -> "ReductionSummary":
        with contextlib.ExitStack() as stack:
            wanted = request.px_charges and stack.enter_context(committed(charges))
            options = ReductionOptions(
                precise_timestamps=request.precise_timestamps,
                pixel_charges=wanted or None,
                reclean_with=charges if request.reclean else None,
            )
            return reduce_raw_run(
                request.input_file,
                part,
                config=request.config,
                calibration_dir=request.calibration_dir,
                tel_id=name.tel_id,
                date=int(f"{name.date:%Y%m%d}"),
                run=name.run,
                pointing=Pointing(ra_deg, dec_deg, source),
                options=options,
                progress=progress,
            )

    run = {"tel_id": name.tel_id, "run": name.run, "obs_id": name.obs_id} | asdict(target)
    return product, _commit(request, product, work, run)


def _commit(
    request: _Request,
    product: Path,
    work: Callable[[Path, Progress], "ReductionSummary"],
    run: dict[str, object],
) -> "ReductionSummary":
    """Do the work under a temporary name and bring product, log and provenance to their names together."""
    from ..io.dl1 import check_dl1

    sweep_parts(product)
    started, paths, summaries = utc_now(), side_paths(product), []
    work_log = product.with_name(f".{product.stem}.part.log")
    heading = {"input": request.input_file, "configuration": request.config.path, "product": product}
    with contextlib.ExitStack() as stack:
        stack.callback(work_log.unlink, missing_ok=True)
        lines = stack.enter_context(run_log(work_log, heading))

        def provenance() -> bytes:
            summary = summaries[0]
            return provenance_json(
                product=product,
                run=run,
                inputs=[input_record(request.input_file)],
                config={"fingerprint": request.config.fingerprint(), "values": request.config.canonical()},
                started=started,
                counts={"n_events": summary.n_events, "n_events_written": summary.n_events_written},
                options={"px_charges": request.px_charges, "reclean": request.reclean},
                calibration=summary.info,
            )

        def log_text() -> bytes:
            lines.result(f"done, {summaries[0].n_events} events")
            return lines.content()

        side = {paths["json"]: provenance, paths["log"]: log_text}
        with (
            committed(product, validate=check_dl1, side_files=side) as part,
            progress_bar(product.name) as show,
        ):
            summaries.append(work(part, show))
    return summaries[0]


@click.command(name="r0-dl1")
@click.option(
    "--input-file", "-f", required=True, type=click.Path(path_type=Path), help="Raw or simtel file."
)
@click.option(
    "--config", "-c", "config_file", required=True, type=click.Path(path_type=Path), help="Analysis JSON."
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
@click.option(
    "--calibration-dir", type=click.Path(path_type=Path), help="Where files named null in the JSON lie."
)
@click.option("--px-charges", is_flag=True, help="Also write the charges of the pedestal events.")
@click.option("--precise-timestamps", is_flag=True, help="Add the White-Rabbit time as two columns.")
@click.option("--pointing-ra", "-r", type=click.FloatRange(0, 360, max_open=True), help="Optical axis [deg].")
@click.option("--pointing-dec", "-d", type=click.FloatRange(-90, 90), help="Optical axis [deg].")
@click.option(
    "--force-pointing", is_flag=True, help="Overrule the header; also reduce dark and transition runs."
)
@click.option("--reclean", is_flag=True, help="Clean again with the charges that --px-charges wrote before.")
def r0_dl1(
    input_file: Path,
    config_file: Path,
    output_dir: Path,
    calibration_dir: Path | None,
    px_charges: bool,
    precise_timestamps: bool,
    pointing_ra: float | None,
    pointing_dec: float | None,
    force_pointing: bool,
    reclean: bool,
) -> None:
    """
    Reduce one raw file (.fits.fz) or simulated file (.simtel, .simtel.gz) to DL1.

    Product, log and provenance appear in the output directory when all is complete, never before.

    \b
    Examples:
        sst1m r0-dl1 -f SST1M1_20240304_0012.fits.fz -c config/sst1m_data_config.json \\
            --calibration-dir /data/calibration -o dl1
        sst1m r0-dl1 -f SST1M2_20180822_0001.fits.fz -c config/sst1m_data_config.json \\
            --calibration-dir /data/calibration -o dl1 --pointing-ra 330 --pointing-dec 45
        sst1m r0-dl1 -f gamma_20deg_run1.corsika.gz.simtel.gz -c config/sst1m_mc_config.json -o dl1
    """
    from ..config import load_config

    if not input_file.is_file():
        raise InputError(f"{input_file}: there is no such file; check the path")
    request = _Request(
        input_file=input_file,
        config=load_config(config_file),
        output_dir=output_dir,
        calibration_dir=calibration_dir,
        px_charges=px_charges,
        precise_timestamps=precise_timestamps,
        pointing=_manual_pointing(pointing_ra, pointing_dec),
        force_pointing=force_pointing,
        reclean=reclean,
    )
    product, summary = (_reduce_simulation if _is_simulation(input_file) else _reduce_raw)(request)
    click.echo(f"{product}: {summary.n_events_written} of {summary.n_events} events (the rest are pedestals)")
