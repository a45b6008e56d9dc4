"""Writes the DL1 file of one shard: simulated here, by a command of the site, or from a file on disk."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tables
from astropy.table import QTable
from ctapipe.io import read_table

from ..errors import ConfigError, InputError
from ..io.dl1 import check_dl1
from ..io.hdf5_objects import is_in
from ..io.thrown import read_thrown
from ..isolation import die_with_parent, run_isolated
from ..nodes import Node
from .plan import PlannedProduction, Shard
from .source import Command, node_words
from .template import fill

if TYPE_CHECKING:
    from ..config import McConfig
    from ..simulation.events import ShowerSpec

__all__ = ["check_shard", "link_dl1", "reduce_file", "run_command", "shower_spec", "simulate"]

_SIMULATED = {"gamma_diffuse": "gamma", "gamma_point": "gamma", "proton_diffuse": "proton"}
_SIMULATED["electron_diffuse"] = "electron"
#: Codes of the particles: CORSIKA's own, and as ctapipe's files carry them.
_CORSIKA_CODES = {"gamma": 1, "electron": 3, "proton": 14}
_PRIMARY_IDS = {"gamma": 0, "electron": 1, "proton": 101}
#: How far the pointing of a file may be from the node it is given for [deg].
_POINTING_TOLERANCE_DEG = 1.0
_SHOWERS = "/simulation/event/subarray/shower"
_POINTING = "/configuration/telescope/pointing"


def shower_spec(planned: PlannedProduction, shard: Shard) -> "ShowerSpec":
    """Return what our simulator is to throw for a shard."""
    from ..simulation.events import ShowerSpec

    sample = shard.sample
    thrown = planned.production.thrown(sample.particle, sample.node.zenith_deg)
    return ShowerSpec(
        particle=_SIMULATED[sample.particle],
        n_showers=sample.n_showers,
        energy_min_tev=thrown.energy_min_tev,
        energy_max_tev=thrown.energy_max_tev,
        spectral_index=thrown.index,
        scatter_radius_m=thrown.scatter_radius_m,
        pointing_alt_deg=90.0 - sample.node.zenith_deg,
        pointing_az_deg=sample.node.azimuth_deg,
        view_cone_deg=(0.0, thrown.view_cone_deg),
        offset_deg=thrown.offset_deg,
        seed=planned.seed(shard),
    )


def simulate(
    planned: PlannedProduction,
    shard: Shard,
    config: "McConfig",
    path: Path,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Simulate a shard with our own simulator."""
    from ..simulation.mc import simulate_mc_dl1

    simulate_mc_dl1(
        shower_spec(planned, shard),
        path,
        config=config,
        nsb_mhz=shard.sample.node.nsb_mhz,
        production=planned.name,
        shard=shard.index,
        obs_id=shard.obs_id,
        progress=progress,
    )


def reduce_file(file: Path, path: Path, config: "McConfig", seed: int) -> None:
    """
    Reduce a sim_telarray file.

    Raises
    ------
    InputError
        It is not there, or cannot be read.
    """
    from ..reduction.simtel import reduce_simtel

    if not file.is_file():
        raise InputError(f"{file}: no such file; put it there and try again with --retry-failed")
    reduce_simtel(file, path, config=config, seed=seed)


