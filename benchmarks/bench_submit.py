"""
What the submitter costs on a graph of the size of a large production, and what stock Luigi costs.

Run with ``python benchmarks/bench_submit.py [tasks] [running]``. A graph of twice that many tasks and
one more (default 100 000) is planned with all its manifests and handed to a batch system that only
counts, planned again while everything is queued, and again when everything but the last task is done;
Luigi walks the same graphs to the point where it would start the first task. Then the second number of
tasks (default 4 000) is run: alone, by Luigi one after another in its own process, and by the
submitter's worker, each in a process of its own. Every measurement is a fresh process, start and imports
included; it counts CPU seconds, since other work may run beside. Bounds that are broken are named at the
end, with status 1.
"""

import gc
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PER_SHARD = 200
SITE = 'backend = "local"\nstate_dir = "state"\n[plan]\nfinalizer = "none"\n[node]\nmin_free_mb = 1\n'


def _words(root: Path, n_tasks: int) -> list[str]:
    return ["Everything", "--root", str(root / "products"), "--n-tasks", str(n_tasks)]


def _used_s() -> float:
    """Return the processor time of this process and of those that it waited for [s]."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


# ---- what is measured, each in a process of its own --------------------------------------------------------


@dataclass
class Counting:
    """A batch system that takes everything, keeps it queued, and counts how often it is asked."""

    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("submit", "query", "find"), 0))
    most: int = 0
    n_elements: int = 0
    name = "counting"

    def limits(self):
        from submit.jobs import Limits

        return Limits()

    def script(self, job) -> str:
        from submit.backends.script import render_script

        return render_script(job, self.site)

    def arguments(self, job) -> tuple[str, ...]:
        return ("true", job.name)

    def submit(self, job) -> str:
        self.calls["submit"] += 1
        self.most, self.n_elements = max(self.most, job.n_elements), self.n_elements + job.n_elements
        return f"{self.calls['submit']}:{job.n_elements}"

    def find(self, names: Collection[str]) -> dict[str, str]:
        self.calls["find"] += 1
        return {}

    def query(self, ids: Collection[str]):
        from submit.jobs import ElementState, JobState

        self.calls["query"] += 1
        queued = ElementState("queued")
        return {one: JobState(dict.fromkeys(range(int(one.split(":")[1])), queued)) for one in ids}

    def cancel(self, ids: Collection[str]) -> None:
        raise NotImplementedError


def ours(root: Path, n_tasks: int) -> dict[str, object]:
    """Submit what is missing, by the same function as the command does."""
    from submit.advance import advance
    from submit.campaign import Campaign
    from submit.root import Root
    from submit.site import load_site

    site = load_site(root / "submit.toml")
    backend = Counting()
    backend.site = site
    campaign = Campaign.create(Root.parse("farm_graph", _words(root, n_tasks)), site)
    outcome = advance(campaign, site, backend=backend)
    return {
        "n": outcome.plan.graph.n_seen,
        "planned": outcome.n_tasks,
        "active": len(outcome.plan.active),
        "calls": backend.calls,
        "elements": backend.n_elements,
        "most": backend.most,
    }


def status(root: Path, n_tasks: int) -> dict[str, object]:
    """Read how far the campaign is."""
    from submit.campaign import campaigns
    from submit.site import load_site
    from submit.status import read_status

    site = load_site(root / "submit.toml")
    backend = Counting()
    found = read_status(campaigns(site.state_dir)[0], site, backend)
    return {"n": sum(found.total.values()), "calls": backend.calls}


def luigi_plan(root: Path, n_tasks: int) -> dict[str, object]:
    """Let Luigi walk the graph, as it does before its first task, with the scheduler in the same process."""
    import farm_graph
    from luigi.scheduler import Scheduler
    from luigi.worker import Worker

    task = farm_graph.Everything(root=_words(root, n_tasks)[2], n_tasks=n_tasks)
    with Worker(scheduler=Scheduler()) as worker:
        worker.add(task)
        return {"n": len(worker._scheduled_tasks)}


def luigi_run(root: Path, n_tasks: int) -> dict[str, object]:
    """Let Luigi do the whole graph, one task after another."""
    import farm_graph
    import luigi

    task = farm_graph.Everything(root=_words(root, n_tasks)[2], n_tasks=n_tasks)
    before, start = _used_s(), time.perf_counter()
    assert luigi.build([task], local_scheduler=True, workers=1, log_level="CRITICAL")
    return {"n": 2 * n_tasks + 1, "spent": _used_s() - before, "wall": time.perf_counter() - start}


def bare(root: Path, n_tasks: int) -> dict[str, object]:
    """Do the tasks by themselves: what remains to be paid without anybody."""
    import farm_graph

    everything = farm_graph.Everything(root=_words(root, n_tasks)[2], n_tasks=n_tasks)
    chain = [task for last in everything.requires() for task in (last.requires(), last)]
    before, start = _used_s(), time.perf_counter()
    for task in [*chain, everything]:
        task.run()
    return {"n": len(chain) + 1, "spent": _used_s() - before, "wall": time.perf_counter() - start}


def worker(root: Path, n_tasks: int) -> dict[str, object]:
    """Do all shards of the campaign one after another by the worker, without the start of Python."""
    logging.disable(logging.CRITICAL)
    from submit.manifest import read_manifest, read_worker_settings
    from submit.worker import Worker

    arrays = sorted((root / "state").glob("*/rounds/001-*/0*"))
    before, start, number = _used_s(), time.perf_counter(), 0
    for array in arrays:
        settings = read_worker_settings(array)
        for shard in sorted((array / "shards").iterdir()):
            items = read_manifest(array, int(shard.stem))
            assert Worker(array, int(shard.stem), items, settings).run() == 0
            number += len(items)
    return {"n": number, "spent": _used_s() - before, "wall": time.perf_counter() - start}


def loaded_worker(root: Path, n_tasks: int) -> dict[str, object]:
    """Do the same with everything in memory that reduction needs, which each new process must be shown."""
    _load_much()
    return worker(root, n_tasks)


def _load_much() -> None:
    import ctapipe.image  # noqa: F401
    import numba  # noqa: F401
    import sklearn.ensemble  # noqa: F401
    import tables  # noqa: F401

    gc.collect()
    gc.freeze()


def loaded_forks(root: Path, number: int) -> dict[str, object]:
    """Begin and end processes that do nothing, with the same in memory."""
    _load_much()
    before = _used_s()
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return {"n": number, "spent": _used_s() - before}


MEASURED: dict[str, Callable[[Path, int], dict[str, object]]] = {
    one.__name__: one
    for one in (ours, status, luigi_plan, luigi_run, bare, worker, loaded_worker, loaded_forks)
}


# ---- the measurements in turn ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """What one process found, with its processor time [s] and largest memory [MB]."""

    found: dict
    cpu_s: float
    peak_mb: float

    @property
    def n(self) -> int:
        return self.found["n"]


def measure(name: str, root: Path, n_tasks: int) -> Measurement:
    """Measure in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", name, str(root), str(n_tasks)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    text = process.stdout.read()
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = code
    if code:
        sys.exit(f"{name} failed with status {code}")
    return Measurement(json.loads(text), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _site(directory: Path, name: str) -> Path:
    root = directory / name
    root.mkdir()
    (root / "submit.toml").write_text(SITE)
    return root


def _finish(root: Path, n_tasks: int) -> None:
    """Write all products but the last, as if the work were done."""
    import farm_graph

    for index in range(n_tasks):
        farm_graph.Reconstruct(root=str(root / "products"), index=index).run()
    farm_graph.Simulate(root=str(root / "products"), index=0).run()


@dataclass
class Table:
    """Lines of a table, and the bounds that are broken."""

    broken: list[str] = field(default_factory=list)

    def head(self, *columns: str) -> None:
        print("\n| " + " | ".join(columns) + " |")
        print("|" + "---|" * len(columns))

    def line(self, *cells: object) -> None:
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)

    def must(self, what: str, value: float, least: float, most: float) -> None:
        if not least <= value <= most:
            self.broken.append(f"{what}: {value:.3g} is not between {least:g} and {most:g}")


