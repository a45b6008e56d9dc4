"""The command ``sst1m-submit``."""

import contextlib
import datetime
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from submit import tables
from submit.advance import Outcome, advance, look
from submit.backends import make_backend
from submit.campaign import Campaign, campaigns
from submit.cancel import cancel as cancel_jobs
from submit.cli_options import explained, root_of, root_options, site_of
from submit.doctor import examine
from submit.errors import BusyError, PlanError, SiteError, SubmitError
from submit.explain import explain as explain_task
from submit.explain import find_task, logs_of, matches
from submit.gc import leftovers, remove
from submit.notify import is_overdue, notify, summary
from submit.page import status_page
from submit.site import Site
from submit.state_files import write_text
from submit.status import Status, read_status
from submit.submission import render_first

__all__ = ["main"]

_STUCK = 30
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_WORDS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group(context_settings=_HELP)
@click.option(
    "--site", "site_file", type=click.Path(path_type=Path), help="Settings of the site [submit.toml]."
)
@click.option("--verbose", "-v", is_flag=True, help="Say more.")
@click.pass_context
def main(context: click.Context, site_file: Path | None, *, verbose: bool) -> None:
    """
    Run any task of a Luigi graph on a batch system: Slurm, OpenPBS, Torque, or the cores of this machine.

    \b
    sst1m-submit plan RunNight --date 2024-03-04       what would be submitted
    sst1m-submit submit RunNight --date 2024-03-04     submit what is missing; safe to repeat, e.g. by cron
    sst1m-submit status                                how far it is
    sst1m-submit explain tel 21 run 0012               why a task is not done
    sst1m-submit logs tel 21 run 0012                  what it said
    sst1m-submit retry --all                           take tasks out of quarantine and go on
    sst1m-submit cancel RunNight --date 2024-03-04     end the jobs; what is done stays done

    The settings of the site are in submit.toml beside luigi.cfg (or --site, or SST1M_SUBMIT_SITE).
    """
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("submit").setLevel(level)
    context.obj = site_file


def _chosen(site: Site, module: str, words: tuple[str, ...]) -> list[Campaign]:
    """Return the campaign of a root, or all where no root is named."""
    known = campaigns(site.state_dir)
    if words and words[0] in {campaign.name for campaign in known}:
        return [campaign for campaign in known if campaign.name == words[0]]
    if words:
        known = [Campaign(site.state_dir / root_of(module, words).task_id)]
        if not known[0].file.exists():
            raise SiteError(f"{known[0].name}: was never submitted; sst1m-submit submit does so")
    return known


@main.command(context_settings=_WORDS, short_help="Show what would be submitted.")
@root_options
@click.pass_context
@explained
def plan(context: click.Context, module: str, words: tuple[str, ...]) -> None:
    """
    Show what would be submitted for a task: arrays, shards, core hours, reasons, and one script.

    \b
    sst1m-submit plan RunNight --date 2024-03-04
    sst1m-submit plan MakeProduction --production demo
    """
    site, root = site_of(context), root_of(module, words)
    backend = make_backend(site)
    outcome = look(root, site, backend)
    for line in tables.plan_lines(outcome):
        click.echo(line)
    if outcome.here:
        click.echo(f"first, 'submit' runs here: {', '.join(outcome.here)}; more tasks may follow from it")
    if outcome.plan.arrays:
        script, arguments = render_first(root, outcome.plan.arrays[0], site, backend)
        click.echo(f"\nthe first array would be submitted by\n  {' '.join(arguments)}\nwith this script:\n")
        click.echo(script)


@main.command(context_settings=_WORDS, short_help="Submit what is missing; safe to repeat.")
@root_options
@click.option("--quiet", "-q", is_flag=True, help="Say nothing if there is nothing to do.")
@click.pass_context
@explained
def submit(context: click.Context, module: str, words: tuple[str, ...], *, quiet: bool) -> None:
    """
    Submit what is missing for a task and is not on its way; safe to be repeated at any time, e.g. by cron.

    Ends with status 0 if the task is complete or its work is on its way, 30 if nothing can be done about what
    is missing, 10 if somebody else is submitting it at this moment.

    \b
    sst1m-submit submit RunNight                        last night
    sst1m-submit submit RunNight --date 2024-03-04
    sst1m-submit submit MakeProduction --production standard
    """
    site, root = site_of(context), root_of(module, words)
    is_new = root.task_id not in {campaign.name for campaign in campaigns(site.state_dir)}
    campaign = Campaign.create(root, site)
    with _told(campaign, site) if not is_new else contextlib.nullcontext([]) as texts:
        outcome = advance(campaign, site)
        texts += [] if outcome.complete else [summary(campaign, outcome)]
    _show(campaign, outcome, quiet=quiet)
    _end([outcome])


