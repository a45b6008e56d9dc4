"""Collects the shards of a sample into one file."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..checkpoint import committed, held_lock, sweep_parts
from ..errors import InputError
from ..layout import side_paths
from ..provenance import provenance_json, utc_now
from .failures import ShardFailure, failures_in
from .plan import PlannedProduction, Sample

if TYPE_CHECKING:
    from ..config import McConfig

__all__ = ["SampleState", "merge_sample", "open_shards", "sample_state"]

log = logging.getLogger(__name__)

_SHOWN = 3


@dataclass(frozen=True)
class SampleState:
    """
    The shards of a sample, as the disk has them.

    Parameters
    ----------
    files : tuple of Path
        Those that are done, in their order.
    failed : dict of int to ShardFailure
        Those that cannot be made, by their number.
    n_shards : int
        In all.
    """

    files: tuple[Path, ...]
    failed: dict[int, ShardFailure]
    n_shards: int

    @property
    def n_open(self) -> int:
        """Shards that are neither done nor failed."""
        return self.n_shards - len(self.files) - len(self.failed)


def sample_state(planned: PlannedProduction, sample: Sample) -> SampleState:
    """Look at the shards of a sample: one listing of their directory, no file is opened."""
    directory = planned.layout.shards(sample.particle, sample.node, sample.role)
    there = _names(directory)
    names = {shard.index: str(shard.name) for shard in sample.shards()}
    done = {index: directory / name for index, name in names.items() if name in there}
    failed = {i: failure for i, failure in failures_in(planned.layout, sample).items() if i not in done}
    return SampleState(tuple(done.values()), failed, sample.n_shards)


def open_shards(planned: PlannedProduction, sample: Sample, first: int, count: int) -> list[int]:
    """Return the numbers of those of some shards that are neither done nor known to fail."""
    there = _names(planned.layout.shards(sample.particle, sample.node, sample.role))
    failed = failures_in(planned.layout, sample)
    return [
        shard.index
        for shard in sample.shards(first, count)
        if shard.index not in failed and str(shard.name) not in there
    ]


def _names(directory: Path) -> set[str]:
    return set(os.listdir(directory)) if directory.is_dir() else set()


def merge_sample(planned: PlannedProduction, sample: Sample, config: "McConfig") -> dict[str, Any] | None:
    """
    Join the shards of a sample, if enough of them are there.

    Parameters
    ----------
    planned : PlannedProduction
        The production.
    sample : Sample
        Which.
    config : McConfig
        Analysis of the simulations; where it stores no images, those without noise are left out, too.

    Returns
    -------
    dict or None
        ``/sst1m/info`` of the file; None if another process has made it meanwhile.

    Raises
    ------
    InputError
        Shards are missing, or more have failed than the production accepts.
    """
    product = planned.layout.merged(sample.particle, sample.node, sample.role)
    lock = planned.layout.lock(product)
    with held_lock(lock, on_wait=lambda: log.info("%s: another process merges it; waiting", sample)):
        if product.exists():
            return None
        sweep_parts(product, *side_paths(product).values())
        state = sample_state(planned, sample)
        _refuse_too_few(planned, sample, state)
        return _merge(planned, sample, state, config, product)


def _refuse_too_few(planned: PlannedProduction, sample: Sample, state: SampleState) -> None:
    if state.n_open:
        raise InputError(
            f"{sample}: {state.n_open} of {state.n_shards} shards are missing; run the command again"
        )
    accepted = planned.production.accepted_failures
    if state.files and len(state.failed) <= accepted * state.n_shards:
        return
    first = [f"{index}: {failure.message}" for index, failure in list(state.failed.items())[:_SHOWN]]
    more = ", ..." if len(state.failed) > _SHOWN else ""
    directory = planned.layout.sample("dl1", sample.particle, sample.node, sample.role) / "failed"
    raise InputError(
        f"{sample}: {len(state.failed)} of {state.n_shards} shards failed, accepted are {accepted:.1%} "
        f"({'; '.join(first)}{more}); logs in {directory}; mend the cause and try again with "
        "--retry-failed, or raise accepted_failures"
    )


def _merge(
    planned: PlannedProduction, sample: Sample, state: SampleState, config: "McConfig", product: Path
) -> dict[str, Any]:
    from ..io.dl1 import check_dl1
    from ..io.merge import merge_dl1

    started, start = utc_now(), monotonic()
    about = {
        "production": planned.name,
        "particle": sample.particle,
        "node": str(sample.node),
        "role": sample.role,
    }
    failed = [
        {"shard": index, "error": failure.error, "message": failure.message}
        for index, failure in state.failed.items()
    ]
    infos: list[dict[str, Any]] = []

    def provenance() -> bytes:
        return provenance_json(
            product=product,
            run=about | {"n_shards": state.n_shards, "n_failed": len(failed)},
            # The files themselves are listed in the product; their sizes in their own provenance.
            inputs=[{"path": str(path)} for path in state.files],
            config={
                "file": str(config.path),
                "fingerprint": config.fingerprint(),
                "values": config.canonical(),
            },
            started=started,
            counts={key: infos[0][key] for key in ("n_events", "n_telescope_events", "n_thrown")},
            options={"production": planned.production.canonical()},
            calibration={"failed": failed},
        )

    with committed(product, validate=check_dl1, side_files={side_paths(product)["json"]: provenance}) as part:
        images = config.DataWriter.write_images != "none"
        infos.append(merge_dl1(state.files, part, skip_images=not images, about=about, failed=failed))
    log.info(
        "%s: %s files merged, %s events of %s showers (%.1f s)%s", sample, len(state.files),
        infos[0]["n_events"], infos[0]["n_thrown"], monotonic() - start,
        f", {len(failed)} shards failed" if failed else "",
    )  # fmt: skip
    return infos[0]
