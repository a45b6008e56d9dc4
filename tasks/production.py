"""A production: forests, reconstructed samples, cuts, responses, performance, and its closing."""

import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import luigi

from sst1m.errors import ConfigError, Sst1mError
from sst1m.layout_mc import ProductionLayout, irf_path
from sst1m.production.record import STAGES, close_production, is_closed
from tasks.base import CALL_STARTED_NS
from tasks.console import report_at_exit
from tasks.luigi_cfg import check_luigi_cfg
from tasks.parameters import site_path, site_paths
from tasks.production_base import ProductionTask, file_digest, mc_config, production_file
from tasks.production_nodes import NodeTask, SetupTask
from tasks.production_samples import MergeSample
from tasks.production_table import production_table

__all__ = [
    "CheckInterpolation",
    "MakeCuts",
    "MakeIrfs",
    "MakeProduction",
    "MeasurePerformance",
    "ProductionReport",
    "ReconstructSample",
    "TrainForests",
]

log = logging.getLogger(__name__)

_GAMMAS = "gamma_diffuse"
_BACKGROUND = ("proton_diffuse", "electron_diffuse")


class TrainForests(NodeTask):
    """Trains the forests of one telescope at one node, for its images alone or for those of both."""

    farm = {"stage": "forests", "seconds": 1800.0, "mem_mb": 8000}

    stereo = luigi.BoolParameter(
        parsing=luigi.BoolParameter.EXPLICIT_PARSING, description="for images of both telescopes"
    )
    telescope = luigi.IntParameter(description="telescope, 1 or 2")

    @property
    def label(self) -> str:
        """How messages call these forests."""
        kind = "stereo" if self.stereo else "mono"
        return f"{self.task_family} {self.node} {kind} tel_{self.telescope:03d}"

    def requires(self) -> list[MergeSample]:
        """Need the training samples: gamma rays, and protons where there are some."""
        particles = [_GAMMAS] + ["proton_diffuse"] * self.planned.has("proton_diffuse", "train")
        return [self.merged(particle, "train") for particle in particles]

    def output(self) -> luigi.LocalTarget:
        """Return the model card, the last file that training writes."""
        from sst1m.production.steps import card_path

        return luigi.LocalTarget(str(card_path(self.planned, self.at, self.stereo, self.telescope)))

    def run(self) -> None:
        """Train."""
        if self.start().train(self.at, stereo=self.stereo, telescope=self.telescope):
            log.info("%s: done", self.label)


class ReconstructSample(NodeTask):
    """Reconstructs the test sample of a particle at a node in one telescope set-up."""

    farm = {"stage": "dl2", "by": "setup", "seconds": 300.0, "mem_mb": 6000}

    particle = luigi.Parameter(description="gamma_diffuse, gamma_point, proton_diffuse or electron_diffuse")
    setup = luigi.Parameter(description="tel_001, tel_002 or stereo")

    def requires(self) -> list[luigi.Task]:
        """Need the sample and the forests of the node."""
        from sst1m.production.steps import TELESCOPES

        forests = [
            TrainForests(
                production=self.production, node=self.node, stereo=self.setup == "stereo", telescope=t
            )
            for t in TELESCOPES[self.setup]
        ]
        return [self.merged(self.particle, "test"), *forests]

    def output(self) -> luigi.LocalTarget:
        """Return the DL2 file."""
        return luigi.LocalTarget(str(self.planned.layout.dl2(self.particle, self.at, "test", self.setup)))

    def run(self) -> None:
        """Reconstruct."""
        if self.start().reconstruct(self.particle, self.at, self.setup):
            log.info("%s: done", self.label)


def _reconstructed(task: SetupTask, *particles: str) -> list[luigi.Task]:
    """Return the tasks that make DL2 of those particles that are simulated for tests."""
    return [
        ReconstructSample(production=task.production, node=task.node, particle=particle, setup=task.setup)
        for particle in particles
        if task.planned.has(particle, "test")
    ]


class MakeCuts(SetupTask):
    """Chooses a gammaness cut for each bin of energy."""

    farm = {"stage": "cuts", "by": "setup", "seconds": 60.0, "mem_mb": 3000}

    method = luigi.Parameter(description="efficiency or significance")

    def requires(self) -> list[luigi.Task]:
        """Need diffuse gamma rays and protons."""
        return _reconstructed(self, _GAMMAS, "proton_diffuse")

    def output(self) -> luigi.LocalTarget:
        """Return the table of cuts."""
        return luigi.LocalTarget(str(self.planned.layout.cuts(self.at, self.setup, self.method)))

    def run(self) -> None:
        """Choose."""
        if self.start().make_cuts(self.at, self.setup, self.method):
            log.info("%s: done", self.label)


