"""Reconstruct the events of DL1 files by hand."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..checkpoint import sweep_parts
from ..errors import InputError
from ..layout import side_paths
from ..logs import run_log
from ..nodes import Node
from .progress import progress_bar

if TYPE_CHECKING:
    from ..config import AnalysisConfig
    from ..reco.model_store import ModelStore
    from ..reco.reconstruct import Dl2Summary

__all__ = ["dl1_dl2"]


def _setups(
    dl1: Path, *, stereo: bool, simulated: bool, wanted: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield the set-ups to reconstruct, and the name of the product of each."""
    from ..io.dl1 import check_dl1
    from ..reco.reconstruct import dl2_name

    telescopes = sorted(int(tel_id) for tel_id in check_dl1(dl1)["n_telescope_events"])
    known = ["stereo"] if stereo else [f"tel_{tel_id:03d}" for tel_id in telescopes]
    for setup in wanted or known:
        if setup not in known:
            raise InputError(f"{dl1} has no {setup}; it has {', '.join(known)}")
        if simulated or len(known) > 1:
            yield setup, f"{dl1.name.removesuffix('.h5').removesuffix('_dl1')}_{setup}_dl2.h5"
        else:
            yield setup, dl2_name(dl1)


def _reconstruct(
    dl1: Path,
    product: Path,
    setup: str,
    config: "AnalysisConfig",
    store: "ModelStore",
    node: Node | None,
    scale_intensities: bool,
) -> "Dl2Summary":
    """Reconstruct one file with its log beside it."""
    from ..reco.reconstruct import reconstruct_file

    product.parent.mkdir(parents=True, exist_ok=True)
    sweep_parts(product)
    work_log = product.with_name(f".{product.stem}.part.log")
    heading = {"input": dl1, "configuration": config.path, "models": store.model_dir, "product": product}
    with contextlib.ExitStack() as stack:
        stack.callback(work_log.unlink, missing_ok=True)
        lines = stack.enter_context(run_log(work_log, heading))

        def log_text() -> bytes:
            lines.result("done")
            return lines.content()

        return reconstruct_file(
            dl1,
            product,
            config=config,
            store=store,
            tel_setup=setup,
            node=node,
            scale_intensities=scale_intensities,
            side_files=lambda _counts: {side_paths(product)["log"]: log_text},
        )


@click.command(name="dl1-dl2")
@click.option(
    "--input-file",
    "-f",
    "input_files",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="DL1 file; may be given several times, the forests are loaded once.",
)
@click.option(
    "--config", "-c", "config_file", required=True, type=click.Path(path_type=Path), help="Analysis JSON."
)
@click.option(
    "--models-dir",
    "-m",
    required=True,
    type=click.Path(path_type=Path),
    help="Models: a directory with one directory per node, or that of one node.",
)
@click.option("--output-dir", "-o", type=click.Path(path_type=Path), default=Path("."), show_default=True)
@click.option("--stereo", is_flag=True, help="Showers that both telescopes have seen; needs stereo models.")
@click.option(
    "--scale-intensities", is_flag=True, help="Multiply intensities by NsbCalibrator.intensity_correction."
)
@click.option(
    "--telescope", "-t", "telescopes", multiple=True, help="Like tel_021; all of the file where left out."
)
@click.option(
    "--node", "node_name", help="Like ze20_az180_nsb100; else the nearest to pointing and night sky."
)
def dl1_dl2(
    input_files: tuple[Path, ...],
    config_file: Path,
    models_dir: Path,
    output_dir: Path,
    stereo: bool,
    scale_intensities: bool,
    telescopes: tuple[str, ...],
    node_name: str | None,
) -> None:
    """
    Reconstruct energy, particle and direction of the events of DL1 files.

    Each telescope of a simulated file gets a product of its own. Forests that were trained with other
    features, or for a far node, are refused.

    \b
    Examples:
        sst1m dl1-dl2 -f SST1M1_20240304_0012_W1_dl1.h5 -c config/sst1m_data_config.json \\
            -m models_mono -o dl2
        sst1m dl1-dl2 -f SST1M1_20240304_0012_W1_dl1_stereo.h5 -c config/sst1m_data_config.json \\
            -m models_stereo --stereo -o dl2
        sst1m dl1-dl2 -f gamma_test_dl1.h5 -c config/sst1m_mc_config.json -m models_mono -t tel_001 \\
            --node ze20_az180_nsb100 -o dl2
    """
    for path in input_files:
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; check the path")
    from ..config import McConfig, load_config
    from ..reco.model_store import ModelStore

    config, store = load_config(config_file), ModelStore(models_dir, stereo)
    node = Node.parse(node_name) if node_name else None
    simulated = isinstance(config, McConfig)
    work = [
        (path, setup, output_dir / name)
        for path in input_files
        for setup, name in _setups(path, stereo=stereo, simulated=simulated, wanted=telescopes)
    ]
    summaries = []
    with progress_bar("DL2") as show:
        for done, (path, setup, product) in enumerate(work, start=1):
            summaries.append(_reconstruct(path, product, setup, config, store, node, scale_intensities))
            show(done, len(work))
    for summary in summaries:
        lost = {k: n for k, n in summary.counts.items() if n and k not in ("n_dl1", "n_written")}
        why = ", ".join(f"{name} {number}" for name, number in lost.items()) or "none lost"
        click.echo(f"{summary.path}: {summary.n_written} of {summary.n_dl1} events ({why}), {summary.node}")
