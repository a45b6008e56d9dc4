"""The steps of a production after its samples are merged; each makes one product, once."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from ..checkpoint import held_lock, sweep_parts, write_atomically
from ..layout import side_paths
from ..layout_mc import CutMethod, Particle, irf_path
from ..logs import RunLog, run_log
from ..nodes import Node
from .plan import PlannedProduction

if TYPE_CHECKING:
    from ..config import McConfig
    from ..events import ReconstructedEvents, TelescopeSetup

__all__ = ["ProductionStep", "TELESCOPES", "card_path", "irf_tags", "performance_path"]

log = logging.getLogger(__name__)

TELESCOPES: dict[str, tuple[int, ...]] = {"tel_001": (1,), "tel_002": (2,), "stereo": (1, 2)}
"""Telescopes whose forests a set-up needs."""

ENERGY_DEPENDENT = "energydep"


def card_path(planned: PlannedProduction, node: Node, stereo: bool, telescope: int) -> Path:
    """Return the model card of a telescope; it is the last file that training writes."""
    return planned.layout.models(node, stereo) / f"card_tel_{telescope:03d}.json"


def performance_path(planned: PlannedProduction, node: Node, setup: "TelescopeSetup") -> Path:
    """Return the summary of a performance; it is the last file that measuring writes."""
    return planned.layout.performance(node, setup) / "summary.json"


def irf_tags(planned: PlannedProduction, global_cut: float) -> tuple[str, ...]:
    """Return the gammaness tags of the responses that a production makes."""
    tags = [str(float(global_cut))] if "global" in planned.production.cuts else []
    return tuple(tags + ([ENERGY_DEPENDENT] if planned.cut_tables else []))


@dataclass(frozen=True)
class ProductionStep:
    """
    A production and its configuration, and what can be made of its samples.

    Every method makes one product, unless it is there or another process is at it, and says whether it did.

    Parameters
    ----------
    planned : PlannedProduction
        The production.
    config : McConfig
        Analysis of the simulations.
    """

    planned: PlannedProduction
    config: "McConfig"

    def train(self, node: Node, *, stereo: bool, telescope: int) -> bool:
        """Train the forests of a telescope at a node."""
        from ..reco.training import train_forests

        layout = self.planned.layout
        card = card_path(self.planned, node, stereo, telescope)
        with self._step(card, parts=f".*tel_{telescope:03d}.*.part*") as run:
            if run is None:
                return False
            has_protons = self.planned.has("proton_diffuse", "train")
            train_forests(
                layout.merged("gamma_diffuse", node, "train"),
                layout.merged("proton_diffuse", node, "train") if has_protons else None,
                layout.models(node, stereo),
                config=self.config,
                telescope=telescope,
                stereo=stereo,
                node=node,
            )
        return True

    def reconstruct(self, particle: Particle, node: Node, setup: "TelescopeSetup") -> bool:
        """Reconstruct the test sample of a particle at a node in a telescope set-up."""
        from ..reco.model_store import ModelStore
        from ..reco.reconstruct import reconstruct_file

        layout, stereo = self.planned.layout, setup == "stereo"
        product = layout.dl2(particle, node, "test", setup)
        with self._step(product) as run:
            if run is None:
                return False
            reconstruct_file(
                layout.merged(particle, node, "test"),
                product,
                config=self.config,
                store=ModelStore(layout.model_dir(stereo), stereo),
                tel_setup=setup,
                node=node,
            )
        return True

    def make_cuts(self, node: Node, setup: "TelescopeSetup", method: CutMethod) -> bool:
        """Choose a gammaness cut by energy."""
        from ..irf.optimise import make_cut_table

        product = self.planned.layout.cuts(node, setup, method)
        with self._step(product) as run:
            if run is None:
                return False
            gamma = self._selected("gamma_diffuse", node, setup)
            proton = self._selected("proton_diffuse", node, setup) if self._tested("proton_diffuse") else None
            make_cut_table(method, gamma, proton, self.config).write(product)
        return True

    def make_irfs(self, irf_dir: Path, node: Node, setup: "TelescopeSetup", tag: str) -> bool:
        """Make the instrument response of a node and a gammaness tag."""
        from ..irf.cuts import GammanessCuts
        from ..irf.maker import make_irfs

        product = irf_path(irf_dir, setup, self.planned.production.irf_version, node, tag)
        with self._step(product) as run:
            if run is None:
                return False
            method = self.planned.cut_tables[0] if tag == ENERGY_DEPENDENT else None
            table = method and self.planned.layout.cuts(node, setup, method)
            electrons = self._tested("electron_diffuse")
            make_irfs(
                product,
                self._selected("gamma_diffuse", node, setup),
                self._selected("proton_diffuse", node, setup),
                self._selected("electron_diffuse", node, setup) if electrons else None,
                cuts=GammanessCuts.read(table) if table else GammanessCuts.from_config(self.config),
                config=self.config,
                node=node,
                setup=setup,
                inputs=self._dl2_files(node, setup),
                energy_range_tev=self._energy_range(),
            )
        return True

    def _energy_range(self) -> tuple[float, float] | None:
        """Return the true energies of all responses: only those with the same axes can be combined."""
        energies = self.planned.production.thrown_energies("gamma_diffuse")
        least = self.config.analysis.gamma_min_simulated_energy_tev
        return energies and (max(energies[0], least), energies[1])

    def measure(self, node: Node, setup: "TelescopeSetup") -> bool:
        """Measure the performance of a telescope set-up at a node."""
        from ..io.dl2 import read_dl2
        from ..irf.cuts import GammanessCuts
        from ..performance.measure import PerformanceOptions, measure_performance

        layout = self.planned.layout
        with self._step(performance_path(self.planned, node, setup), parts=".*.part*") as run:
            if run is None:
                return False
            signal: Particle = "gamma_point" if self._tested("gamma_point") else "gamma_diffuse"
            kinds: tuple[Particle, ...] = (signal, "proton_diffuse", "electron_diffuse")
            events = {
                kind: read_dl2(layout.dl2(kind, node, "test", setup)) for kind in kinds if self._tested(kind)
            }
            measure_performance(
                layout.performance(node, setup),
                gamma=events[signal],
                proton=events.get("proton_diffuse"),
                electron=events.get("electron_diffuse"),
                cuts=GammanessCuts.from_config(self.config),
                config=self.config,
                setup=setup,
                options=PerformanceOptions(label=self.planned.name),
            )
        return True

    def check_interpolation(self, irf_dir: Path) -> bool:
        """Leave out each node between others, and compare what the responses of the others predict."""
        from .interpolation import interpolation_check, write_check

        product = self.planned.layout.interpolation_check
        with self._step(product) as run:
            if run is None:
                return False
            tags = irf_tags(self.planned, self.config.analysis.global_gammaness_cut)
            write_check(product, interpolation_check(self.planned, irf_dir, tags))
        return True

    def sweep_logs(self, products: Iterable[Path]) -> None:
        """Remove what a kill has left of the logs of products: a log is written after its product."""
        for product in products:
            with held_lock(self._lock(product)):
                sweep_parts(self._log(product))

    def report(self, irf_dir: Path) -> bool:
        """Write the page about the production, anew each time: it costs little and shows what is there."""
        from ..report.production_page import production_page

        layout = self.planned.layout
        with held_lock(layout.lock(layout.report)):
            _sweep(layout.report.parent, ".*.part*")
            production_page(layout, self.planned.production, layout.report, irf_dir=irf_dir)
        return True

    def _tested(self, particle: Particle) -> bool:
        return self.planned.has(particle, "test")

    def _dl2_files(self, node: Node, setup: "TelescopeSetup") -> Sequence[Path]:
        kinds: tuple[Particle, ...] = ("gamma_diffuse", "proton_diffuse", "electron_diffuse")
        layout = self.planned.layout
        return [layout.dl2(kind, node, "test", setup) for kind in kinds if self._tested(kind)]

    def _selected(self, particle: Particle, node: Node, setup: "TelescopeSetup") -> "ReconstructedEvents":
        """Return the events of a test sample that pass the event selection."""
        from ..io.dl2 import read_dl2
        from ..reco.selection import select_events

        events = read_dl2(self.planned.layout.dl2(particle, node, "test", setup))
        return events.select(select_events(events, self.config).mask)

    @contextlib.contextmanager
    def _step(self, product: Path, *, parts: str = "") -> Iterator[RunLog | None]:
        """
        Hold the lock of a product and open its log; None where the product is there already.

        Parameters
        ----------
        product : Path
            The file that is written last.
        parts : str
            Names under which killed attempts may have left files, where those are not only the product's.
        """
        start = monotonic()
        with held_lock(
            self._lock(product), on_wait=lambda: log.info("%s: another process is at it", product)
        ):
            if product.exists():
                yield None
                return
            _sweep(product.parent, parts or f".{product.stem}.*.part*")
            heading = {
                "production": f"{self.planned.name} ({self.planned.file})",
                "configuration": f"{self.config.path} {self.config.fingerprint()}",
                "product": product,
            }
            work = self.planned.layout.root / ".work" / self._lock(product).with_suffix(".log").name
            with run_log(work, heading) as run:
                yield run
                run.result(f"done, {monotonic() - start:.1f} s")
                write_atomically(self._log(product), run.content())
            work.unlink(missing_ok=True)

    def _log(self, product: Path) -> Path:
        """Return the log of a product, beside it; that of a response lies in the production."""
        layout = self.planned.layout
        if product.is_relative_to(layout.root):
            return side_paths(product)["log"]
        # gammapy takes the first file in the directory of a response.
        return layout.root / "irfs" / product.parent.name / f"{product.stem}.log"

    def _lock(self, product: Path) -> Path:
        layout = self.planned.layout
        if product.is_relative_to(layout.root):
            return layout.lock(product)
        return layout.locks / f"irfs__{product.parent.name}__{product.stem}.lock"


def _sweep(directory: Path, names: str) -> None:
    """Remove what killed attempts have left; only under the lock that guards it."""
    for part in directory.glob(names):
        part.unlink(missing_ok=True)
