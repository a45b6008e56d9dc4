"""Make the instrument response of a node by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import ConfigError, InputError
from .progress import tell_step

if TYPE_CHECKING:
    from ..config import McConfig
    from ..events import ReconstructedEvents
    from ..irf.cuts import GammanessCuts
    from ..nodes import Node

__all__ = ["make_irfs"]

#: Version of the tree of responses where none is asked for: that of the software.
_VERSION = "_".join(__version__.split(".")[:2])
_COUNTED = {"NSELGAM": "gammas", "NSELPRO": "protons", "NSELELE": "electrons"}


def _config(path: Path) -> "McConfig":
    from ..config import McConfig, load_config

    config = load_config(path)
    if not isinstance(config, McConfig):
        raise ConfigError(f"{path} is a configuration of data; give one of simulations")
    return config


def _node(name: str | None, gamma: "ReconstructedEvents", path: Path) -> "Node":
    from ..nodes import Node

    if name is not None:
        return Node.parse(name)
    if gamma.node is None:
        raise InputError(f"{path}: does not say which node it was simulated at; give it with --node")
    return gamma.node


def _cuts(
    directory: Path | None, config: "McConfig", node: "Node", gamma: "ReconstructedEvents"
) -> "GammanessCuts":
    """Return the global cut, or the one table of the set-up in a directory or in that of the node below."""
    from ..irf.cuts import GammanessCuts

    if directory is None:
        return GammanessCuts.from_config(config)
    pattern = f"gammaness_cuts*{gamma.tel_setup}*h5"
    found = sorted(directory.glob(f"{node}/{pattern}")) or sorted(directory.glob(pattern))
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{directory}: needs one file {pattern} there or in {node}, there is {listed}; "
            "make it, or leave only one"
        )
    return GammanessCuts.read(found[0])


def _classes(gamma: "ReconstructedEvents", path: Path) -> list[int]:
    """Return the classes that there are events of."""
    from ..layout_mc import EVENT_CLASSES

    if "event_type" not in gamma.table.colnames:
        raise InputError(f"{path}: its events have no classes; make them with event-classes")
    return [n for n in EVENT_CLASSES if n in gamma.table["event_type"]]


def _point_like_path(path: Path, offset_deg: float) -> Path:
    """Return the path of a point-like response: a directory of its own, so that no reader mixes them up."""
    directory = path.parent.with_name(f"{path.parent.name}_pointlike_{offset_deg:g}deg")
    return directory / path.name.replace("_irfs.fits", f"_pointlike_{offset_deg:g}deg_irfs.fits")


@click.command(name="make-irfs")
@click.option(
    "--input-file-gamma",
    "-fg",
    required=True,
    type=click.Path(path_type=Path),
    help="DL2 file of diffuse gammas (of a point source with --point-like).",
)
@click.option(
    "--input-file-proton",
    "-fp",
    required=True,
    type=click.Path(path_type=Path),
    help="DL2 file of diffuse protons.",
)
@click.option(
    "--input-file-electron", "-fe", type=click.Path(path_type=Path), help="DL2 file of diffuse electrons."
)
@click.option(
    "--config", "-c", "config_file", required=True, type=click.Path(path_type=Path), help="JSON of MC."
)
@click.option(
    "--output-dir",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("IRFs"),
    show_default=True,
    help="Root of the tree of responses.",
)
@click.option(
    "--gammaness-cut-dir",
    type=click.Path(path_type=Path),
    help="With a table of energy-dependent cuts, or one directory of them per node; the global cut without.",
)
@click.option("--node", "node_name", help="As ze20_az180_nsb100; what the gamma file says where left out.")
@click.option("--point-like", type=click.FloatRange(0, 10), help="Point-like for a source so far off [deg].")
@click.option(
    "--energy-range",
    type=click.FloatRange(0, min_open=True),
    nargs=2,
    help="Ends of the axes of true energy [TeV], the same for all nodes; as thrown where left out.",
)
@click.option(
    "--scale-true-energies", is_flag=True, help="Biased response: times true_energy_scaling_factor."
)
@click.option("--event-classes", is_flag=True, help="One response per class of events instead of one.")
@click.option("--irf-version", default=_VERSION, show_default=True, help="MAJOR_MINOR in the tree.")
@click.option("--plot", is_flag=True, help="Also draw the components, as a PNG in the output directory.")
def make_irfs(
    input_file_gamma: Path,
    input_file_proton: Path,
    input_file_electron: Path | None,
    config_file: Path,
    output_dir: Path,
    gammaness_cut_dir: Path | None,
    node_name: str | None,
    point_like: float | None,
    energy_range: tuple[float, float] | None,
    scale_true_energies: bool,
    event_classes: bool,
    irf_version: str,
    plot: bool,
) -> None:
    """
    Make the instrument response of a node from simulated DL2 files.

    Effective area, point spread function, energy dispersion and background, as GADF in the standard tree.

    \b
    Examples:
        sst1m make-irfs -fg gamma_dl2.h5 -fp proton_dl2.h5 -c config/sst1m_mc_config.json -o IRFs --plot
        sst1m make-irfs -fg gamma_dl2.h5 -fp proton_dl2.h5 -c config/sst1m_mc_config.json -o IRFs \\
            --gammaness-cut-dir cuts
        sst1m make-irfs -fg point_gamma_dl2.h5 -fp proton_dl2.h5 -c config/sst1m_mc_config.json \\
            --point-like 0.7
        sst1m make-irfs -fg classes/gamma_dl2.h5 -fp classes/proton_dl2.h5 \\
            -c config/sst1m_mc_config.json --event-classes
    """
    from ..io.dl2 import read_dl2
    from ..layout_mc import irf_path

    config = _config(config_file)
    inputs = [path for path in (input_file_gamma, input_file_proton, input_file_electron) if path]
    tell_step("reading the events")
    events = [read_dl2(path) for path in inputs]
    node = _node(node_name, events[0], input_file_gamma)
    cuts = _cuts(gammaness_cut_dir, config, node, events[0])
    request = {
        "config": config,
        "node": node,
        "setup": events[0].tel_setup,
        "point_like": point_like,
        "energy_range_tev": energy_range,
        "scale_true_energies": scale_true_energies,
        "inputs": inputs,
    }
    for event_class in _classes(events[0], input_file_gamma) if event_classes else (None,):
        of_class = cuts.of_class(event_class)
        output = irf_path(output_dir, events[0].tel_setup, irf_version, node, of_class.tag)
        if point_like is not None:
            output = _point_like_path(output, point_like)
        _make(output, events, request | {"cuts": of_class}, output_dir if plot else None)


def _make(
    output: Path, events: "list[ReconstructedEvents]", request: dict[str, Any], figures: Path | None
) -> None:
    """Make one response, say what is in it, and draw it."""
    from ..irf.maker import make_irfs as make

    tell_step(f"making {output.name}")
    irf = make(output, *events, **request)
    counts = [f"{irf.making[card]} {kind}" for card, kind in _COUNTED.items() if card in irf.making]
    click.echo(f"{output}: {', '.join(counts)} after all cuts")
    if figures is not None:
        from ..irf.plots import plot_irfs

        figure = figures / f"{output.parent.name}_{irf.setup}.png"
        plot_irfs(irf, figure)
        click.echo(f"{figure}")
