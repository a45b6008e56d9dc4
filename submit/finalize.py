"""``python -m submit.finalize CAMPAIGN FOLLOWS``: the last job of a round, which goes on from there."""

import logging
import sys
import time
from pathlib import Path

from submit.advance import Outcome, advance
from submit.campaign import Campaign
from submit.errors import BusyError, StateError, SubmitError
from submit.notify import notify, summary
from submit.site import Site, load_site

__all__ = ["finalize", "main"]

log = logging.getLogger(__name__)

_PATIENCE = 10
_PAUSE_S = 30.0
_LONGEST_S = 2400.0


def finalize(campaign: Campaign, site: Site, follows: int) -> Outcome | None:
    """
    Go on with a campaign whose arrays have ended; tell somebody if that is not possible.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    site : Site
        Settings of the site.
    follows : int
        How many finalizers there were since somebody called by hand or by cron, this one included.

    Returns
    -------
    Outcome or None
        What was found; None if somebody cancelled the campaign.
    """
    if campaign.stop.exists():
        return None
    outcome = advance(campaign, site, follows=follows)
    if outcome.complete:
        log.info("%s: complete", campaign.name)
    elif outcome.stuck and outcome.plan.later and follows < site.plan.max_rounds:
        # No job is left that could wait for the time of the next attempt.
        pause = max(min(outcome.plan.later.values()) - time.time(), 0.0) + 1.0
        log.info("%s: %s tasks are tried again in %.0f s", campaign.name, len(outcome.plan.later), pause)
        time.sleep(min(pause, _LONGEST_S))
        return finalize(campaign, site, follows + 1)
    elif outcome.stuck or (follows >= site.plan.max_rounds and not outcome.plan.active):
        text = summary(campaign, outcome)
        log.warning("%s", text)
        notify(campaign, site, text)
    return outcome


def main() -> int:
    """Run as a job; return the exit status."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO)
    campaign, follows = Campaign(Path(sys.argv[1])), int(sys.argv[2])
    for _ in range(_PATIENCE):
        try:
            finalize(campaign, _site(campaign), follows)
        except BusyError as error:
            log.info("%s", error)
            time.sleep(_PAUSE_S)
        except SubmitError as error:
            log.error("%s", error)
            return error.exit_code
        else:
            return 0
    return BusyError.exit_code


def _site(campaign: Campaign) -> Site:
    place = campaign.read().get("site")
    if not isinstance(place, str):
        raise StateError(f"{campaign.file}: does not name the settings of the site; submit it again")
    site = load_site(Path(place))
    site.share()
    return site


if __name__ == "__main__":
    raise SystemExit(main())
