"""Who is told, when and of what: by a real mail server and a real web server of this machine."""

import datetime
import http.server
import json
import socketserver
import threading
from email import message_from_string, policy

import pytest

from submit.advance import advance
from submit.campaign import Campaign
from submit.errors import StateError
from submit.finalize import finalize
from submit.notify import is_overdue, notify
from submit.site import NotifySettings


class _MailHandler(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail takes."""

    def handle(self):
        self._say("220 test ready")
        while words := self.rfile.readline().decode().strip():
            verb = words.split(":")[0].split()[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                self.server.mails.append(message_from_string("\n".join(lines), policy=policy.default))
            self._say("221 bye" if verb == "QUIT" else "250 ok")
            if verb == "QUIT":
                return

    def _say(self, text):
        self.wfile.write(f"{text}\r\n".encode())


class _HookHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((self.path, self.headers["Content-Type"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def serve():
    """Return a function that starts a server on a free port."""
    servers = []

    def start(kind, handler):
        server = kind(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def told(serve):
    """Return a mail server and a web server, and the lines of settings that name them."""
    mail = serve(socketserver.ThreadingTCPServer, _MailHandler)
    hook = serve(http.server.ThreadingHTTPServer, _HookHandler)
    mail.mails, hook.calls = [], []
    lines = (
        f'mail = ["shift@example.org", "farm@example.org"]\nsmtp = "127.0.0.1:{mail.server_address[1]}"\n'
        f'webhook = "http://127.0.0.1:{hook.server_address[1]}/hook"\n'
    )
    return mail.mails, hook.calls, lines


def test_an_overdue_campaign_is_told_of_once_a_day_and_not_by_the_call_that_begins_it(make_farm, told):
    mails, calls, lines = told
    made = make_farm("local", 2, finalizer="none", notify=f'{lines}after = "00:00"\nsender = "me@here"')
    made.plant(n0="corrupt")
    assert made.said_by("submit", *made.words)[0] == 0
    made.wait_quiet()
    assert not mails and not calls
    status, text = made.said_by("submit", *made.words)
    assert status == 30 and "told by mail: shift@example.org, farm@example.org" in text
    assert len(mails) == len(calls) == 1
    mail, (path, kind, body) = mails[0], calls[0]
    name = made.campaign.name
    assert (mail["Subject"], mail["From"]) == (f"{name} is not complete", "me@here")
    assert mail["To"] == "shift@example.org, farm@example.org" and mail["Date"]
    text = mail.get_content()
    assert "1 in quarantine" in text and "input file is truncated" in text
    assert str(made.campaign.directory) in text
    assert (path, kind, body["campaign"]) == ("/hook", "application/json", name)
    assert body["text"].split() == text.split()
    assert made.said_by("submit", *made.words)[0] == 30
    assert len(mails) == len(calls) == 1


def test_nobody_is_told_before_the_hour_or_of_what_is_complete(make_farm, told, tmp_path):
    mails, calls, lines = told
    made = make_farm("local", 1, finalizer="none", notify=f'{lines}after = "00:00"')
    now = datetime.datetime.now(datetime.UTC)
    settings = NotifySettings(after="09:30")
    assert not is_overdue(Campaign(tmp_path), settings, now.replace(hour=9, minute=29))
    assert is_overdue(Campaign(tmp_path), settings, now.replace(hour=9, minute=30))
    assert not is_overdue(Campaign(tmp_path), NotifySettings(), now)
    assert made.said_by("submit", *made.words)[0] == 0
    made.wait_result()
    assert made.said_by("submit", "--quiet", *made.words) == (0, "")
    assert not mails and not calls


def test_an_overdue_campaign_that_cannot_even_be_submitted_is_told_of(make_farm, told):
    mails, _, lines = told
    made = make_farm("local", 1, notify=f'{lines}after = "00:00"')
    (made.campaign.rounds / "001-0000").mkdir()
    (made.campaign.rounds / "001-0000" / "plan.json").write_text("{")
    status, text = made.said_by("submit", *made.words)
    assert status == StateError.exit_code and "is not JSON" in text and "Traceback" not in text
    assert "cannot be submitted" in mails[0].get_content() and "is not JSON" in mails[0].get_content()


def test_a_finalizer_that_cannot_go_on_tells_at_once(make_farm, told):
    mails, calls, lines = told
    made = make_farm("local", 2, finalizer="none", notify=lines)
    made.plant(n0="corrupt")
    advance(made.campaign, made.site)
    made.wait_quiet()
    outcome = finalize(made.campaign, made.site, 1)
    assert outcome.stuck and len(mails) == len(calls) == 1 and "1 in quarantine" in mails[0].get_content()


def test_servers_that_do_not_answer_do_no_harm(make_farm, serve, caplog):
    mail = serve(socketserver.ThreadingTCPServer, socketserver.BaseRequestHandler)
    gone = mail.server_address[1]
    lines = f'mail = ["a@example.org"]\nsmtp = "127.0.0.1:{gone}"\nwebhook = "http://127.0.0.1:1/"\n'
    made = make_farm("local", 1, notify=lines)
    assert not notify(made.campaign, made.site, "text")
    assert "no mail sent by notify.smtp" in caplog.text and "no call of notify.webhook" in caplog.text
    assert not (made.campaign.directory / "notified.json").exists(), "the next call tries again"


def test_neither_the_web_hook_nor_the_environment_is_written_down(make_farm, monkeypatch):
    """The address of a web hook is a key, and shells have others in their variables."""
    monkeypatch.setenv("SST1M_TEST_TOKEN", "s3cr3t-token")
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cr3t-word")
    made = make_farm("local", 2, notify='webhook = "http://127.0.0.1:1/s3cr3t-hook"\nafter = "00:00"')
    made.plant(n0="corrupt")
    said = [made.said_by("submit", *made.words)[1]]
    made.wait_quiet()
    said += [made.said_by("submit", *made.words)[1]]
    assert "no call of notify.webhook" in said[-1]
    page = made.site.state_dir.parent / "status.html"
    for words in (
        ("status", "--json", "--html", str(page)),
        ("doctor",),
        ("explain", "Leaf_0"),
        ("plan", *made.words),
    ):
        said += [made.said_by(*words)[1]]
    made.file.write_text(made.file.read_text().replace("http://127", "ftp://127"))
    said += [made.said_by("submit", *made.words)[1]]
    assert "notify.webhook" in said[-1]
    files = [path for path in made.file.parent.rglob("*") if path.is_file() and path != made.file]
    assert page in files and len(files) > 20
    assert [path for path in files if b"s3cr3t" in path.read_bytes()] == []
    assert "s3cr3t" not in "".join(said)


@pytest.mark.parametrize("line", ['after = "9:00"', 'webhook = "file:///etc/passwd"', 'smtp = "a b"'])
def test_settings_that_cannot_be_meant_are_refused(make_farm, line):
    with pytest.raises(Exception, match=f"notify.{line.split()[0]}"):
        make_farm("local", 1, notify=line)
