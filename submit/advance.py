"""One step of a campaign: see what became of what was submitted, plan, and submit what is missing."""

import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import luigi

from submit.backends import make_backend
from submit.campaign import Campaign
from submit.graph import Graph, pending_graph
from submit.history import History
from submit.jobs import Backend, Limits
from submit.plan import Plan, make_plan, runs_here
from submit.quick_luigi import quick_luigi
from submit.reconcile import Account, Jobs, ask_jobs, close_ended, open_records, take_stock
from submit.root import Root
from submit.rounds import Round, open_rounds, write_round
from submit.site import Site
from submit.spec import label_of
from submit.submission import submit_finalizer, submit_planned

__all__ = ["Outcome", "advance", "look"]

log = logging.getLogger(__name__)

_EXPANSIONS = 5


@dataclass(frozen=True)
class Outcome:
    """
    What a step found and did.

    Parameters
    ----------
    complete : bool
        Whether the root is complete.
    plan : Plan
        What was planned.
    account : Account
        What had become of earlier submissions.
    n_arrays : int
        Number of arrays submitted.
    n_tasks : int
        Number of tasks newly planned.
    here : tuple of str
        Tasks that the next submission runs itself.
    """

    complete: bool
    plan: Plan
    account: Account
    n_arrays: int = 0
    n_tasks: int = 0
    here: tuple[str, ...] = ()

    @property
    def stuck(self) -> bool:
        """Whether nothing is on its way although something is missing."""
        return not (self.complete or self.plan.active or self.n_arrays or self.n_tasks)


def look(root_task: Root, site: Site, backend: Backend | None = None) -> Outcome:
    """Plan the work for a root without changing or submitting anything."""
    backend = backend or make_backend(site)
    campaign = Campaign(site.state_dir / root_task.task_id)
    with root_task.surroundings(), quick_luigi():
        root = root_task.load()
        account = take_stock(campaign, site, ask_jobs(campaign, backend), write=False)
        graph = pending_graph(root)
        here = tuple(task.task_id for task in runs_here(graph, site))
        plan = _plan(graph, campaign, site, backend.limits(), account)
    return Outcome(not graph.nodes, plan, account, here=here)


def advance(campaign: Campaign, site: Site, *, backend: Backend | None = None, follows: int = 0) -> Outcome:
    """
    Bring a campaign forward, as far as it can be now; safe to be called at any time and by anyone.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    site : Site
        Settings of the site.
    backend : Backend, optional
        Batch system; default: that of the site.
    follows : int
        How many finalizers there were since somebody called by hand or by cron.

    Raises
    ------
    BusyError
        If somebody else does the same at this moment.
    SchedulerError
        If the batch system does not answer or refuses an order; another call goes on from there.
    """
    backend = backend or make_backend(site)
    with campaign.locked(), campaign.root.surroundings(), quick_luigi():
        jobs = ask_jobs(campaign, backend)
        _let_go(campaign, jobs, backend)
        account = take_stock(campaign, site, jobs)
        if not follows:
            campaign.stop.unlink(missing_ok=True)
        limits = backend.limits()
        root = campaign.root.load()
        graph = _grown_graph(root, campaign, site)
        plan = _plan(graph, campaign, site, limits, account)
        if _put_away(plan, campaign, account):
            account = take_stock(campaign, site, jobs)
            graph = _grown_graph(root, campaign, site)
            plan = _plan(graph, campaign, site, limits, account)
        campaign.forget(plan.changed)
        if plan.arrays:
            _write(plan, campaign, site, follows)
        n_arrays = _submit_all(campaign, site, backend, limits, jobs, account, follows)
    return Outcome(not graph.nodes, plan, account, n_arrays, plan.n_todo)


def _let_go(campaign: Campaign, jobs: Jobs, backend: Backend) -> None:
    """Cancel what the batch system keeps for good: what waits for it would wait for ever."""
    states = filter(None, map(jobs.state_of, open_records(campaign)))
    held = {one.native for state in states for one in state.elements.values() if one.held}
    if held:
        log.warning(
            "could not be started on a node and is held for good, cancelled: %s", ", ".join(sorted(held))
        )
        backend.cancel(held)