class MakeIrfs(SetupTask):
    """Makes the instrument response of a node and a gammaness tag."""

    farm = {"stage": "irfs", "by": "setup", "seconds": 60.0, "mem_mb": 3000}

    tag = luigi.Parameter(description="value of the global cut, or energydep")

    def requires(self) -> list[luigi.Task]:
        """Need diffuse test samples of all particles, and the table of cuts that the tag speaks of."""
        return [*_reconstructed(self, _GAMMAS, *_BACKGROUND), *self._cuts()]

    def _cuts(self) -> list[luigi.Task]:
        from sst1m.production.steps import ENERGY_DEPENDENT

        if self.tag != ENERGY_DEPENDENT:
            return []
        method = self.planned.cut_tables[0]
        return [MakeCuts(production=self.production, node=self.node, setup=self.setup, method=method)]

    def output(self) -> luigi.LocalTarget:
        """Return the file of the response in the standard tree."""
        version = self.planned.production.irf_version
        return luigi.LocalTarget(str(irf_path(site_path("irf_dir"), self.setup, version, self.at, self.tag)))

    def run(self) -> None:
        """Make the response."""
        from sst1m.production.claim import claim_responses

        step, irf_dir = self.start(), site_path("irf_dir")
        claim_responses(step.planned, step.config, irf_dir)
        if step.make_irfs(irf_dir, self.at, self.setup, self.tag):
            log.info("%s: done", self.label)


class MeasurePerformance(SetupTask):
    """Measures resolutions, effective areas and sensitivity of a telescope set-up at a node."""

    farm = {"stage": "performance", "by": "setup", "seconds": 120.0, "mem_mb": 3000}

    def requires(self) -> list[luigi.Task]:
        """Need a source of gamma rays (a point where there is one) and the background."""
        signal = "gamma_point" if self.planned.has("gamma_point", "test") else _GAMMAS
        return _reconstructed(self, signal, *_BACKGROUND)

    def output(self) -> luigi.LocalTarget:
        """Return the summary, the last file that measuring writes."""
        from sst1m.production.steps import performance_path

        return luigi.LocalTarget(str(performance_path(self.planned, self.at, self.setup)))

    def run(self) -> None:
        """Measure."""
        if self.start().measure(self.at, self.setup):
            log.info("%s: done", self.label)


class CheckInterpolation(ProductionTask):
    """Compares each node that lies between others with what their responses predict for it."""

    farm = {"stage": "interpolation", "seconds": 60.0, "mem_mb": 3000}

    def requires(self) -> list[luigi.Task]:
        """Need all responses."""
        return _stage(self, "irfs")

    def output(self) -> luigi.LocalTarget:
        """Return the file of the check."""
        return luigi.LocalTarget(str(self.planned.layout.interpolation_check))

    def run(self) -> None:
        """Compare."""
        if self.start().check_interpolation(site_path("irf_dir")):
            log.info("%s: done", self.label)


class ProductionReport(ProductionTask):
    """Writes the page about a production."""

    farm = {"stage": "report", "seconds": 60.0, "mem_mb": 3000}

    def requires(self) -> list[luigi.Task]:
        """Need all performances and responses, and their check."""
        check = CheckInterpolation(production=self.production)
        return [*_stage(self, "irfs"), *_performances(self), check]

    def output(self) -> luigi.LocalTarget:
        """Return the page."""
        return luigi.LocalTarget(str(self.planned.layout.report))

    def run(self) -> None:
        """Write."""
        self.start().report(site_path("irf_dir"))


def _forests(task: ProductionTask) -> Iterator[luigi.Task]:
    for node in task.planned.nodes:
        for kind in task.planned.production.setups:
            for telescope in (1, 2):
                yield TrainForests(
                    production=task.production, node=str(node), stereo=kind == "stereo", telescope=telescope
                )


def _setups(task: ProductionTask) -> Iterator[dict[str, str]]:
    for node in task.planned.nodes:
        for setup in task.planned.telescope_setups:
            yield {"production": task.production, "node": str(node), "setup": setup}


def _performances(task: ProductionTask) -> Iterator[luigi.Task]:
    return (MeasurePerformance(**values) for values in _setups(task))


def _samples(task: ProductionTask) -> Iterator[luigi.Task]:
    for sample in task.planned.samples:
        yield MergeSample(
            production=task.production, particle=sample.particle, node=str(sample.node), role=sample.role
        )


def _tested(task: ProductionTask) -> Iterator[luigi.Task]:
    for values in _setups(task):
        for particle, beam in task.planned.production.particles.given().items():
            if "test" in beam.roles:
                yield ReconstructSample(**values, particle=particle)


