"""From DL2 files to photon lists with their responses and an index, in one directory."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from sst1m.checkpoint import SideFiles, committed, explained_write_errors, held_lock, sweep_parts, write_json
from sst1m.dl3.blocks import Block, BlockRules, Photons, group_runs, select_photons
from sst1m.dl3.events import events_hdu, gti_hdu, pointing_hdu
from sst1m.dl3.files import check_dl3, write_dl3
from sst1m.dl3.header import Cards, observation_cards
from sst1m.dl3.index import HDU_INDEX, OBS_INDEX, remove_index, write_index
from sst1m.dl3.names import Dl3Setup, dl3_name, is_dl3_name
from sst1m.dl3.responses import responses_of
from sst1m.dl3.runs import CutsByNode, ObservedRun, observed_run
from sst1m.errors import DataQualityError, InputError
from sst1m.layout import side_paths
from sst1m.provenance import input_record, provenance_json, read_provenance, utc_now
from sst1m.sources import Source

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig
    from sst1m.irf.catalogue import IrfCatalogue, IrfMethod

__all__ = ["RECORD_NAME", "Dl3Summary", "export_dl3"]

log = logging.getLogger(__name__)

RECORD_NAME = "dl3.json"
"""What an export wrote, by which the next one knows the files that it may remove."""


@dataclass(frozen=True)
class Dl3Summary:
    """
    What an export wrote.

    Parameters
    ----------
    files : tuple of Path
        Photon lists, in the order of time.
    observations : tuple of dict
        For each of them ``obs_id``, ``file``, ``runs``, ``ontime_s``, ``livetime_s``, ``n_dl2``, ``removed``
        (events by cut), ``n_written``.
    left_out : dict of str to str
        Why a DL2 file is in no photon list, by its name.
    removed : tuple of str
        Names of photon lists of an earlier export that are no longer valid.
    """

    files: tuple[Path, ...]
    observations: tuple[dict[str, Any], ...]
    left_out: dict[str, str]
    removed: tuple[str, ...]

    def counts(self) -> dict[str, object]:
        """Return the numbers and names, as JSON values."""
        return {
            "n_written": sum(observation["n_written"] for observation in self.observations),
            "n_dl2": sum(observation["n_dl2"] for observation in self.observations),
            "livetime_s": sum(observation["livetime_s"] for observation in self.observations),
            "observations": list(self.observations),
            "left_out": self.left_out,
            "removed": list(self.removed),
        }


@dataclass(frozen=True)
class _Plan:
    """A photon list before it is written."""

    path: Path
    block: Block
    photons: Photons
    cards: Cards
    hdus: tuple[fits.BinTableHDU, ...]

    @property
    def facts(self) -> dict[str, Any]:
        block = self.block
        return {
            "obs_id": block.obs_id,
            "file": self.path.name,
            "runs": [run.path.name for run in block.runs],
            "ontime_s": block.ontime_s,
            "livetime_s": block.ontime_s * block.deadc,
            "deadc": block.deadc,
            "n_dl2": block.n_dl2,
            "removed": self.photons.removed,
            "n_written": len(self.photons.events),
        }


def export_dl3(
    dl2_files: Sequence[Path],
    output_dir: Path,
    *,
    target: Source,
    setup: Dl3Setup,
    config: "AnalysisConfig",
    cuts: CutsByNode,
    irfs: "IrfCatalogue",
    irf_method: "IrfMethod" = "interpolate",
    rules: BlockRules | None = None,
    side_files: SideFiles | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Dl3Summary:
    """
    Write the photon lists of one target, night and telescope set-up, and their index last of all.

    Nothing in the directory changes before all inputs are read and all responses found. Photon lists of
    an earlier export that are no longer among the products are removed; other files stay.

    Parameters
    ----------
    dl2_files : sequence of Path
        DL2 files of data, in any order.
    output_dir : Path
        Directory of the photon lists.
    target : Source
        What was observed.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.
    config : AnalysisConfig
        Whose event selection applies.
    cuts : CutsByNode
        Gammaness, `GlobalCut` or `CutTables`.
    irfs : IrfCatalogue
        Responses that were made with the same cuts.
    irf_method : {"interpolate", "nearest"}
        Between nodes.
    rules : BlockRules, optional
        When a new photon list begins.
    side_files : callable, optional
        Files beside ``obs-index.fits.gz``.
    progress : callable, optional
        Called with the number of files read and their total.

    Raises
    ------
    InputError
        There is no DL2 file, or one is not what it should be.
    DataQualityError
        No run has any good time.
    ModelMismatchError
        There are no responses for a block, or they were made with other cuts.
    """
    if not dl2_files:
        raise InputError(f"{output_dir}: there is no DL2 file to make photon lists of; check the paths")
    started = utc_now()
    rules = rules or BlockRules()
    runs = _read_runs(sorted(dl2_files), setup, config, rules, progress)
    blocks, left_out = group_runs(runs, setup, rules)
    if not blocks:
        raise DataQualityError(f"{output_dir}: no photon list can be made: {_reasons(left_out)}")
    plans = [_plan(block, output_dir, target, config, cuts, irfs, irf_method) for block in blocks]
    with held_lock(output_dir / ".dl3.lock"):
        return _write(plans, output_dir, left_out, config, started, side_files)


def _read_runs(
    paths: Sequence[Path],
    setup: Dl3Setup,
    config: "AnalysisConfig",
    rules: BlockRules,
    progress: Callable[[int, int], object] | None,
) -> list[ObservedRun]:
    from sst1m.io.dl2 import read_dl2

    runs: list[ObservedRun] = []
    for number, path in enumerate(paths, start=1):
        runs += observed_run(read_dl2(path), path, setup=setup, config=config, max_gap_s=rules.max_gap_s)
        if progress is not None:
            progress(number, len(paths))
    return runs


def _reasons(left_out: Mapping[Path, str]) -> str:
    return "; ".join(f"{path.name}: {reason}" for path, reason in left_out.items())


def _plan(
    block: Block,
    output_dir: Path,
    target: Source,
    config: "AnalysisConfig",
    cuts: CutsByNode,
    irfs: "IrfCatalogue",
    irf_method: "IrfMethod",
) -> _Plan:
    """Make all tables of a photon list."""
    path = output_dir / dl3_name(target.name, block.obs_id)
    responses = responses_of(block, irfs, config=config, cuts=cuts, method=irf_method)
    photons = select_photons(block, responses.cuts)
    cards = observation_cards(block, target, photons) | responses.cards
    cards["CONFIG"] = (config.fingerprint(), "")
    cards["ESCALE"] = (
        getattr(config.analysis, "reco_energy_scaling_factor", 1.0),
        "factor on energies, applied in DL2",
    )
    hdus = (
        events_hdu(photons.events, cards, block.setup),
        gti_hdu(block.good_time, block.setup),
        pointing_hdu(block.track, block.setup),
        *responses.hdus,
    )
    return _Plan(path, block, photons, cards, hdus)


def _write(
    plans: Sequence[_Plan],
    output_dir: Path,
    left_out: Mapping[Path, str],
    config: "AnalysisConfig",
    started: str,
    side_files: SideFiles | None,
) -> Dl3Summary:
    """Bring a directory from one export to the next; killed at any moment, the next call completes it."""
    names = [plan.path.name for plan in plans]
    old = _recorded(output_dir)
    # Whatever a killed export may have written is on the record before it is written.
    write_json(output_dir / RECORD_NAME, {"files": sorted({*old, *names}), "complete": False})
    remove_index(output_dir)
    _sweep(output_dir, {*old, *names})
    for plan in plans:
        side = {side_paths(plan.path)["json"]: _provenance(plan, config, started)}
        with committed(plan.path, validate=check_dl3, side_files=side) as part:
            write_dl3(part, plan.hdus)
        log.info("%s: %d events", plan.path.name, len(plan.photons.events))
    stale = sorted(name for name in old if name not in names and (output_dir / name).exists())
    for name in stale:
        _remove(output_dir / name)
    summary = Dl3Summary(
        files=tuple(plan.path for plan in plans),
        observations=tuple(plan.facts for plan in plans),
        left_out={path.name: reason for path, reason in left_out.items()},
        removed=tuple(stale),
    )
    write_json(output_dir / RECORD_NAME, {"files": sorted(names), "complete": True} | summary.counts())
    write_index(summary.files, output_dir, side_files=side_files and side_files(summary.counts()))
    return summary


def _sweep(output_dir: Path, names: set[str]) -> None:
    """Remove what a killed export left under temporary names."""
    lists = [output_dir / name for name in sorted(names)]
    side = [path for listed in lists for path in side_paths(listed).values()]
    sweep_parts(*lists, *side, output_dir / RECORD_NAME, output_dir / HDU_INDEX, output_dir / OBS_INDEX)


def _recorded(output_dir: Path) -> list[str]:
    """Return the names of photon lists that an earlier export wrote; only such names count."""
    record = read_provenance(output_dir / RECORD_NAME) or {}
    files = record.get("files")
    return (
        [name for name in files if isinstance(name, str) and is_dl3_name(name)]
        if isinstance(files, list)
        else []
    )


def _remove(path: Path) -> None:
    with explained_write_errors(path):
        path.unlink(missing_ok=True)
        side_paths(path)["json"].unlink(missing_ok=True)


def _provenance(plan: _Plan, config: "AnalysisConfig", started: str) -> Callable[[], bytes]:
    def content() -> bytes:
        cards = {keyword: value for keyword, (value, _) in plan.cards.items()}
        by_run = {
            run.label: {
                "dl2": run.info.get("counts"),
                "n_dl2": run.n_dl2,
                "removed": plan.photons.by_run[run.label],
            }
            for run in plan.block.runs
        }
        return provenance_json(
            product=plan.path,
            run={"obs_id": plan.block.obs_id, "target": cards["OBJECT"], "runs": plan.facts["runs"]},
            inputs=[input_record(run.path, models=run.info.get("models")) for run in plan.block.runs],
            config={"fingerprint": config.fingerprint(), "values": config.canonical()},
            started=started,
            counts=plan.facts | {"by_run": by_run},
            options={"irf": {key: value for key, value in cards.items() if key.startswith("IRF")}},
            calibration={},
        )

    return content