@contextlib.contextmanager
def _told(campaign: Campaign, site: Site) -> Iterator[list[str]]:
    """Take what is to be told of an overdue campaign, also if it cannot even be submitted."""
    texts: list[str] = []
    try:
        yield texts
    except BusyError:
        raise
    except Exception as error:
        texts.append(f"{campaign.name} cannot be submitted: {error}\nState: {campaign.directory}")
        raise
    finally:
        if texts and is_overdue(campaign, site.notify, datetime.datetime.now(datetime.UTC)):
            notify(campaign, site, "\n".join(texts))


def _show(campaign: Campaign, outcome: Outcome, *, quiet: bool = False) -> None:
    if not (quiet and outcome.complete):
        for line in tables.plan_lines(outcome):
            click.echo(line)
    if outcome.n_arrays:
        click.echo(f"submitted; sst1m-submit status {campaign.name}")


def _end(outcomes: Sequence[Outcome]) -> None:
    """End with a status of its own if nothing can be done about what is missing."""
    if any(outcome.stuck for outcome in outcomes):
        click.echo("nothing is on its way: see sst1m-submit explain TASK, mend it, then retry", err=True)
        sys.exit(_STUCK)


@main.command(context_settings=_WORDS, short_help="Show how far campaigns are.")
@root_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page to this file.")
@click.option(
    "--watch", type=float, is_flag=False, flag_value=30.0, help="Repeat every so many seconds [30]."
)
@click.option("--offline", is_flag=True, help="Do not ask the batch system.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Where no task is named: so many of the newest campaigns.",
)
@click.pass_context
@explained
def status(
    context: click.Context, module: str, words: tuple[str, ...], *, as_json: bool, html: Path | None,
    watch: float | None, offline: bool, last: int,
) -> None:  # fmt: skip
    """
    Show how far campaigns are: the newest, or that of a task.

    \b
    sst1m-submit status
    sst1m-submit status --watch 60 RunNight --date 2024-03-04
    sst1m-submit status --html status.html
    """
    site = site_of(context)
    backend = None if offline else make_backend(site)
    while True:
        found = [read_status(campaign, site, backend) for campaign in _chosen(site, module, words)[-last:]]
        _write_status(found, html, as_json=as_json)
        if watch is None or not any(known.n_on_the_way for known in found):
            return
        time.sleep(watch)
        click.clear()


def _write_status(found: list[Status], html: Path | None, *, as_json: bool) -> None:
    if html is not None:
        write_text(html, status_page(found))
    if as_json:
        click.echo(json.dumps([known.as_json() for known in found], indent=1))
        return
    for known in found:
        for line in tables.status_lines(known):
            click.echo(line)
    if not found:
        click.echo("no campaign yet: sst1m-submit submit TASK begins one")


def _one(site: Site, name: str | None, task: tuple[str, ...]) -> tuple[Campaign, str]:
    """Return the newest campaign with a task that is named by some words, and its id."""
    known = [campaign for campaign in campaigns(site.state_dir) if name in (None, campaign.name)]
    if not known:
        raise SiteError(f"{site.state_dir}: there is no campaign{f' {name}' if name else ''}")
    for campaign in reversed(known):
        if (task_id := find_task(campaign, task)) is not None:
            return campaign, task_id
    # What waits for something else was never submitted.
    for campaign in reversed(known):
        nodes = look(campaign.root, site).plan.graph.nodes.values()
        if (task_id := find_task(campaign, task, nodes)) is not None:
            return campaign, task_id
    raise PlanError(
        f"no task of {', '.join(one.name for one in known[-3:])} has {' '.join(task)!r} in its name"
    )


_campaign_option = click.option("--campaign", "name", help="Name of the campaign [the newest with the task].")


@main.command(short_help="Say why a task is not done.")
@click.argument("task", nargs=-1, required=True, metavar="WORD...")
@_campaign_option
@click.pass_context
@explained
def explain(context: click.Context, task: tuple[str, ...], name: str | None) -> None:
    """
    Say why a task is not done, down to the first cause. All words are parts of its label or its id.

    \b
    sst1m-submit explain Crab stereo ExportPhotonLists
    sst1m-submit explain tel 21 run 0012
    """
    site = site_of(context)
    campaign, task_id = _one(site, name, task)
    for line in explain_task(campaign, look(campaign.root, site), task_id):
        click.echo(line)


