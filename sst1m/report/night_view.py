"""What the report of a night is about, and where its inputs are."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import Sst1mError
from ..layout import NightLayout, side_paths
from ..manifest import Manifest, read_manifest
from ..night_record import ScienceState
from ..night_science import DEFAULT_LIMITS, SciencePaths
from ..provenance import read_provenance
from .closing import record_digest
from .memory import file_basis, files_basis

__all__ = ["NIGHT_SCHEMA", "NightView", "attempt", "attempt_all", "calendar_page", "reason_of"]

log = logging.getLogger(__name__)

Facts = dict[str, Any]

#: Raise the version where a reader of the old one would go wrong.
NIGHT_SCHEMA = {"name": "sst1m-night-report", "version": 1}
#: What HDF5 says before it says what is wrong.
_BACK_TRACE = re.compile(r"HDF5 error back trace .*? End of HDF5 error back trace ?")
#: Everything in the directory of a night that the page shows.
_SHOWN = (
    *("*/cs[12]/dl1/*_dl1.h5", "*/stereo/dl1/*_stereo.h5", "*/*/dl2/*_dl2.h5"),
    *("*/stereo/coincidences/*.h5", "*/*/dl3*/obs-index.fits.gz", "quarantine/*.json", "attempts/*.json"),
)


def calendar_page(ana_dir: Path) -> Path:
    """Return where the page of all nights of an analysis root is."""
    return ana_dir / "calendar" / "index.html"


def reason_of(error: Exception) -> str:
    """Return why something is missing on a page, in one line."""
    text = _BACK_TRACE.sub("", " ".join(str(error).split())) or type(error).__name__
    if isinstance(error, Sst1mError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {text}"


def attempt(what: str, make: Callable[..., Facts], *args: Any) -> Facts:  # noqa: ANN401 - passed on
    """
    Return facts, or why there are none: an input that is broken must not cost the page.

    Parameters
    ----------
    what : str
        For the log.
    make : callable
        Returns the facts.
    *args
        For it.
    """
    try:
        return make(*args)
    except Exception as error:  # noqa: BLE001 - the page says what is missing, and why
        log.debug("%s: %s", what, error, exc_info=True)
        return {"missing": reason_of(error)}


def attempt_all(what: str, make: Callable[..., list[Facts]], *args: Any) -> list[Facts]:  # noqa: ANN401
    """Return a list of facts; where it cannot be made, one entry that says why. See `attempt`."""
    found = attempt(what, lambda: {"entries": make(*args)})
    if "missing" in found:
        return [{"target": what, "setup": "", "level": "", "path": None} | found]
    entries: list[Facts] = found["entries"]
    return entries


@dataclass(frozen=True)
class NightView:
    """
    A night as its report sees it.

    Parameters
    ----------
    night : NightLayout
        Paths of the night.
    paths : SciencePaths
        Models, responses, cuts and sources; which runs may be in photon lists, and limits of quality.
    states : callable
        Returns the states of all products after DL1 as they are now; may raise.
    """

    night: NightLayout
    paths: SciencePaths
    states: Callable[[], list[ScienceState]]

    @property
    def page(self) -> Path:
        """The page."""
        return self.night.report / "index.html"

    @property
    def facts_file(self) -> Path:
        """All numbers of the page."""
        return self.night.report / "night.json"

    @property
    def calendar(self) -> Path:
        """The page of all nights."""
        return calendar_page(self.night.ana_dir)

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest; None where there is none that can be read."""
        return read_manifest(self.night.manifest)

    @cached_property
    def record(self) -> Facts:
        """The closing record; empty where there is none."""
        return read_provenance(self.night.record) or {}

    def link(self, path: Path) -> str | None:
        """Return a path relative to the page; None where nothing is there."""
        return os.path.relpath(path, self.night.report) if path.exists() else None

    def provenance(self, product: Path) -> Facts:
        """Return the JSON beside a product; empty where there is none."""
        return read_provenance(side_paths(product)["json"]) or {}

    @cached_property
    def products(self) -> tuple[list[ScienceState], str]:
        """The states of the products after DL1 and, where they are not those of now, why."""
        try:
            return self.states(), ""
        except Exception as error:  # noqa: BLE001 - the page says what is missing, and why
            closed = self.record.get("states")
            try:
                known = [ScienceState(**state) for state in closed] if isinstance(closed, list) else []
            except TypeError:
                known = []
            return known, reason_of(error)

    def basis(self) -> str:
        """Return a digest of all that the page depends on: unchanged, the page need not be made again."""
        night = self.night
        seen: list[object] = [NIGHT_SCHEMA, self.paths.quality, self.paths.irf_method]
        states, unknown = self.products
        seen += [
            _text(night.manifest),
            record_digest(self.record),
            [vars(state) for state in states],
            unknown,
        ]
        for pattern in _SHOWN:
            seen += [
                [os.path.relpath(p, night.root), *file_basis(p)] for p in sorted(night.root.glob(pattern))
            ]
        limits = self.paths.quality_file or DEFAULT_LIMITS
        others = (limits, self.paths.sources_file, self.paths.mono_model_dir, self.paths.irf_dir)
        seen += files_basis([path for path in others if path is not None])
        return hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