def planning(table: Table, directory: Path, n_tasks: int) -> None:
    """Plan what is missing, what is queued and what is done, by both."""
    root = _site(directory, "plan")
    scale = n_tasks / 100_000
    missing = measure("ours", root, n_tasks)
    again = measure("ours", root, n_tasks)
    seen = measure("status", root, n_tasks)
    stock = measure("luigi_plan", root, n_tasks)
    _finish(root, n_tasks)
    done = measure("ours", _moved(root, directory), n_tasks)
    stock_done = measure("luigi_plan", root, n_tasks)
    assert missing.found["planned"] == missing.n == stock.n == 2 * n_tasks + 1
    assert again.found["planned"] == 0 and again.found["active"] == missing.n

    table.head("planned", "tasks", "submitter [CPU s]", "peak [MB]", "Luigi [CPU s]", "peak [MB]", "ratio")
    for title, mine, other in (
        ("everything is missing: plan, manifests, orders", missing, stock),
        ("everything is queued", again, None),
        ("status, everything queued", seen, None),
        ("all is done but the last task", done, stock_done),
    ):
        theirs = (f"{other.cpu_s:.1f}", f"{other.peak_mb:.0f}") if other else ("", "")
        ratio = f"{other.cpu_s / mine.cpu_s:.1f}" if other else ""
        table.line(title, mine.n, f"{mine.cpu_s:.1f}", f"{mine.peak_mb:.0f}", *theirs, ratio)
    calls, elements = missing.found["calls"], missing.found["elements"]
    print(
        f"\n{elements} elements in {calls['submit']} submitting calls (most: {missing.found['most']}), and "
        f"{calls['query']} queries; the second call: {again.found['calls']['submit']} and "
        f"{again.found['calls']['query']}"
    )
    table.must("planning what is missing [CPU s]", missing.cpu_s, 0, 20 * scale)
    table.must("planning what is missing [MB]", missing.peak_mb, 0, 450)
    table.must("planning what is done [CPU s]", done.cpu_s, 0, 8 * scale)
    table.must("Luigi against submitter, missing", stock.cpu_s / missing.cpu_s, 5, float("inf"))
    table.must("elements of an array", missing.found["most"], 1, 1000)
    table.must("submitting calls", calls["submit"], 1, elements / 1000 + 3)
    table.must("queries of the second call", again.found["calls"]["query"], 1, 1)


