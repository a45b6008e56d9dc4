"""The steps of a night after DL1: what makes each product of a target, one call per step."""

from collections.abc import Callable, Iterator

from sst1m.checkpoint import SideFiles
from sst1m.config import DataConfig
from sst1m.errors import ConfigError
from sst1m.night_products import (
    ProductJob,
    ProductOutcome,
    make_product,
    product_state,
    remove_photon_lists,
)
from sst1m.night_science import NightScience, Setup

__all__ = ["export", "match_telescopes", "reconstruct"]

Settled = Iterator[tuple[ProductJob, ProductOutcome]]
_TEL_SETUP = {"cs1": "tel_021", "cs2": "tel_022", "stereo": "stereo"}


def _data_config(science: NightScience) -> DataConfig:
    if not isinstance(science.config, DataConfig):
        raise ConfigError(f"{science.config.path}: is no configuration of data")
    return science.config


def match_telescopes(science: NightScience) -> Settled:
    """
    Find the events that both telescopes saw in a night, and write them run by run.

    Yields
    ------
    tuple of ProductJob and ProductOutcome
        Each product that was not settled before.
    """
    from sst1m.coincidence import match_night, write_coincidences

    config = _data_config(science)

    def write_pairs(side_files: SideFiles) -> None:
        pairs = match_night(science.dl1_files("cs1"), science.dl1_files("cs2"), config)
        write_coincidences(pairs, job.product, side_files=side_files)

    job = science.coincidences
    if product_state(job)[0] == "waiting":
        yield job, make_product(job, write_pairs)
    if job.product.exists():
        yield from _stereo_runs(science, config)


def _stereo_runs(science: NightScience, config: DataConfig) -> Settled:
    from sst1m.coincidence import read_coincidences, write_stereo_run

    waiting = [job for job in science.stereo_runs() if product_state(job)[0] == "waiting"]
    if not waiting:
        return
    coincidences = read_coincidences(science.coincidences.product)
    for job in waiting:

        def write(side_files: SideFiles, job: ProductJob = job) -> None:
            write_stereo_run(coincidences, job.inputs[0], job.product, config, side_files=side_files)

        yield job, make_product(job, write)


def reconstruct(
    science: NightScience, setup: Setup, *, on_progress: Callable[[int], object] | None = None
) -> Settled:
    """
    Make the DL2 files of a set-up with forests that are loaded once.

    Parameters
    ----------
    science : NightScience
        Products of the target.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.
    on_progress : callable, optional
        Called with the percentage that is done.

    Yields
    ------
    tuple of ProductJob and ProductOutcome
        Each product that was not settled before.
    """
    from sst1m.reco.model_store import ModelStore
    from sst1m.reco.reconstruct import reconstruct_file

    waiting = [job for job in science.reconstructions(setup) if product_state(job)[0] == "waiting"]
    if not waiting:
        return
    store = ModelStore(science.paths.model_dir(setup), stereo=setup == "stereo")
    for number, job in enumerate(waiting, start=1):

        def write(side_files: SideFiles, job: ProductJob = job) -> None:
            reconstruct_file(
                job.inputs[0],
                job.product,
                config=science.config,
                store=store,
                tel_setup=_TEL_SETUP[setup],
                side_files=side_files,
            )

        yield job, make_product(job, write)
        if on_progress is not None:
            on_progress(round(100 * number / len(waiting)))


def export(science: NightScience, setup: Setup, *, energy_dependent: bool) -> Settled:
    """
    Write the photon lists of a set-up with their responses and index.

    Parameters
    ----------
    science : NightScience
        Products of the target.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.
    energy_dependent : bool
        Gammaness cuts by energy instead of the global one.

    Yields
    ------
    tuple of ProductJob and ProductOutcome
        The index of the photon lists, if it was not settled before.
    """
    job = science.photon_lists(setup, energy_dependent=energy_dependent)
    if not job.inputs:
        remove_photon_lists(science.night, job.product)
        return
    if product_state(job)[0] != "waiting":
        return

    def write(side_files: SideFiles) -> None:
        from sst1m.dl3.cuts import CutTables, GlobalCut
        from sst1m.dl3.export import export_dl3
        from sst1m.irf.catalogue import IrfCatalogue
        from sst1m.sources import read_sources

        directory = science.paths.cut_dir(setup) if energy_dependent else None
        cuts = CutTables(directory, setup) if directory else GlobalCut.from_config(science.config)
        export_dl3(
            job.inputs,
            job.product.parent,
            target=read_sources(science.paths.sources()).named(science.target),
            setup=setup,
            config=science.config,
            cuts=cuts,
            irfs=IrfCatalogue(science.paths.responses(), _TEL_SETUP[setup], cuts.tag),
            irf_method=science.paths.irf_method,
            side_files=side_files,
        )

    yield job, make_product(job, write)
