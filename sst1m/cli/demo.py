"""Prepare the demo night: a small raw tree, the operator's corrections and a luigi.cfg."""

import os
import shutil
from pathlib import Path

import click

from ..errors import InputError

__all__ = ["demo"]

DATA_VARIABLE = "SST1M_DATA"
RAW_FILE = Path("raw/example_SST1M_20180822.fits.fz")
RAW_NAME = Path("raw/cs2/data/raw/2018/08/22/SST1M2/SST1M2_20180822_0001.fits.fz")

# The file of 2018 has no TARGET header. The direction is invented: high in the sky at that moment.
CORRECTIONS = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: tel, datatype: int64}
# - {name: run, datatype: int64}
# - {name: target, datatype: string}
# - {name: wobble, datatype: string}
# - {name: ra, unit: deg, datatype: float64}
# - {name: dec, unit: deg, datatype: float64}
# - {name: exclude, datatype: string}
# - {name: reason, datatype: string}
# schema: astropy-2.0
tel run target wobble ra dec exclude reason
2 1 Demo W1 330.0 45.0 "" "no TARGET header in 2018; direction invented for the demo"
"""

LUIGI_CFG = """\
[site]
root_dir = {root}/raw
ana_dir = {root}/night
config_file = {config}
calibration_dir = {calibration}

[night]
cs1 = false
cs2 = true
stereo = false
"""


def _find_data(data_dir: Path | None) -> Path:
    """Return the directory that holds the real raw file of 2018 and the calibration files."""
    candidates = [data_dir, os.environ.get(DATA_VARIABLE), Path(__file__).parents[3] / "shared" / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / RAW_FILE).is_file():
            return Path(candidate).resolve()
    raise InputError(
        f"the demo night needs the real raw file {RAW_FILE.name} and the telescopes' calibration files; "
        f"name their directory with --data-dir or in the variable {DATA_VARIABLE}"
    )


def _config_file() -> Path:
    """Return the data configuration of the checkout."""
    return Path(__file__).parents[2] / "config" / "sst1m_data_config.json"


@click.command()
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help=f"Real data; default: ${DATA_VARIABLE}.")
def demo(output_dir: Path, data_dir: Path | None) -> None:
    """
    Prepare the demo night of 2018-08-22: 32 real events of telescope 2.

    \b
    Example:
        sst1m demo --output-dir demo
        LUIGI_CONFIG_PATH=demo/luigi.cfg luigi --module tasks RunNight --date 2018-08-22 --until dl1
    """
    data = _find_data(data_dir)
    root = output_dir.resolve()
    raw = root / RAW_NAME
    raw.parent.mkdir(parents=True, exist_ok=True)
    if not raw.exists():
        partial = raw.with_name(f".{raw.name}.part")
        shutil.copy2(data / RAW_FILE, partial)
        partial.rename(raw)
    night = root / "night" / "20180822"
    night.mkdir(parents=True, exist_ok=True)
    corrections = night / "corrections.ecsv"
    if not corrections.exists():
        corrections.write_text(CORRECTIONS)
    settings = LUIGI_CFG.format(root=root, config=_config_file(), calibration=data / "calibration")
    (root / "luigi.cfg").write_text(settings)
    click.echo(f"Demo night prepared in {output_dir}: raw file {RAW_NAME.name}, {output_dir}/luigi.cfg")
