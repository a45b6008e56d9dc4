"""Make raw nights and Monte-Carlo events of a simulated observatory."""

import datetime
from dataclasses import replace
from pathlib import Path

import click

from ..errors import ConfigError
from ..sources import DEFAULT_SOURCES, Source, read_sources
from .progress import adding_up, progress_bar, progress_steps

__all__ = ["simulate_group", "sources_option"]

sources_option = click.option(
    "--sources",
    "sources_file",
    type=click.Path(path_type=Path),
    default=DEFAULT_SOURCES,
    show_default="config/sources.ecsv",
    help="Catalogue of sources.",
)


@click.group(name="simulate")
def simulate_group() -> None:
    """Make raw nights and Monte-Carlo events without licensed software, labelled as simulated throughout."""


@simulate_group.command()
@click.option("--date", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Date of the evening.")
@click.option("--source", "source_name", default="Crab", show_default=True, help="Name of the target.")
@sources_option
@click.option("--ra", type=float, help="Right ascension [deg] of a target that is not in the catalogue.")
@click.option("--dec", type=float, help="Its declination [deg].")
@click.option("--flux", default=1.0, show_default=True, help="Gamma rays, in units of the Crab nebula.")
@click.option("--wobbles", default="W1,W2", show_default=True, help="W1 to W4, taken in turn by the runs.")
@click.option("--runs", "n_runs", default=4, show_default=True, help="Runs on the source, per telescope.")
@click.option("--run-seconds", default=30.0, show_default=True, help="Length of a run.")
@click.option("--interval", "interval_minutes", default=20.0, show_default=True, help="Begin to begin [min].")
@click.option("--nsb", "nsb_mhz", default=100.0, show_default=True, help="Night sky [MHz per pixel].")
@click.option("--pedestal-rate", default=100.0, show_default=True, help="Interleaved pedestal events [Hz].")
@click.option("--background", default=1.0, show_default=True, help="Protons, fraction of their real flux.")
@click.option("--scale", default=1.0, show_default=True, help="Factor on length of runs and pedestal rate.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same bytes.")
@click.option("--calibration-dir", type=click.Path(path_type=Path), help="Write the calibration files there.")
@click.option("--output-dir", "-o", required=True, type=click.Path(path_type=Path), help="Raw root.")
def night(
    date: datetime.datetime,
    source_name: str,
    sources_file: Path,
    ra: float | None,
    dec: float | None,
    wobbles: str,
    pedestal_rate: float,
    scale: float,
    calibration_dir: Path | None,
    output_dir: Path,
    **values: float,
) -> None:
    """
    Simulate the raw files of both telescopes for one night.

    Protons come at their real rate and gamma rays at FLUX times that of the Crab nebula. Each telescope also
    takes a dark run and one of transition; of three or more runs telescope 2 loses the last one. A night
    that is complete is not made again.

    \b
    Examples:
        sst1m simulate night --date 2024-03-04 --source Crab --flux 1 -o raw --calibration-dir calibration
        sst1m simulate night --date 2024-03-04 --flux 50 --runs 4 --run-seconds 20 --scale 0.2 -o raw
        sst1m simulate night --date 2024-04-10 --source Mrk421 --wobbles W1,W2,W3,W4 --seed 7 -o raw
    """
    from ..simulation.night_spec import NightSpec, night_is_complete

    if (ra is None) != (dec is None):
        raise click.UsageError("--ra and --dec belong together")
    if ra is None or dec is None:
        source = read_sources(sources_file).named(source_name)
    else:
        source = Source(source_name, ra, dec)
    spec = NightSpec(
        date=date.date(),
        source=source,
        wobbles=tuple(wobble.strip() for wobble in wobbles.split(",")),
        pedestal_hz=pedestal_rate * scale,
        **values,
    )
    spec = replace(spec, run_seconds=spec.run_seconds * scale)
    if night_is_complete(spec, output_dir) and calibration_dir is None:
        click.echo(f"{output_dir}: this night is complete already")
        return
    from ..simulation.night import simulate_night

    summary = simulate_night(spec, output_dir, calibration_dir=calibration_dir, progress=progress_steps())
    for path, n_events in summary.files.items():
        click.echo(f"{path}: {n_events} events")
    thrown = ", ".join(f"{number} {particle}s" for particle, number in summary.n_thrown.items())
    click.echo(f"thrown: {thrown}; recorded by both telescopes: {summary.n_coincident} showers")


@simulate_group.command()
@click.option("--particle", type=click.Choice(["gamma", "electron", "proton"]), required=True)
@click.option("--showers", "n_showers", default=10_000, show_default=True, help="Number to throw.")
@click.option("--zenith", default=20.0, show_default=True, help="Zenith angle of the pointing [deg].")
@click.option("--azimuth", default=180.0, show_default=True, help="Azimuth of the pointing [deg].")
@click.option("--nsb", "nsb_mhz", default=100.0, show_default=True, help="Night sky [MHz per pixel].")
@click.option("--energy-min", default=0.5, show_default=True, help="[TeV]")
@click.option("--energy-max", default=100.0, show_default=True, help="[TeV]")
@click.option("--index", default=-2.0, show_default=True, help="Index of the power law.")
@click.option("--scatter-radius", default=400.0, show_default=True, help="Of the axes [m].")
@click.option(
    "--view-cone", default=0.0, show_default=True, help="Diffuse within this angle [deg]; 0: a point."
)
@click.option("--offset", default=0.0, show_default=True, help="Point source to the optical axis [deg].")
@click.option("--seed", default=1, show_default=True, help="Same seed, same events.")
@click.option("--shard", default=0, show_default=True, help="Number of this file in its production.")
@click.option(
    "--config",
    "-c",
    "config_file",
    required=True,
    type=click.Path(path_type=Path),
    help="Analysis JSON of MC.",
)
@click.option("--output-file", "-o", required=True, type=click.Path(path_type=Path), help="DL1 file.")
def mc(
    particle: str,
    n_showers: int,
    nsb_mhz: float,
    shard: int,
    seed: int,
    config_file: Path,
    output_file: Path,
    **values: float,
) -> None:
    """
    Simulate Monte-Carlo events of both telescopes, with truth, as a DL1 file.

    Spectrum, area, view cone and the number thrown are in the file, so that event weights follow from it.

    \b
    Examples:
        sst1m simulate mc --particle gamma --offset 0.5 -c config/sst1m_mc_config.json -o gamma_dl1.h5
        sst1m simulate mc --particle proton --showers 50000 --view-cone 5 --scatter-radius 600 \\
            --energy-max 500 -c config/sst1m_mc_config.json -o proton_dl1.h5
    """
    from ..checkpoint import committed
    from ..config import McConfig, load_config
    from ..io.dl1 import check_dl1
    from ..simulation.events import ShowerSpec
    from ..simulation.mc import simulate_mc_dl1

    config = load_config(config_file)
    if not isinstance(config, McConfig):
        raise ConfigError(f"{config_file} is a configuration of data; give one of simulations")
    spec = ShowerSpec(
        particle=particle,
        n_showers=n_showers,
        energy_min_tev=values["energy_min"],
        energy_max_tev=values["energy_max"],
        spectral_index=values["index"],
        scatter_radius_m=values["scatter_radius"],
        pointing_alt_deg=90 - values["zenith"],
        pointing_az_deg=values["azimuth"],
        view_cone_deg=(0.0, values["view_cone"]),
        offset_deg=values["offset"],
        seed=seed,
    )
    with committed(output_file, validate=check_dl1) as part, progress_bar(output_file.name) as show:
        count = adding_up(show, n_showers)
        summary = simulate_mc_dl1(spec, part, config=config, nsb_mhz=nsb_mhz, shard=shard, progress=count)
    click.echo(f"{output_file}: {summary.n_events_written} events of {n_showers} showers thrown")
