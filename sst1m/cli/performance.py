"""Measure by hand what the array can do, from simulated DL2 files."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from ..errors import ConfigError, InputError
from .progress import tell_step

if TYPE_CHECKING:
    from ..config import McConfig
    from ..events import ReconstructedEvents
    from ..irf.cuts import GammanessCuts
    from ..performance import PerformanceSummary

__all__ = ["performance"]

_FILE = click.Path(path_type=Path)


def _read(path: Path | None) -> "ReconstructedEvents | None":
    from ..io.dl2 import read_dl2

    if path is None:
        return None
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path")
    events = read_dl2(path)
    if not events.simulated:
        raise InputError(f"{path}: these are observations; performance is measured on simulations")
    return events


def _mc_config(path: Path) -> "McConfig":
    from ..config import McConfig, load_config

    config = load_config(path)
    if not isinstance(config, McConfig):
        raise ConfigError(f"{path} is a configuration of data; give one of simulations")
    return config


def _cuts(
    method: str,
    gamma: "ReconstructedEvents",
    proton: "ReconstructedEvents | None",
    config: "McConfig",
    output_dir: Path,
) -> "GammanessCuts":
    from ..irf.cuts import GammanessCuts

    if method == "global":
        return GammanessCuts.from_config(config)
    return _cut_table(method, gamma, proton, config, output_dir)


def _cut_table(
    method: str,
    gamma: "ReconstructedEvents",
    proton: "ReconstructedEvents | None",
    config: "McConfig",
    output_dir: Path,
) -> "GammanessCuts":
    """Choose a gammaness cut by energy and write its table."""
    from ..irf.optimise import make_cut_table
    from ..reco.selection import select_events

    chosen = [
        None if events is None else events.select(select_events(events, config).mask)
        for events in (gamma, proton)
    ]
    known = cast(Literal["efficiency", "significance"], method)
    cuts = make_cut_table(known, cast("ReconstructedEvents", chosen[0]), chosen[1], config)
    path = output_dir / f"gammaness_cuts_{method}_{gamma.tel_setup}.h5"
    cuts.write(path)
    click.echo(f"{path}: gammaness cuts by {method}")
    return cuts


def _show(summary: "PerformanceSummary") -> None:
    """Say in a few lines what was found, and what could not be."""
    content = summary.content
    click.echo(f"{summary.path}: {content['setup']}, {content['signal']}")
    for found in content["detection"]:
        when = found["reason"] if found["hours"] is None else f"5 sigma after {found['hours']:.2f} h"
        click.echo(f"{found['source']}: {when}")
    for what, reason in content["missing"].items():
        click.echo(f"no {what}: {reason}", err=True)


@click.command(name="performance")
@click.option(
    *("--input-file-gamma", "-fg", "--fg", "gamma_file"), required=True, type=_FILE, help="DL2 of gammas."
)
@click.option("--config", "-c", "config_file", required=True, type=_FILE, help="Analysis JSON, simulations.")
@click.option(
    *("--input-file-proton", "-fp", "--fp", "proton_file"), type=_FILE, help="DL2 of diffuse protons."
)
@click.option(
    *("--input-file-electron", "-fe", "--fe", "electron_file"), type=_FILE, help="DL2 of diffuse electrons."
)
@click.option("--output-dir", "-o", type=_FILE, default=Path("."), show_default=True)
@click.option("--save-fig", is_flag=True, help="Write figures.")
@click.option("--save-hdf", is_flag=True, help="Write HDF5 tables.")
@click.option(
    *("--gammaness-cuts", "method"),
    type=click.Choice(["global", "efficiency", "significance"]),
    default="global",
    show_default=True,
    help="One cut, or a table by energy that is made from these events.",
)
@click.option(
    *("--theta2-cuts",),
    type=click.Choice(["global", "efficiency"]),
    default="global",
    show_default=True,
    help="On-region of the sensitivity.",
)
@click.option("--rf-performance", is_flag=True, help="Resolutions only, unless --sensitivity is given, too.")
@click.option("--sensitivity", is_flag=True, help="Sensitivity only, unless --rf-performance is given, too.")
@click.option("--source-detection", "--s", "source", help="Spectrum whose detection time is wanted.")
@click.option("--energy-min", type=click.FloatRange(min=0), default=0.0, help="Reconstructed energy [TeV].")
@click.option("--gamma-off-correction", is_flag=True, help="Mono: take off gammas in the off-regions.")
@click.option("--edep-gammaness-only", is_flag=True, help="Only make the gammaness cuts by efficiency.")
@click.option(
    *("--max-offset",),
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Diffuse gammas within this angle to the axis stand for a source [deg].",
)
def performance(
    gamma_file: Path,
    config_file: Path,
    proton_file: Path | None,
    electron_file: Path | None,
    output_dir: Path,
    save_fig: bool,
    save_hdf: bool,
    method: str,
    theta2_cuts: str,
    rf_performance: bool,
    sensitivity: bool,
    source: str | None,
    energy_min: float,
    gamma_off_correction: bool,
    edep_gammaness_only: bool,
    max_offset: float,
) -> None:
    """
    Measure resolutions, separation, effective areas and sensitivity on simulated DL2 files of one set-up.

    The numbers come in OUTPUT_DIR/summary.json, tables and figures beside it where asked for.

    \b
    Examples:
        sst1m performance -fg gamma_point_stereo_dl2.h5 -fp proton_diffuse_stereo_dl2.h5 \\
            -c config/sst1m_mc_config.json -o performance --save-fig --save-hdf
        sst1m performance -fg gamma_diffuse_stereo_dl2.h5 -c config/sst1m_mc_config.json \\
            -o cuts --edep-gammaness-only
    """
    from ..irf.spectra import spectrum_named
    from ..performance import PerformanceOptions, measure_performance

    config = _mc_config(config_file)
    # A misspelt name is better said before the work than after it.
    sources = (source,) if source else PerformanceOptions().detect
    for name in sources:
        spectrum_named(name)
    tell_step("reading the events")
    proton, electron = _read(proton_file), _read(electron_file)
    gamma = cast("ReconstructedEvents", _read(gamma_file))
    if edep_gammaness_only:
        _cut_table("efficiency", gamma, None, config, output_dir)
        return
    cuts = _cuts(method, gamma, proton, config, output_dir)
    everything = rf_performance == sensitivity
    tell_step("measuring" + (" and drawing" if save_fig else ""))
    summary = measure_performance(
        output_dir,
        gamma=gamma,
        proton=proton,
        electron=electron,
        cuts=cuts,
        config=config,
        setup=gamma.tel_setup,
        theta2_cuts="efficiency" if theta2_cuts == "efficiency" else "global",
        figures=save_fig,
        options=PerformanceOptions(
            detect=sources,
            energy_min_tev=energy_min,
            max_offset_deg=max_offset,
            gamma_off_correction=gamma_off_correction,
            resolution=everything or rf_performance,
            sensitivity=everything or sensitivity or source is not None,
            tables=save_hdf,
        ),
    )
    _show(summary)
