"""From the DL1 files of a target to its photon lists."""

import datetime
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import luigi

from sst1m.manifest import Manifest, read_manifest
from sst1m.night_products import ProductJob, ProductOutcome, product_state
from sst1m.night_science import NightScience, possible_setups
from tasks.base import NightTask, load_site_config, unless_refused
from tasks.parameters import science_paths, wanted_setups
from tasks.reduction import CalibrateRun

__all__ = ["ExportPhotonLists", "MatchTelescopes", "ReconstructRuns", "TargetTask", "science_tasks"]

log = logging.getLogger(__name__)


class TargetTask(NightTask):
    """
    A task on all runs of a target.

    Its products are settled one by one: each is there, or known not to be possible from its inputs. It may
    be run again at any time, and does what is missing.
    """

    target = luigi.Parameter(description="name of the target")

    @property
    def label(self) -> str:
        """How messages call this task."""
        return f"{self.target} {getattr(self, 'setup', 'stereo')} {self.task_family}"

    @property
    def science(self) -> NightScience:
        """The products of the target, as the disk has them now."""
        manifest = read_manifest(self.night.manifest) or Manifest(self.date, (), "")
        return NightScience.of(self.night, self.target, manifest, science_paths(), load_site_config())

    def jobs(self) -> list[ProductJob]:
        """Return the products of this task."""
        raise NotImplementedError

    @unless_refused
    def complete(self) -> bool:
        """Whether everything before is settled, and each product is there or known not to be possible."""
        before = luigi.task.flatten(self.requires())
        return all(task.complete() for task in before) and not self._waiting()

    def _waiting(self) -> list[ProductJob]:
        return [job for job in self.jobs() if product_state(job)[0] == "waiting"]

    def _calibrations(self, *telescopes: int) -> list[CalibrateRun]:
        """Return the reductions of the runs of some telescopes."""
        manifest = read_manifest(self.night.manifest)
        rows = manifest.rows if manifest else ()
        chosen = (row for row in rows if row.product and row.target == self.target and row.tel in telescopes)
        return [CalibrateRun.of(self.date, row) for row in chosen]

    def _tell(self, outcomes: Iterable[tuple[ProductJob, ProductOutcome]]) -> None:
        for job, outcome in outcomes:
            if outcome.state == "done" and outcome.counts is not None:
                log.info("%s: %s (%.1f s)", job.label, _brief(outcome.counts), outcome.seconds)
            elif outcome.state == "quarantined":
                log.warning("%s: quarantined: %s", job.label, outcome.reason)


def _brief(counts: Mapping[str, object]) -> str:
    """Say how many events came through; everything else is in the file beside the product."""
    before = next((counts[name] for name in ("n_dl1", "n_dl2", "n_tel1") if name in counts), None)
    after = next((counts[name] for name in ("n_written", "written", "n_pairs") if name in counts), None)
    if after is not None:
        return f"{after} events" if before is None else f"{after} of {before} events"
    return ", ".join(f"{name} {value}" for name, value in counts.items() if isinstance(value, int))


class MatchTelescopes(TargetTask):
    """Finds the events that both telescopes saw, over all runs of a target, and writes them run by run."""

    farm = {"stage": "stereo", "seconds": 120.0, "mem_mb": 3000}

    def requires(self) -> list[CalibrateRun]:
        """Need the runs of both telescopes."""
        return self._calibrations(21, 22)

    def jobs(self) -> list[ProductJob]:
        """Return the pairs and the stereo runs."""
        science = self.science
        return [science.coincidences, *science.stereo_runs()]

    @unless_refused
    def complete(self) -> bool:
        """Whether pairs and stereo runs are settled; runs cannot be made from pairs that are not possible."""
        before = all(task.complete() for task in self.requires())
        if not before:
            return False
        science = self.science
        pairs = product_state(science.coincidences)[0]
        return pairs == "quarantined" or (pairs == "done" and not self._waiting())

    def run(self) -> None:
        """Match, then write."""
        from sst1m.night_steps import match_telescopes

        self.start()
        self.claim_root()
        self._tell(match_telescopes(self.science))


class ReconstructRuns(TargetTask):
    """
    Makes the DL2 files of a target: energy, direction and gammaness.

    One task for all runs, because the forests take longer to load than a short run to reconstruct.
    """

    farm = {"stage": "dl2", "by": "setup", "seconds": 300.0, "mem_mb": 6000}

    setup = luigi.ChoiceParameter(choices=("cs1", "cs2", "stereo"), description="telescope set-up")

    def requires(self) -> list[luigi.Task]:
        """Need the images: of one telescope, or of both after matching."""
        if self.setup == "stereo":
            return [MatchTelescopes(date=self.date, target=self.target)]
        return list(self._calibrations(21 if self.setup == "cs1" else 22))

    def jobs(self) -> list[ProductJob]:
        """Return one product for each DL1 file."""
        return self.science.reconstructions(self.setup)

    def run(self) -> None:
        """Load the forests once and reconstruct what is missing."""
        from sst1m.night_steps import reconstruct

        self.start()
        self.claim_root()
        self._tell(reconstruct(self.science, self.setup, on_progress=self.set_progress_percentage))


class ExportPhotonLists(TargetTask):
    """Makes the DL3 files of a target with their index: photon lists with instrument responses."""

    farm = {"stage": "dl3", "by": "setup", "seconds": 60.0, "mem_mb": 6000}

    setup = luigi.ChoiceParameter(choices=("cs1", "cs2", "stereo"), description="telescope set-up")
    energy_dependent = luigi.BoolParameter(
        default=False,
        parsing=luigi.BoolParameter.EXPLICIT_PARSING,
        description="gammaness cuts by energy (dl3_eff) instead of the global one (dl3)",
    )

    def requires(self) -> ReconstructRuns:
        """Need the DL2 files."""
        return ReconstructRuns(date=self.date, target=self.target, setup=self.setup)

    def jobs(self) -> list[ProductJob]:
        """Return the index of the photon lists; nothing where no run is left for them."""
        job = self.science.photon_lists(self.setup, energy_dependent=self.energy_dependent)
        return [job] if job.inputs or job.product.exists() else []

    def output(self) -> luigi.LocalTarget:
        """Return the index of the photon lists."""
        directory = self.night.dl3_directory(self.target, self.setup, energy_dependent=self.energy_dependent)
        return luigi.LocalTarget(str(directory / "obs-index.fits.gz"))

    def run(self) -> None:
        """Select photons and write them with their responses."""
        from sst1m.night_steps import export

        self.start()
        self.claim_root()
        self._tell(export(self.science, self.setup, energy_dependent=self.energy_dependent))


def science_tasks(
    date: datetime.date, manifest: Manifest, until: str, targets: Iterable[str]
) -> list[TargetTask]:
    """Return the last tasks of a night up to a data level beyond DL1, for some of its targets."""
    tasks: list[TargetTask] = []
    paths = science_paths()
    for target in targets:
        planned = [Path(row.product) for row in manifest.rows if row.product and row.target == target]
        for setup in possible_setups(wanted_setups(), planned):
            if until == "dl2":
                tasks.append(ReconstructRuns(date=date, target=target, setup=setup))
                continue
            kinds = (False,) if paths.cut_dir(setup) is None else (False, True)
            tasks += [
                ExportPhotonLists(date=date, target=target, setup=setup, energy_dependent=kind)
                for kind in kinds
            ]
    return tasks
