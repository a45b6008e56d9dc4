"""Keeps the manifest of a night up to date with the disk, and closes the night when nothing is left to do."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from sst1m.checkpoint import explained_write_errors, held_lock, sweep_parts, write_atomically, write_json
from sst1m.corrections import corrections_digest
from sst1m.errors import Sst1mError
from sst1m.json_object import json_object
from sst1m.layout import NightLayout
from sst1m.manifest import STATES, Manifest, read_manifest
from sst1m.names import RawName
from sst1m.night_products import remove_orphans
from sst1m.night_scan import NightRequest, list_raw_files, night_signature, scan_night
from sst1m.provenance import read_provenance, software_versions, utc_now
from sst1m.runstate import clear_failures, remove_stale_products, with_states

__all__ = [
    "LEVELS",
    "NightPlan",
    "ScienceState",
    "close_night",
    "closed_states",
    "is_closed",
    "make_manifest",
    "refresh_manifest",
    "refresh_while_running",
    "retry_quarantined",
]

LEVELS = ("dl1", "dl2", "dl3")
"""Data levels up to which a night can be processed, in their order."""

log = logging.getLogger(__name__)

#: How long a manifest is left alone after a refresh, some hundred times what that took [s per byte].
_REST_S_PER_BYTE = 1e-4
#: A smaller one, of up to about a hundred runs, is refreshed after every run: the observer sees the count.
_SMALL_BYTES = 30_000


@dataclass(frozen=True)
class ScienceState:
    """
    The state of a product after DL1.

    Parameters
    ----------
    target, setup, level : str
        What it belongs to; `level` is ``dl1`` (both telescopes together), ``dl2``, ``dl3`` or ``dl3_eff``.
    product : str
        Path below the directory of the night; empty where the set-up is not possible.
    state : str
        ``done``, ``quarantined``, ``waiting``, or ``skipped`` where the night has no data for it.
    reason : str
        Why it is not done.
    """

    target: str
    setup: str
    level: str
    product: str
    state: Literal["done", "quarantined", "waiting", "skipped"]
    reason: str = ""


@dataclass(frozen=True)
class NightPlan:
    """
    What is asked of a night.

    Parameters
    ----------
    request : NightRequest
        Raw files and paths.
    until : str
        Data level up to which the night is to be processed, one of `LEVELS`.
    config_digest : str
        Digest of the configuration file's bytes.
    options : mapping
        Options that change what products contain.
    science : str
        Digest of models, responses, cuts and sources; empty up to DL1.
    targets : tuple of str
        Targets that are asked for after DL1; empty: all.
    """

    request: NightRequest
    until: str
    config_digest: str
    options: Mapping[str, object]
    science: str = ""
    targets: tuple[str, ...] = ()

    @property
    def night(self) -> NightLayout:
        """Paths of the night."""
        return self.request.night


def _raw_directories(request: NightRequest) -> dict[int, Path]:
    return {tel_id: request.raw_directory(tel_id) for tel_id in request.tel_ids}


def make_manifest(request: NightRequest) -> Manifest:
    """
    Scan the raw files of a night, remove products that no longer belong to them, and write the manifest.

    Raises
    ------
    InputError
        If the night has no raw files.
    ConfigError
        If the corrections are not valid.
    OutputError
        If the night's directory cannot be written.
    """
    manifest = scan_night(request)
    with held_lock(request.night.locks / "night.lock"):
        sweep_parts(request.night.manifest)
        # What cannot be read now says nothing about what was made from it.
        known = [row for row in manifest.rows if row.file not in manifest.unreadable]
        stale = chain(remove_stale_products(request.night, known), remove_orphans(request.night))
        for line in stale:
            log.warning("%s", line)
            _note(request.night, line)
        manifest = with_states(manifest, request.night, _raw_directories(request))
        write_atomically(request.night.manifest, manifest.text().encode())
    return manifest


def refresh_manifest(request: NightRequest) -> Manifest:
    """Bring the states of all runs in the manifest up to date with the disk, and return it."""
    night = request.night
    with held_lock(night.locks / "night.lock"):
        sweep_parts(night.manifest)
        known = read_manifest(night.manifest)
        if known is None:
            known = scan_night(request)
        manifest = with_states(known, night, _raw_directories(request))
        text = manifest.text().encode()
        with explained_write_errors(night.manifest):
            if not night.manifest.exists() or night.manifest.read_bytes() != text:
                write_atomically(night.manifest, text)
    return manifest


def refresh_while_running(request: NightRequest) -> Manifest | None:
    """
    Bring the manifest up to date after a run, unless that was done a moment ago.

    A refresh looks at every run: one after each run would take time with the square of their number. The
    moment grows with the table, from nothing for up to about a hundred runs to half a minute for 1200.

    Returns
    -------
    Manifest or None
        None where it was left as it is; the end of the night brings it up to date.
    """
    try:
        status = request.night.manifest.stat()
    except OSError:
        return refresh_manifest(request)
    age_s = time.time() - status.st_mtime
    if 0 <= age_s < _REST_S_PER_BYTE * (status.st_size - _SMALL_BYTES):
        return None
    return refresh_manifest(request)


def _note(night: NightLayout, line: str) -> None:
    """Add a line to the log of the night."""
    with explained_write_errors(night.log), night.log.open("a", encoding="utf-8") as file:
        file.write(f"{utc_now()} {line}\n")


def retry_quarantined(night: NightLayout, before_ns: int) -> list[str]:
    """
    Take runs out of quarantine, so that they are reduced again.

    Parameters
    ----------
    night : NightLayout
        Paths of the night.
    before_ns : int
        Only records older than this [ns, unix]: what the present call has put there stays.

    Returns
    -------
    list of str
        Names of the raw files, and products after DL1.
    """
    cleared = []
    for path in sorted((night.root / "quarantine").glob("*.json")):
        record = read_provenance(path) or {}
        file, time_ns = record.get("file"), record.get("time_ns")
        if isinstance(record.get("product"), str) and isinstance(time_ns, int) and time_ns < before_ns:
            with explained_write_errors(path):
                path.unlink(missing_ok=True)
                path.with_suffix(".log").unlink(missing_ok=True)
            cleared.append(str(record["product"]))
            continue
        if not isinstance(file, str) or not isinstance(time_ns, int) or time_ns >= before_ns:
            continue
        try:
            name = RawName.parse(file)
        except Sst1mError:
            continue
        with held_lock(night.lock(name)), explained_write_errors(path):
            clear_failures(night, name)
        cleared.append(file)
    return cleared


def close_night(
    plan: NightPlan, manifest: Manifest, fingerprint: str, science: Sequence[ScienceState] = ()
) -> bool:
    """
    Write the closing record of a night, also of one that is not finished.

    Parameters
    ----------
    plan : NightPlan
        What was asked.
    manifest : Manifest
        Present states.
    fingerprint : str
        Fingerprint of the configuration.
    science : sequence of ScienceState
        Products after DL1.

    Returns
    -------
    bool
        Whether the night is complete: every run and every product is done or rightly skipped.
    """
    counts = manifest.counts()
    open_products = [state for state in science if state.state in ("quarantined", "waiting")]
    complete = not manifest.in_state("quarantined", "waiting") and not open_products
    done = manifest.in_state("done")
    content: dict[str, object] = {
        "night": f"{manifest.date:%Y-%m-%d}",
        "until": plan.until,
        "complete": complete,
        "closed": utc_now(),
        "signature": manifest.signature,
        "config": {"fingerprint": fingerprint, "file_sha256": plan.config_digest},
        "options": dict(plan.options),
        "science": plan.science,
        "targets": list(plan.targets),
        "telescopes": {
            str(tel_id): {
                "raw_directory": str(plan.request.raw_directory(tel_id)),
                "files": sum(counts.get(tel_id, Counter()).values()),
                **{state: counts.get(tel_id, Counter())[state] for state in STATES},
                "n_events": sum(row.n_events or 0 for row in done if row.tel == tel_id),
            }
            for tel_id in plan.request.tel_ids
        },
        "problems": [
            {"tel": row.tel, "run": row.run, "file": row.file, "state": row.state, "reason": row.reason}
            for row in manifest.in_state("quarantined", "waiting")
        ]
        + [asdict(state) for state in open_products],
        "states": [asdict(state) for state in science],
        "products": [row.product for row in done]
        + [state.product for state in science if state.state == "done"],
        "software": software_versions(),
    }
    with held_lock(plan.night.locks / "night.lock"):
        sweep_parts(plan.night.record)
        write_json(plan.night.record, content)
    return complete


def is_closed(plan: NightPlan) -> bool:
    """
    Whether the night was closed as complete and nothing has changed since.

    This costs a listing of the raw directories and one look at each product; nothing heavy is imported.
    """
    try:
        record = json_object(plan.night.record.read_text())
        return (
            record["complete"] is True
            and LEVELS.index(record["until"]) >= LEVELS.index(plan.until)
            and record["config"]["file_sha256"] == plan.config_digest
            and record["options"] == dict(plan.options)
            and (plan.until == "dl1" or record["science"] == plan.science)
            and _has_targets(record, plan.targets)
            and record["signature"] == _present_signature(plan.request)
            and _is_of(plan.night.manifest, record["signature"])
            and all((plan.night.root / product).exists() for product in record["products"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, Sst1mError):
        # Whatever is wrong with the record or the raw files comes to light when the night is done anew.
        return False


def _is_of(path: Path, signature: str) -> bool:
    """Whether a manifest is there, whole, and of the directories that a night was closed with."""
    manifest = read_manifest(path)
    return manifest is not None and manifest.signature == signature


def _has_targets(record: Mapping[str, Any], asked: Sequence[str]) -> bool:
    """Whether a record tells of all targets that are asked for; one that is not the night's is in none."""
    if not asked:
        return not record["targets"]
    return set(asked) <= (set(record["targets"]) or {product.split("/")[0] for product in record["products"]})


def closed_states(night: NightLayout, signature: str) -> list[ScienceState] | None:
    """Return the products after DL1 of a night that was closed as complete; None where it was not."""
    record = read_provenance(night.record) or {}
    try:
        if record["complete"] is not True or record["signature"] != signature:
            return None
        return [ScienceState(**state) for state in record["states"]]
    except (KeyError, TypeError):
        return None


def _present_signature(request: NightRequest) -> str:
    return night_signature(list_raw_files(request), corrections_digest(request.night.corrections), {})