@main.command()
@click.argument("task", nargs=-1, required=True, metavar="WORD...")
@_campaign_option
@click.option("--all", "every", is_flag=True, help="All attempts, not only the last.")
@click.pass_context
@explained
def logs(context: click.Context, task: tuple[str, ...], name: str | None, *, every: bool) -> None:
    """
    Show what a task said. All words are parts of its label or its id.

    \b
    sst1m-submit logs tel 21 run 0012
    sst1m-submit logs --all CalibrateRun_2024_03_04_21_956_header_3763ccc8cf
    """
    campaign, task_id = _one(site_of(context), name, task)
    found = logs_of(campaign, task_id)
    if not found:
        raise PlanError(f"{task_id}: has no log yet")
    for path in found if every else found[-1:]:
        click.echo(f"==> {path}")
        click.echo(Path(path).read_text(encoding="utf-8", errors="replace"))


@main.command(context_settings=_WORDS, short_help="Take tasks out of quarantine, and go on.")
@click.option("--all", "every", is_flag=True, help="All tasks in quarantine.")
@click.option("--class", "kind", help="Those whose last failure was of this class, e.g. oom.")
@_campaign_option
@click.argument("tasks", nargs=-1, metavar="[TEXT]...")
@click.pass_context
@explained
def retry(
    context: click.Context, every: bool, kind: str | None, name: str | None, tasks: tuple[str, ...]
) -> None:
    """
    Take tasks out of quarantine, forget their failures, and submit them again. A text is a part of the label
    or the id of a task.

    \b
    sst1m-submit retry --all
    sst1m-submit retry --class oom
    sst1m-submit retry "tel 21 run 0012" "tel 22 run 0012"
    """
    site = site_of(context)
    if not (every or kind or tasks):
        raise SiteError("which tasks? name them, or give --all or --class")
    outcomes = []
    for campaign in (c for c in campaigns(site.state_dir) if name in (None, c.name)):
        chosen = _retried(campaign, site, kind, tasks, every=every)
        if chosen:
            campaign.forget(chosen)
            click.echo(f"{campaign.name}: {len(chosen)} tasks are tried again")
            outcomes.append(advance(campaign, site))
            _show(campaign, outcomes[-1])
    if not outcomes:
        click.echo("no such task has failed or is in quarantine; see sst1m-submit status")
    _end(outcomes)


def _retried(
    campaign: Campaign, site: Site, kind: str | None, tasks: tuple[str, ...], *, every: bool
) -> set[str]:
    failed = {f["id"]: f for f in read_status(campaign, site, None).failures}
    known = {**failed, **campaign.quarantined()}
    return {
        task_id
        for task_id in known
        if every
        or any(matches(task_id, str(known[task_id].get("label") or ""), [text]) for text in tasks)
        or kind
        and failed.get(task_id, {}).get("class") == kind
    }


@main.command(context_settings=_WORDS, short_help="End the jobs of a campaign.")
@root_options
@click.pass_context
@explained
def cancel(context: click.Context, module: str, words: tuple[str, ...]) -> None:
    """
    End the jobs of a task's campaign; what is done stays done, and 'submit' goes on from there.

    \b
    sst1m-submit cancel RunNight --date 2024-03-04
    """
    site = site_of(context)
    if not words:
        raise SiteError("which task? name it as for submit, or give the name of a campaign (see status)")
    for campaign in _chosen(site, module, words):
        ended = cancel_jobs(campaign, site, make_backend(site))
        click.echo(f"{campaign.name}: ended {', '.join(ended) or 'nothing, no job was on its way'}")


@main.command(short_help="Look whether the site is fit.")
@click.pass_context
@explained
def doctor(context: click.Context) -> None:
    """
    Look whether the site is fit: state directory, clock, batch system and its limits.

    \b
    sst1m-submit doctor
    sst1m-submit --site config/sites/slurm.toml doctor
    """
    site = site_of(context)
    bad = 0
    for finding in examine(site, make_backend(site)):
        click.echo(f"{'ok ' if finding.good else 'BAD'}  {finding.name}: {finding.text}")
        bad += not finding.good
    if bad:
        raise SubmitError(f"{bad} findings are not as they should be")


@main.command(short_help="Remove what is left over.")
@click.option(
    "--keep-days", type=float, default=30.0, show_default=True, help="Keep rounds younger than this."
)
@click.option("--dry-run", is_flag=True, help="Only list.")
@click.pass_context
@explained
def gc(context: click.Context, keep_days: float, *, dry_run: bool) -> None:
    """
    Remove temporary files of killed processes, dead leases, and logs of old rounds.

    \b
    sst1m-submit gc --dry-run
    sst1m-submit gc --keep-days 7
    """
    number = 0
    for path in leftovers(site_of(context), keep_days=keep_days):
        click.echo(str(path))
        number += 1
        if not dry_run:
            remove(path)
    click.echo(f"{number} {'would be' if dry_run else 'were'} removed")