def _plan(graph: Graph, campaign: Campaign, site: Site, limits: Limits, account: Account) -> Plan:
    history = History.read(site.state_dir)
    return make_plan(graph, site, limits, history, account, campaign.quarantined())


def _grown_graph(root: luigi.Task, campaign: Campaign, site: Site) -> Graph:
    """Walk the graph, run here what it grows from, and walk it again; what fails here is broken."""
    problems: dict[str, str] = {}
    for _ in range(_EXPANSIONS):
        graph = pending_graph(root)
        for task_id in graph.nodes.keys() & problems.keys():
            graph.nodes[task_id].kind = "broken"
            graph.nodes[task_id].problem = problems[task_id]
        here = runs_here(graph, site)
        if not here:
            break
        problems.update(_run_here(here, graph, campaign, site))
    return graph


def _run_here(tasks: list[luigi.Task], graph: Graph, campaign: Campaign, site: Site) -> dict[str, str]:
    """Run light tasks as shards of their own, in a worker like any other; return what is wrong by id."""
    only = Graph(graph.root, {task.task_id: graph.nodes[task.task_id] for task in tasks}, len(tasks))
    plan = make_plan(only, site, Limits(), History({}), Account(), {})
    known = write_round(campaign, plan.arrays, site, {"here": True})
    for record in known.arrays():
        for index in range(record.n_elements):
            words = [sys.executable, "-m", "submit.worker", str(record.directory), str(index)]
            subprocess.run(words, cwd=campaign.root.cwd, check=False, stdout=subprocess.DEVNULL)
        record.state = "cancelled"
        record.write()
    results = {result["id"]: result for result in close_ended(known, site)}
    problems = {}
    for task in tasks:
        result = results.get(task.task_id, {})
        if result.get("outcome") not in ("done", "skipped"):
            problems[task.task_id] = str(result.get("error") or f"its worker died, see {known.directory}")
    return problems


def _put_away(plan: Plan, campaign: Campaign, account: Account) -> bool:
    """Write down what is newly in quarantine; whether a task has settled itself by that."""
    settled = False
    before = campaign.quarantined()
    for task_id, reason in plan.quarantine.items():
        if task_id in before:
            continue
        task = plan.graph.nodes[task_id].task
        last = account.failures[task_id][-1]
        log.warning("%s: in quarantine: %s (log: %s)", task_id, reason, last.get("log"))
        give_up = getattr(task, "farm_give_up", None)
        if give_up is not None:
            # It keeps a record of its own, which ends where its inputs change.
            give_up(reason)
            campaign.forget([task_id])
            settled = True
            continue
        record = {
            "id": task_id, "label": label_of(task), "error": reason, "time": time.time(),
            "params": task.to_str_params(),
        }  # fmt: skip
        campaign.put_away(task_id, {**record, "attempts": account.failures[task_id]})
    return settled


def _write(plan: Plan, campaign: Campaign, site: Site, follows: int) -> Round:
    facts: Mapping[str, object] = {
        "follows": follows,
        "n_tasks": plan.n_todo,
        "n_shards": plan.n_shards,
        "core_hours": round(plan.core_hours, 2),
        "n_pending": len(plan.graph.nodes),
    }
    return write_round(campaign, plan.arrays, site, facts)


def _submit_all(
    campaign: Campaign,
    site: Site,
    backend: Backend,
    limits: Limits,
    jobs: Jobs,
    account: Account,
    follows: int,
) -> int:
    """Submit all that is planned, in this round and in those before it, and what follows their end."""
    number = 0
    for known in open_rounds(campaign):
        sent = submit_planned(campaign, known, site, backend, limits, jobs, account)
        if sent and site.plan.finalizer == "job" and follows < site.plan.max_rounds:
            submit_finalizer(campaign, known, site, backend, limits, jobs, account, follows)
        number += sent
    return number
