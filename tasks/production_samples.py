"""Simulated samples: shards, in parts of a sample, and their merge into one file."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator

import luigi

from sst1m.errors import Sst1mError
from tasks.base import unless_refused
from tasks.production_base import ProductionTask, SampleTask, mc_config, production_options

__all__ = ["MergeSample", "SimulateBatch", "SimulateShard"]

log = logging.getLogger(__name__)

#: luigi's own scheduler takes 4 microseconds times the square of the number of tasks: with 500 a second,
#: with 100 000 half a day.
_MOST_TASKS = 500


class SimulateShard(SampleTask):
    """
    Makes the DL1 file of one shard.

    May be run again at any time. A shard that is itself to blame for a failure is recorded and counts as
    settled; any other failure (disk, configuration, memory) is tried again at the next call.
    """

    farm = {"stage": "simulate", "by": "particle", "seconds": 0.004, "mem_mb": 1500}
    """Seconds per shower; see `submit.spec`."""

    index = luigi.IntParameter(description="number of the shard in its sample, from 0")

    def farm_work(self) -> float:
        """Return the number of showers, or 1 where the size of the input is not known."""
        return float(max(self.sample.n_showers, 1))

    def farm_give_up(self, reason: str) -> None:
        """Count the shard as failed, where its process did not live to do so itself."""
        from sst1m.give_up import give_up_shard

        give_up_shard(self.planned, self.sample.shard(self.index), reason)

    def output(self) -> luigi.LocalTarget:
        """Return the DL1 file."""
        planned, sample = self.planned, self.sample
        return luigi.LocalTarget(
            str(planned.layout.shard(sample.particle, sample.node, sample.role, self.index))
        )

    @unless_refused
    def complete(self) -> bool:
        """Whether the file exists, or the shard is known to fail."""
        from sst1m.production.make_shard import shard_is_settled

        return shard_is_settled(self.planned, self.sample.shard(self.index))

    def run(self) -> None:
        """Simulate the shard, or reduce the file that it is made from."""
        self.start()
        _make(self, self.index, _reporter(self, self.sample.n_showers))


class SimulateBatch(SampleTask):
    """
    Makes some shards of a sample in turn, each with a file of its own.

    It stands for its parts: where the work is spread over many machines, each `SimulateShard` may be run for
    itself, in any order. On one machine it keeps the graph small.
    """

    first = luigi.IntParameter(description="number of the first shard")
    count = luigi.IntParameter(description="number of shards")

    def parts(self) -> list[SimulateShard]:
        """Return the tasks that together do what is left of the work of this one."""
        return [
            SimulateShard(production=self.production, particle=self.particle, node=self.node, role=self.role,
                          index=index)
            for index in self._open()
        ]  # fmt: skip

    @unless_refused
    def complete(self) -> bool:
        """Whether all shards are settled; one listing of their directory."""
        return not self._open()

    def _open(self) -> list[int]:
        from sst1m.production.collect import open_shards

        return open_shards(self.planned, self.sample, self.first, self.count)

    def run(self) -> None:
        """Make the shards that are missing."""
        self.start()
        missing = self._open()
        for number, index in enumerate(missing):
            _make(self, index, None)
            if self.set_progress_percentage is not None:
                self.set_progress_percentage(round(100 * (number + 1) / len(missing)))


def _make(task: SampleTask, index: int, progress: Callable[[int], None] | None) -> None:
    from sst1m.production.make_shard import make_shard

    shard = task.sample.shard(index)
    outcome = make_shard(task.planned, shard, mc_config(), progress=progress)
    if outcome is None:
        return
    if outcome.state == "done":
        log.info("%s: %s events (%.1f s)", shard, outcome.n_events, outcome.seconds)
    else:
        log.warning("%s: failed: %s", shard, outcome.reason)


def _reporter(task: luigi.Task, total: int) -> Callable[[int], None]:
    """Return what tells luigi how far a shard is, at most once a second: each message is a call."""
    state = {"done": 0, "told": 0.0}

    def report(n_showers: int) -> None:
        state["done"] += n_showers
        if task.set_progress_percentage is not None and time.monotonic() - state["told"] > 1.0:
            state["told"] = time.monotonic()
            task.set_progress_percentage(round(100 * state["done"] / max(total, 1)))

    return report


class MergeSample(SampleTask):
    """
    Joins the shards of a sample into one DL1 file, if no more have failed than the production accepts.

    The shards are not needed any more afterwards.
    """

    farm = {"stage": "merge", "by": "particle", "seconds": 120.0, "mem_mb": 3000}

    def requires(self) -> list[SampleTask]:
        """Need all shards of the sample, in tasks of some each."""
        return list(self._parts())

    def _parts(self) -> Iterator[SampleTask]:
        sample = self.sample
        size = production_options().shards_per_task or math.ceil(self.planned.n_shards / _MOST_TASKS)
        same = {
            "production": self.production,
            "particle": self.particle,
            "node": self.node,
            "role": self.role,
        }
        for first in range(0, sample.n_shards, size):
            if size == 1:
                yield SimulateShard(**same, index=first)
            else:
                yield SimulateBatch(**same, first=first, count=min(size, sample.n_shards - first))

    def output(self) -> luigi.LocalTarget:
        """Return the merged DL1 file."""
        sample = self.sample
        return luigi.LocalTarget(str(self.planned.layout.merged(sample.particle, sample.node, sample.role)))

    def run(self) -> None:
        """Merge."""
        from sst1m.production.collect import merge_sample

        step = self.start()
        merge_sample(step.planned, self.sample, step.config)


_warm: list[int] = []


@MergeSample.event_handler(luigi.Event.DEPENDENCY_DISCOVERED)
def _warm_up(task: ProductionTask, _dependency: luigi.Task) -> None:
    """
    Load the heavy modules and kernels when the first sample is about to be made.

    luigi calls this in its main process while it schedules an incomplete sample. Every process that is
    forked later has them from the start, so that a production pays for them once and not once per shard.
    """
    if _warm:
        return
    _warm.append(os.getpid())
    from sst1m.production.warm import warm_up

    try:
        warm_up(task.planned, mc_config())
    except (Sst1mError, OSError) as error:
        # The shards meet the same, and there it is recorded.
        log.debug("not warmed up: %s", error)
