"""How far a campaign is: by stage and telescope, from products, results and the batch system."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from submit.campaign import Campaign
from submit.errors import SubmitError
from submit.jobs import Backend
from submit.listing import Listing
from submit.reconcile import Account, ask_jobs, take_stock
from submit.rounds import rounds_of
from submit.site import Site

__all__ = ["STATES", "Row", "Status", "read_status"]

#: States of a task, in the order of the columns.
STATES = ("done", "running", "queued", "planned", "blocked", "failed", "quarantined", "open")

_ON_THE_WAY = ("running", "queued", "planned")

#: What is needed of a task's line in a manifest; there may be very many.
_KEPT = ("id", "label", "family", "stage", "by", "seconds")

SCHEMA = "sst1m-submit-status/1"


@dataclass
class Row:
    """
    Tasks of one stage and one value of the parameter after which the stage is told apart.

    Parameters
    ----------
    stage, by : str
        Stage, and e.g. the telescope.
    counts : Counter
        Number of tasks by state.
    classes : Counter
        Number of failed ones by class.
    left_s : float
        Expected duration of what is on its way [s], at the pace of those that are done.
    """

    stage: str
    by: str
    counts: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    left_s: float = 0.0
    _done_s: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def add(self, state: str, expected_s: float, took_s: float | None) -> None:
        """Count a task in a state, with its expected duration [s] and that which it had."""
        self.counts[state] += 1
        if state in _ON_THE_WAY:
            self.left_s += expected_s
        elif took_s is not None:
            self._done_s[0] += expected_s
            self._done_s[1] += took_s

    def keep_pace(self) -> None:
        """Correct the expectation by what is known of those that are done."""
        expected_s, took_s = self._done_s
        if expected_s > 0:
            self.left_s *= took_s / expected_s

    @property
    def total(self) -> int:
        """Number of tasks."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """Return everything as values of JSON."""
        counts = {state: self.counts[state] for state in STATES}
        return {
            "stage": self.stage, "by": self.by, "total": self.total, **counts, "classes": dict(self.classes),
            "left_s": self.left_s,
        }  # fmt: skip


@dataclass
class Status:
    """
    State of a campaign.

    Parameters
    ----------
    name, directory : str
        The campaign.
    rows : list of Row
        By stage.
    failures : list of dict
        Newest result of the tasks that failed or are in quarantine.
    elements : Counter
        Elements of arrays by phase.
    scheduler : str
        Why the batch system could not be asked; empty if it could.
    rounds : int
        Number of submissions.
    made : float
        When this was read [s, Unix].
    root : str
        The root task with its parameters, for people.
    """

    name: str
    directory: str
    rows: list[Row]
    failures: list[dict[str, Any]]
    elements: Counter[str]
    scheduler: str = ""
    rounds: int = 0
    made: float = 0.0
    root: str = ""

    @property
    def total(self) -> Counter[str]:
        """Number of tasks by state, over all stages."""
        total: Counter[str] = Counter()
        for row in self.rows:
            total.update(row.counts)
        return total

    @property
    def n_on_the_way(self) -> int:
        """Number of elements that have not ended."""
        return self.elements.total() - self.elements["ended"]

    @property
    def eta_s(self) -> float | None:
        """Expected time until all that is on its way is done [s]; None where nothing runs."""
        running = self.elements["running"]
        left = sum(row.left_s for row in self.rows)
        return left / running if running else None

    def as_json(self) -> dict[str, Any]:
        """Return everything as values of JSON."""
        return {
            "schema": SCHEMA,
            "campaign": self.name,
            "root": self.root,
            "directory": self.directory,
            "time": self.made,
            "rounds": self.rounds,
            "scheduler": self.scheduler or "answered",
            "elements": dict(self.elements),
            "total": dict(self.total),
            "eta_s": self.eta_s,
            "stages": [row.as_json() for row in self.rows],
            "failures": self.failures,
        }


def read_status(campaign: Campaign, site: Site, backend: Backend | None) -> Status:
    """
    Look how far a campaign is; nothing is changed.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    site : Site
        Settings of the site.
    backend : Backend or None
        Batch system; None: it is not asked.
    """
    problem = "was not asked" if backend is None else ""
    jobs = None
    if backend is not None:
        try:
            jobs = ask_jobs(campaign, backend)
        except SubmitError as error:
            problem = str(error)
    account = take_stock(campaign, site, jobs, write=False)
    quarantined = campaign.quarantined()
    rows: dict[tuple[str, str], Row] = {}
    failures: list[dict[str, Any]] = []
    for item in _tasks(campaign).values():
        key = (item["stage"], item.get("by") or "")
        row = rows.setdefault(key, Row(*key))
        state = item_state(item, account, quarantined)
        result = account.latest.get(item["id"], {})
        took_s = result.get("seconds") if result.get("outcome") == "done" else None
        row.add(state, item["seconds"], took_s)
        if state in ("failed", "quarantined"):
            row.classes[str(result.get("class") or "by hand")] += 1
            named = {key: item[key] for key in ("family", "id", "label")}
            failures.append({**named, "state": state, **_told(result)})
    for row in rows.values():
        row.keep_pace()
    return Status(
        campaign.name, str(campaign.directory), list(rows.values()), failures, account.elements, problem,
        len(rounds_of(campaign)), time.time(), campaign.root.words,
    )  # fmt: skip


def _told(result: dict[str, Any]) -> dict[str, Any]:
    keys = ("class", "error", "attempt", "node", "seconds", "maxrss_mb", "log")
    return {key: result.get(key) for key in keys}


def _tasks(campaign: Campaign) -> dict[str, dict[str, Any]]:
    """Return all tasks that were ever planned by id, as their newest manifest describes them."""
    listing = Listing()
    tasks: dict[str, dict[str, Any]] = {}
    for known in rounds_of(campaign):
        for record in known.arrays():
            for _, item in record.items():
                # A task with an answer of its own may well have written its file and not be complete.
                by_files = item.get("by_files") and item["outputs"]
                there = bool(by_files) and all(listing.has(path) for path in item["outputs"])
                tasks[item["id"]] = {key: item.get(key) for key in _KEPT} | {"there": there}
    return tasks


def item_state(item: dict[str, Any], account: Account, quarantined: dict[str, dict[str, object]]) -> str:
    """Return the state of a task: its product counts most, then its result, then its job."""
    task_id = item["id"]
    result = account.latest.get(task_id, {})
    if item.get("there") or result.get("outcome") in ("done", "skipped") and task_id not in account.active:
        return "done"
    if task_id in account.active:
        return account.active[task_id]
    if task_id in quarantined:
        return "quarantined"
    if result.get("outcome") == "blocked":
        return "blocked"
    return "failed" if result.get("outcome") == "failed" else "open"
