"""From the DL1 files of a night to its photon lists: which product is made from which, and by what."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sst1m.errors import ConfigError, InputError
from sst1m.layout import NightLayout
from sst1m.manifest import Manifest
from sst1m.night_products import ProductJob, directory_digest, product_state
from sst1m.night_record import ScienceState
from sst1m.sources import Source, read_sources

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig

__all__ = [
    "DEFAULT_LIMITS",
    "SETUPS",
    "NightScience",
    "SciencePaths",
    "Setup",
    "night_states",
    "night_targets",
    "possible_setups",
]

log = logging.getLogger(__name__)

Setup = Literal["cs1", "cs2", "stereo"]
SETUPS: tuple[Setup, ...] = ("cs1", "cs2", "stereo")
#: Limits of quality of the checkout that this package is imported from.
DEFAULT_LIMITS = Path(__file__).resolve().parents[1] / "config" / "quality.toml"


@dataclass(frozen=True)
class SciencePaths:
    """
    Where the site keeps what turns images into photon lists; None for what it has not.

    Parameters
    ----------
    mono_model_dir, stereo_model_dir : Path or None
        Forests by node.
    irf_dir : Path or None
        Root of the instrument responses.
    eff_cut_dir_mono, eff_cut_dir_stereo : Path or None
        Energy-dependent gammaness cuts by node; without them no ``dl3_eff`` is made.
    sources_file : Path or None
        Catalogue of sources.
    irf_method : {"interpolate", "nearest"}
        How the response of an observation follows from those of the nodes.
    quality : {"all", "usable", "good"}
        Which runs go into photon lists, see `sst1m.monitoring.selection.RunSelection`.
    quality_file : Path or None
        Limits of quality; None for those of the checkout.
    """

    mono_model_dir: Path | None
    stereo_model_dir: Path | None
    irf_dir: Path | None
    eff_cut_dir_mono: Path | None
    eff_cut_dir_stereo: Path | None
    sources_file: Path | None
    irf_method: str
    quality: Literal["all", "usable", "good"] = "all"
    quality_file: Path | None = None

    def model_dir(self, setup: Setup) -> Path:
        """Return the directory of the forests; `ConfigError` where the site gives none."""
        name = "stereo_model_dir" if setup == "stereo" else "mono_model_dir"
        return self._needed(name, "dl2")

    def cut_dir(self, setup: Setup) -> Path | None:
        """Return the directory of the energy-dependent cuts, None where the site has none."""
        return self.eff_cut_dir_stereo if setup == "stereo" else self.eff_cut_dir_mono

    def responses(self) -> Path:
        """Return the root of the responses; `ConfigError` where the site gives none."""
        return self._needed("irf_dir", "dl3")

    def sources(self) -> Path:
        """Return the catalogue of sources; `ConfigError` where the site gives none."""
        return self._needed("sources_file", "dl3")

    def signature(self, until: str, setups: Iterable[Setup]) -> str:
        """Return a digest of all that DL2 and DL3 depend on besides the DL1 files."""
        if until == "dl1":
            return ""
        seen: list[str] = [self.irf_method]
        for setup in setups:
            seen.append(_digest(self.model_dir(setup), "**/*.json"))
            if until == "dl3":
                cuts = self.cut_dir(setup)
                seen += [_digest(self.responses(), "**/*.fits*"), _digest(cuts, "**/*.h5") if cuts else ""]
                seen.append(directory_digest(self.sources().parent, self.sources().name))
        if until == "dl3" and self.quality != "all":
            limits = self.quality_file or DEFAULT_LIMITS
            seen += [self.quality, directory_digest(limits.parent, limits.name)]
        return hashlib.sha256("|".join(seen).encode()).hexdigest()

    def _needed(self, name: str, level: str) -> Path:
        path: Path | None = getattr(self, name)
        if path is None:
            before = {"dl2": "dl1", "dl3": "dl2"}[level]
            raise ConfigError(
                f"[site] {name} is not set in luigi.cfg; {level} needs it. "
                f"Set it there, or stop before with --until {before}"
            )
        return path


@cache
def _digest(directory: Path, pattern: str) -> str:
    """Return the digest of a directory, once per process: models do not change under a running night."""
    return directory_digest(directory, pattern)


def night_targets(manifest: Manifest) -> list[str]:
    """Return the targets of a night that have runs to be reduced, in alphabetical order."""
    return sorted({row.target for row in manifest.rows if row.product})


@dataclass(frozen=True)
class NightScience:
    """
    The products of one target that follow from its DL1 files.

    Parameters
    ----------
    night : NightLayout
        Paths of the night.
    target : str
        Name of the target.
    planned : tuple of Path
        DL1 files that the manifest plans, made or not.
    paths : SciencePaths
        Models, responses, cuts and sources.
    config : AnalysisConfig
        Configuration of the analysis.
    """

    night: NightLayout
    target: str
    planned: tuple[Path, ...]
    paths: SciencePaths
    config: "AnalysisConfig"

    @classmethod
    def of(
        cls,
        night: NightLayout,
        target: str,
        manifest: Manifest,
        paths: SciencePaths,
        config: "AnalysisConfig",
    ) -> "NightScience":
        """Return the products of a target, from the manifest of its night."""
        planned = [night.root / row.product for row in manifest.rows if row.product and row.target == target]
        return cls(night, target, tuple(sorted(planned)), paths, config)

    def dl1_files(self, telescope: str) -> list[Path]:
        """
        Return the DL1 files of a telescope (``cs1``, ``cs2``) that are there, in the order of their runs.

        A run whose raw file has moved to an archive keeps its DL1 file and stays part of the night.
        """
        directory = self.night.root / self.target / telescope / "dl1"
        listed = set(directory.glob("SST1M?_????????_????*_dl1.h5"))
        # The listing of a network file system may not show yet what is there.
        planned = {path for path in self.planned if path.parent == directory} - listed
        return sorted(listed | {path for path in planned if path.exists()})

    @property
    def coincidences(self) -> ProductJob:
        """The pairs of events of both telescopes."""
        return ProductJob(
            night=self.night,
            product=self.night.coincidences_path(self.target),
            inputs=(*self.dl1_files("cs1"), *self.dl1_files("cs2")),
            settings={"config": self.config.fingerprint()},
            label=f"{self.target} coincidences",
        )

    def stereo_runs(self) -> list[ProductJob]:
        """Return the DL1 files of both telescopes, one for each run of telescope 1."""
        pairs = self.night.coincidences_path(self.target)
        return [
            ProductJob(
                night=self.night,
                product=self.night.stereo_path(dl1),
                inputs=(dl1, pairs),
                settings={"config": self.config.fingerprint()},
                label=f"{self.target} stereo {dl1.name}",
            )
            for dl1 in self.dl1_files("cs1")
        ]

    def images(self, setup: Setup) -> list[Path]:
        """Return the DL1 files that DL2 is made from."""
        if setup != "stereo":
            return self.dl1_files(setup)
        return [job.product for job in self.stereo_runs() if job.product.exists()]

    def reconstructions(self, setup: Setup) -> list[ProductJob]:
        """Return the DL2 files of a set-up, one for each DL1 file."""
        models = self.paths.model_dir(setup)
        settings = {"config": self.config.fingerprint(), "models": _digest(models, "**/*.json")}
        return [
            ProductJob(
                night=self.night,
                product=self.night.dl2_path(dl1),
                inputs=(dl1,),
                settings=settings,
                label=f"{self.target} {setup} {dl1.name}",
            )
            for dl1 in self.images(setup)
        ]

    def photon_lists(self, setup: Setup, *, energy_dependent: bool) -> ProductJob:
        """Return the photon lists of a set-up; their index, written last, says that they are complete."""
        directory = self.night.dl3_directory(self.target, setup, energy_dependent=energy_dependent)
        settings: dict[str, object] = {
            "config": self.config.fingerprint(),
            "irfs": _digest(self.paths.responses(), "**/*.fits*"),
            "irf_method": self.paths.irf_method,
            "source": self._source(),
        }
        cuts = self.paths.cut_dir(setup) if energy_dependent else None
        if cuts is not None:
            settings["cuts"] = _digest(cuts, "**/*.h5")
        return ProductJob(
            night=self.night,
            product=directory / "obs-index.fits.gz",
            inputs=tuple(self._selected(setup)),
            settings=settings,
            label=f"{self.target} {setup} {directory.name}",
        )

    def _selected(self, setup: Setup) -> list[Path]:
        """Return the DL2 files of runs that are good enough for photon lists."""
        made = [job for job in self.reconstructions(setup) if job.product.exists()]
        if self.paths.quality == "all":
            return [job.product for job in made]
        from sst1m.monitoring.selection import RunSelection

        selection = RunSelection(self.paths.quality, self.paths.quality_file, self._known_source())
        if setup != "stereo":
            return [job.product for job in made if selection.accepts(job.inputs[0])]
        runs = {self.night.stereo_path(dl1): dl1 for dl1 in self.dl1_files("cs1")}
        others = self.dl1_files("cs2")
        return [job.product for job in made if selection.accepts_both(runs[job.inputs[0]], others)]

    def _source(self) -> list[object] | None:
        """Return name and position of the target; None where the catalogue does not know it."""
        source = self._known_source()
        return None if source is None else [source.name, source.ra_deg, source.dec_deg]

    def _known_source(self) -> Source | None:
        try:
            return read_sources(self.paths.sources()).named(self.target)
        except InputError:
            return None

    def states(self, wanted: Iterable[Setup], until: str) -> list[ScienceState]:
        """Return the state of every product of the target up to a level, from the disk alone."""
        possible = possible_setups(wanted, self.planned)
        states = [
            ScienceState(
                self.target, setup, until, "", "skipped", "the target was not observed in this set-up"
            )
            for setup in wanted
            if setup not in possible
        ]
        for setup in possible:
            for level, job in self._jobs(setup, until):
                state, reason = product_state(job)
                product = str(job.product.relative_to(self.night.root))
                states.append(ScienceState(self.target, setup, level, product, state, reason))
        return states

    def _jobs(self, setup: Setup, until: str) -> Iterator[tuple[str, ProductJob]]:
        if setup == "stereo":
            yield from (("dl1", job) for job in (self.coincidences, *self.stereo_runs()))
        yield from (("dl2", job) for job in self.reconstructions(setup))
        if until != "dl3":
            return
        for kind in (False,) if self.paths.cut_dir(setup) is None else (False, True):
            job = self.photon_lists(setup, energy_dependent=kind)
            if job.inputs or job.product.exists():
                yield job.product.parent.name, job


def possible_setups(wanted: Iterable[Setup], planned: Iterable[Path]) -> list[Setup]:
    """
    Return which of the wanted set-ups a target can have, from the telescopes that observed it.

    Parameters
    ----------
    wanted : iterable of str
        From ``[night]``.
    planned : iterable of Path
        DL1 files that the manifest plans.
    """
    seen = {path.parents[1].name for path in planned}
    return [s for s in wanted if s in seen or (s == "stereo" and {"cs1", "cs2"} <= seen)]


def night_states(
    night: NightLayout,
    manifest: Manifest,
    targets: Iterable[str],
    wanted: Sequence[Setup],
    until: str,
    paths: SciencePaths,
    config: "AnalysisConfig",
) -> list[ScienceState]:
    """Return the state of every product after DL1 of some targets of a night, from the disk alone."""
    return [
        state
        for target in targets
        for state in NightScience.of(night, target, manifest, paths, config).states(wanted, until)
    ]
