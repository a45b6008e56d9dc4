"""Ends what is on its way."""

from submit.campaign import Campaign
from submit.jobs import Backend
from submit.reconcile import ask_jobs, take_stock
from submit.rounds import open_rounds
from submit.site import Site
from submit.state_files import write_text

__all__ = ["cancel"]


def cancel(campaign: Campaign, site: Site, backend: Backend) -> list[str]:
    """
    End all jobs of a campaign; what is done stays done, and another submission goes on from there.

    Workers see the file ``STOP`` between two tasks. Only ids that are written in the campaign are cancelled,
    never what else the user has in the queue.

    Returns
    -------
    list of str
        Ids of the jobs that were ended.
    """
    with campaign.locked():
        write_text(campaign.stop, "cancelled\n")
        jobs = ask_jobs(campaign, backend)
        # Orders whose answer was lost are found by name first.
        take_stock(campaign, site, jobs)
        ended: list[str] = []
        for known in open_rounds(campaign):
            finalizer = known.finalizer
            for record in [*([finalizer] if finalizer else []), *known.arrays()]:
                state = jobs.state_of(record)
                if record.native_id and record.state == "submitted" and (state is None or state.known):
                    ended.append(record.native_id)
                record.state = "cancelled"
                record.write()
        if ended:
            backend.cancel(ended)
    return ended