def link_dl1(file: Path, path: Path) -> None:
    """
    Take a DL1 file that lies on disk as the shard, by a link.

    Raises
    ------
    InputError
        It is not there.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file; put it there and try again with --retry-failed")
    path.symlink_to(file)


def run_command(
    planned: PlannedProduction, shard: Shard, config: "McConfig", path: Path, work: Path, log_file: Path
) -> None:
    """
    Let the command of the site simulate a shard, and reduce what it wrote.

    Parameters
    ----------
    planned, shard
        Which shard.
    config : McConfig
        Analysis of the simulations.
    path : Path
        DL1 file, made anew.
    work : Path
        Directory for the command, made anew and removed at the end.
    log_file : Path
        Gets what the command prints.

    Raises
    ------
    InputError
        It failed, ran too long, or wrote nothing.
    ConfigError
        There is no such program.
    """
    source = planned.production.source
    assert isinstance(source, Command)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    output = work / f"run{shard.obs_id:06d}{source.output_suffix}"
    arguments = command_line(planned, shard, output)
    try:
        _call(arguments, work, log_file, source.timeout_minutes)
        if not output.is_file():
            raise InputError(f"{arguments[0]} ended without an error, but wrote no {output.name}")
        run_isolated(
            reduce_file, output, path, config, planned.seed(shard), output=log_file, subject=str(output)
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def command_line(planned: PlannedProduction, shard: Shard, output: Path) -> list[str]:
    """
    Return program and arguments for a shard, each filled in for itself.

    Raises
    ------
    ConfigError
        If a value does not go with the form that the template asks for.
    """
    source, sample = planned.production.source, shard.sample
    assert isinstance(source, Command)
    thrown = planned.production.thrown(sample.particle, sample.node.zenith_deg)
    values: dict[str, object] = {
        "particle": sample.particle,
        "role": sample.role,
        **node_words(sample.node),
        "shard": shard.index,
        "energy_min": thrown.energy_min_tev,
        "energy_max": thrown.energy_max_tev,
        "index": thrown.index,
        "scatter_radius": thrown.scatter_radius_m,
        "view_cone": thrown.view_cone_deg,
        "offset": thrown.offset_deg,
        "primary": _CORSIKA_CODES[_SIMULATED[sample.particle]],
        "showers": sample.n_showers,
        "seed": planned.seed(shard),
        "obs_id": shard.obs_id,
        "output": str(output),
    }
    try:
        return [fill(text, values) for text in source.command]
    except ValueError as error:
        raise ConfigError(f"{planned.file}: source.command: {error}") from None


def _call(arguments: list[str], work: Path, log_file: Path, timeout_minutes: float | None) -> None:
    """Run a program in a process group of its own, which ends together with this process."""
    parent = os.getpid()
    with log_file.open("ab") as log:
        try:
            process = subprocess.Popen(
                arguments,
                cwd=work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )
        except OSError as error:
            raise ConfigError(
                f"source.command: {arguments[0]} cannot be started ({error.strerror}); correct the file of "
                "the production"
            ) from None
        try:
            status = process.wait(None if timeout_minutes is None else 60 * timeout_minutes)
        except subprocess.TimeoutExpired:
            raise InputError(f"{arguments[0]} took longer than {timeout_minutes:g} minutes") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status != 0:
        raise InputError(f"{arguments[0]} ended with status {status}; what it printed is in the log")


def check_shard(path: Path, planned: PlannedProduction, shard: Shard) -> dict[str, Any]:
    """
    Return the counts of a shard whose file is complete and holds what it should.

    Raises
    ------
    InputError
        It does not open, or holds other particles or another pointing than the sample.
    """
    info = check_dl1(path)
    if not info.get("simulated"):
        raise InputError(f"{planned.input_file(shard)}: is a file of data; a production takes simulations")
    thrown = read_thrown(path)
    sample, origin = shard.sample, planned.input_file(shard) or shard
    if (sample.particle == "gamma_point") != thrown.is_point_source:
        raise InputError(
            f"{origin}: its showers come from a cone of {thrown.viewcone_max_deg:g} deg, which is not what "
            f"{sample.particle} means; it lies in the wrong place"
        )
    with tables.open_file(str(path), "r") as h5file:
        _check_pointing(h5file, sample.node, str(origin))
        _check_particle(h5file, sample.particle, str(origin))
    return {
        "n_events": int(info["n_events_written"]),
        "n_telescope_events": info["n_telescope_events"],
        "n_thrown": thrown.n_showers,
    }


def _check_pointing(h5file: tables.File, node: Node, origin: str) -> None:
    for name in h5file.get_node(_POINTING)._v_leaves if is_in(h5file, _POINTING) else ():
        row = QTable(read_table(h5file, f"{_POINTING}/{name}"))[0]
        azimuth, altitude = (row[f"telescope_pointing_{c}"].to_value("deg") for c in ("azimuth", "altitude"))
        distance = _separation_deg(node, 90.0 - altitude, azimuth)
        if distance > _POINTING_TOLERANCE_DEG:
            raise InputError(
                f"{origin}: {name} looks to zenith {90 - altitude:.1f} deg, azimuth {azimuth % 360:.1f} deg, "
                f"{distance:.1f} deg from {node}; the file lies in the wrong place"
            )


def _check_particle(h5file: tables.File, particle: str, origin: str) -> None:
    wanted = _PRIMARY_IDS[_SIMULATED[particle]]
    found = (
        h5file.get_node(_SHOWERS).col("true_shower_primary_id") if is_in(h5file, _SHOWERS) else np.array([])
    )
    if np.any(found != wanted):
        raise InputError(
            f"{origin}: holds particles of the kind {found[found != wanted][0]}, {particle} is {wanted}; "
            "it lies in the wrong place"
        )


def _separation_deg(node: Node, zenith_deg: float, azimuth_deg: float) -> float:
    """Return the angle between a node's pointing and another [deg]."""
    z1, z2 = np.deg2rad([node.zenith_deg, zenith_deg])
    turn = np.deg2rad(node.azimuth_deg - azimuth_deg)
    cosine = np.cos(z1) * np.cos(z2) + np.sin(z1) * np.sin(z2) * np.cos(turn)
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))