def _moved(root: Path, directory: Path) -> Path:
    """Forget the campaign, keep the products."""
    (root / "state").rename(directory / "old-state")
    return root


def running(table: Table, directory: Path, n_tasks: int) -> None:
    """Run a graph by itself, by Luigi and by the worker."""
    n_chains = n_tasks // 2
    alone = measure("bare", _site(directory, "bare"), n_chains)
    stock = measure("luigi_run", _site(directory, "luigi"), n_chains)
    table.head("run", "tasks", "CPU per task [ms]", "beyond the task [ms]", "wall per task [ms]")

    def line(title: str, one: Measurement) -> float:
        beyond = 1e3 * (one.found["spent"] / one.n - alone.found["spent"] / alone.n)
        cells = (1e3 * one.found["spent"] / one.n, beyond, 1e3 * one.found["wall"] / one.n)
        table.line(title, one.n, *(f"{cell:.2f}" for cell in cells))
        return beyond

    line("the tasks alone", alone)
    luigi = line("Luigi, one process", stock)
    beyond = {}
    for name, title in (("worker", "worker"), ("loaded_worker", "worker with ctapipe and numba in memory")):
        root = _site(directory, name)
        measure("ours", root, n_chains)
        beyond[name] = line(title, measure(name, root, n_chains))
    forks = measure("loaded_forks", directory, 100)
    print(
        f"\nLuigi's overhead is {luigi / beyond['worker']:.1f} times that of the worker. A fork alone of the "
        f"process with ctapipe and numba in memory costs {1e3 * forks.found['spent'] / forks.n:.1f} ms here."
    )
    table.must("worker, beyond the task [ms]", beyond["worker"], -1, 10)


def main(n_tasks: int, n_running: int) -> int:
    """Print all tables; return the status."""
    table = Table()
    with tempfile.TemporaryDirectory() as directory:
        planning(table, Path(directory), n_tasks)
        running(table, Path(directory), n_running)
    for text in table.broken:
        print(f"BROKEN {text}")
    return len(table.broken) > 0


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if sys.argv[1:2] == ["--measure"]:
        found = MEASURED[sys.argv[2]](Path(sys.argv[3]), int(sys.argv[4]))
        print(json.dumps(found))
    else:
        given = [int(word) for word in sys.argv[1:]]
        sys.exit(main(*(given + [100_000, 4_000][len(given) :])))
