"""Tells people that a campaign does not go on by itself, by mail or by a web hook."""

import datetime
import json
import logging
import smtplib
import socket
import time
import urllib.request
from email.message import EmailMessage
from email.utils import formatdate

from submit.advance import Outcome
from submit.campaign import Campaign, user_name
from submit.site import NotifySettings, Site
from submit.state_files import read_json, write_json

__all__ = ["is_overdue", "notify", "summary"]

log = logging.getLogger(__name__)

_TIMEOUT_S = 30
_AGAIN_S = 20 * 3600


def summary(campaign: Campaign, outcome: Outcome) -> str:
    """Say in a few lines why a campaign is not complete."""
    plan = outcome.plan
    lines = [f"{campaign.name} is not complete: {len(plan.graph.nodes)} tasks are missing."]
    groups = (
        ("in quarantine", plan.quarantine),
        ("missing or broken", plan.missing),
        ("to be tried again later", {task_id: "" for task_id in plan.later}),
        ("waiting for one of these", plan.held_up),
    )
    for title, tasks in groups:
        if tasks:
            lines.append(f"{len(tasks)} {title}, e.g.")
            lines += [f"  {task_id}: {text}"[:300] for task_id, text in list(tasks.items())[:5]]
    lines.append(f"State: {campaign.directory}")
    return "\n".join(lines)


def is_overdue(campaign: Campaign, settings: NotifySettings, now: datetime.datetime) -> bool:
    """Whether it is after the hour at which somebody is to be told, and nobody was told lately."""
    if not settings.after or now.strftime("%H:%M") < settings.after:
        return False
    return not _told_lately(campaign)


def _told_lately(campaign: Campaign) -> bool:
    place = campaign.directory / "notified.json"
    return place.exists() and time.time() - float(str(read_json(place).get("time", 0))) < _AGAIN_S


def notify(campaign: Campaign, site: Site, text: str) -> bool:
    """
    Send a text about a campaign to all who are named in the settings; once a day.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    site : Site
        Settings of the site.
    text : str
        What is to be said, e.g. the `summary`.

    Returns
    -------
    bool
        Whether anything was sent. Nobody fails because a mail cannot be sent: that is logged.
    """
    settings = site.notify
    if _told_lately(campaign) or not (settings.mail or settings.webhook):
        return False
    sent = [_send_mail(settings, campaign.name, text)] if settings.mail else []
    sent += [_call(settings.webhook, campaign.name, text)] if settings.webhook else []
    if any(sent):
        write_json(campaign.directory / "notified.json", {"time": time.time(), "text": text})
    return any(sent)


def _send_mail(settings: NotifySettings, name: str, text: str) -> bool:
    message = EmailMessage()
    message["Subject"] = f"{name} is not complete"
    message["From"] = settings.sender or f"{user_name()}@{socket.getfqdn()}"
    message["To"] = ", ".join(settings.mail)
    message["Date"] = formatdate()
    message.set_content(text)
    host, _, port = settings.smtp.partition(":")
    try:
        with smtplib.SMTP(host, int(port or smtplib.SMTP_PORT), timeout=_TIMEOUT_S) as server:
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        log.error("no mail sent by notify.smtp = %s: %s", settings.smtp, error)
        return False
    log.warning("told by mail: %s", message["To"])
    return True


def _call(address: str, name: str, text: str) -> bool:
    body = json.dumps({"campaign": name, "text": text}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            log.warning("told by notify.webhook")
            return True
    except (OSError, ValueError) as error:
        log.error("no call of notify.webhook: %s", error)
        return False
