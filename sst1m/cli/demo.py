"""Prepare the demo night: simulated raw files of both telescopes, their calibration and a luigi.cfg."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..sources import read_sources
from .progress import progress_steps
from .simulate import sources_option

if TYPE_CHECKING:
    from ..simulation.night_spec import NightSpec

__all__ = ["demo"]

DEMO_DATE = datetime.date(2024, 3, 4)

LUIGI_CFG = """\
# The demo night; everything in it is simulated.
[site]
root_dir = {root}/raw
ana_dir = {root}/night
config_file = {config}/sst1m_data_config.json
calibration_dir = {root}/calibration
sources_file = {sources}
# What `luigi --module tasks MakeProduction --production demo` makes:
mc_dir = {root}/mc
mc_config_file = {config}/sst1m_mc_demo_config.json
irf_dir = {root}/irfs
mono_model_dir = {root}/mc/demo/models_mono
stereo_model_dir = {root}/mc/demo/models_stereo
eff_cut_dir_mono = {root}/mc/demo/cuts
eff_cut_dir_stereo = {root}/mc/demo/cuts

[night]
cs1 = true
cs2 = true
stereo = true
"""


def _config_dir() -> Path:
    """Return the configurations of the checkout."""
    return Path(__file__).resolve().parents[2] / "config"


@click.command()
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--flux", default=300.0, show_default=True, help="Gamma rays, in units of the Crab nebula.")
@click.option("--run-seconds", default=6.0, show_default=True, help="Length of each of the four runs.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same night.")
@sources_option
def demo(output_dir: Path, flux: float, run_seconds: float, seed: int, sources_file: Path) -> None:
    """
    Prepare the demo night of 2024-03-04: a simulated Crab nebula, seen by both telescopes.

    Four runs in wobble mode, a dark run and one of transition; telescope 2 has lost its last run. The runs
    last seconds instead of half an hour, so the source is made brighter by FLUX to be seen all the same. A
    demo night that is complete is not made again.

    \b
    Example:
        sst1m demo --output-dir demo
        export LUIGI_CONFIG_PATH=demo/luigi.cfg
        luigi --module tasks MakeProduction --production demo --workers 2
        luigi --module tasks RunNight --date 2024-03-04 --workers 2
    """
    from ..simulation.night_spec import NightSpec

    root = output_dir.resolve()
    spec = NightSpec(
        date=DEMO_DATE,
        source=read_sources(sources_file).named("Crab"),
        flux=flux,
        seed=seed,
        run_seconds=run_seconds,
        pedestal_hz=40.0,
    )
    _simulate(spec, root)
    (root / "luigi.cfg").write_text(
        LUIGI_CFG.format(root=root, config=_config_dir(), sources=sources_file.resolve())
    )
    click.echo(
        f"Demo night {DEMO_DATE:%Y-%m-%d} (simulated) prepared in {output_dir}: "
        f"raw files in {output_dir}/raw, settings in {output_dir}/luigi.cfg"
    )


def _simulate(spec: "NightSpec", root: Path) -> None:
    from ..simulation.night_spec import night_is_complete

    if (root / "calibration").is_dir() and night_is_complete(spec, root / "raw"):
        return
    from ..simulation.night import simulate_night

    click.echo(f"Simulating the demo night in {root} (about a minute, once only)", err=True)
    simulate_night(spec, root / "raw", calibration_dir=root / "calibration", progress=progress_steps())