def _responses(task: ProductionTask) -> Iterator[luigi.Task]:
    from sst1m.production.steps import irf_tags

    tags = irf_tags(task.planned, mc_config().analysis.global_gammaness_cut)
    for values in _setups(task):
        yield from (MakeCuts(**values, method=method) for method in task.planned.cut_tables)
        yield from (MakeIrfs(**values, tag=tag) for tag in tags)


def _stage(task: ProductionTask, name: str) -> list[luigi.Task]:
    """Return the tasks that make the products of a stage."""
    makers = {"dl1": _samples, "models": _forests, "dl2": _tested, "irfs": _responses}
    return list(makers[name](task))


class MakeProduction(ProductionTask):
    """
    Makes a whole Monte-Carlo production, and closes it with ``production.json``.

    May be run again at any time: only what is missing is done. luigi ends with status 0 if the production is
    complete, 30 if something failed, 35 if luigi.cfg, the production or the configuration is wrong.
    """

    farm = {"stage": "close", "seconds": 60.0, "mem_mb": 2000, "fuse": False}

    until = luigi.Parameter(default=STAGES[-1], description=f"stage to be reached: {', '.join(STAGES)}")
    retry_failed = luigi.BoolParameter(
        default=False, significant=False, description="try shards again that are known to fail"
    )

    @property
    def layout(self) -> ProductionLayout:
        """Paths; known without reading the production."""
        return ProductionLayout(site_path("mc_dir"), production_file(self.production).stem)

    def output(self) -> luigi.LocalTarget:
        """Return the closing record."""
        return luigi.LocalTarget(str(self.layout.record))

    def _digests(self) -> dict[str, str]:
        config = site_path("mc_config_file")
        return {
            "production": file_digest(production_file(self.production), "production"),
            "config": file_digest(config, "[site] mc_config_file"),
        }

    def complete(self) -> bool:
        """Whether the production was closed as complete and nothing has changed; imports nothing heavy."""
        try:
            layout, digests = self.layout, self._digests()
            closed = is_closed(layout.record, until=self.until, digests=digests)
        except (Sst1mError, ValueError, OSError):
            # requires() meets the same error, and there it reaches the observer in one line.
            return False
        report_at_exit(self.task_id, functools.partial(production_table, layout, self.until, digests))
        return closed

    def requires(self) -> list[luigi.Task]:
        """Need all products of the stage that is to be reached, and of those before it."""
        check_luigi_cfg()
        if self.until not in STAGES:
            raise ConfigError(f"--until {self.until}: a production can be taken to {', '.join(STAGES)}")
        site_paths("mc_dir", "mc_config_file", *(["irf_dir"] if self._makes_responses else []))
        self._check()
        if self.until == "report":
            return [*_stage(self, "dl1"), ProductionReport(production=self.production)]
        return [task for name in STAGES[: STAGES.index(self.until) + 1] for task in _stage(self, name)]

    @property
    def _makes_responses(self) -> bool:
        return STAGES.index(self.until) >= STAGES.index("irfs")

    def _check(self) -> None:
        """Refuse what cannot end well before anything is made, and look for files that have arrived."""
        from sst1m.production.claim import check_production_root, check_responses
        from sst1m.production.failures import retry_failed
        from sst1m.production.inputs import add_new_inputs
        from sst1m.production.needs import missing_samples

        planned = self.planned
        if problems := missing_samples(planned, self.until):
            raise ConfigError(f"{planned.file}: --until {self.until} needs {'; '.join(problems)}")
        check_production_root(planned, mc_config())
        if self._makes_responses:
            check_responses(planned, mc_config(), site_path("irf_dir"))
        add_new_inputs(planned.production, planned.layout)
        if self.retry_failed:
            number = retry_failed(planned.layout, planned.samples, CALL_STARTED_NS)
            if number:
                log.info("%s failed shards are tried again", number)

    def run(self) -> None:
        """Close the production."""

        step = self.start()
        products = [
            Path(target.path) for task in self.requires() for target in luigi.task.flatten(task.output())
        ]
        if self.until == "report":
            report = ProductionReport(production=self.production)
            products += [Path(task.output().path) for task in report.requires()]
            # The numbers of the page are those of this call.
            step.report(site_path("irf_dir"))
        step.sweep_logs(products)
        close_production(
            step.planned,
            until=self.until,
            digests=self._digests(),
            fingerprint=step.config.fingerprint(),
            products=products,
        )


_warm: list[int] = []


@NodeTask.event_handler(luigi.Event.DEPENDENCY_DISCOVERED)
def _preload(_task: luigi.Task, _dependency: luigi.Task) -> None:
    """Load heavy modules in luigi's main process when the first of the later steps is due."""
    if not _warm:
        _warm.append(os.getpid())
        from sst1m.production.warm import preload

        preload()
