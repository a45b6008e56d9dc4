"""A graph of leaves with planted failures, and a campaign for it."""

import json
import subprocess
import sys
from pathlib import Path

from submit.advance import advance, look
from submit.backends import make_backend
from submit.campaign import Campaign
from submit.root import Root
from submit.site import load_site
from submit.status import read_status

ROOT = Path(__file__).parents[2]

SITE = """
backend = "{backend}"
state_dir = "state"
[queue]
{queue}
[node]
latency_s = 1.0
min_free_mb = 1
{node}
[plan]
shard_minutes = {minutes}
finalizer = "{finalizer}"
heartbeat_s = 0.5
stale_lease_s = 5.0
lost_after_s = {lost_after}
retry_delay_minutes = [0.02, 0.02]
max_mem_mb = 900
{plan}
[notify]
{notify}
"""

_NOTHING = dict.fromkeys(("queue", "node", "plan", "notify"), "")


class Farm:
    """A directory with a graph of leaves and their sum, and a campaign for it."""

    def __init__(
        self, tmp_path, wait_for, backend, count, *, minutes=0.4, finalizer="job", lost_after=20.0, **tables
    ):
        self.where, self.count, self.wait_for = tmp_path / "graph", count, wait_for
        (self.where / "plant").mkdir(parents=True)
        self.file = tmp_path / "submit.toml"
        values = {"backend": backend, "minutes": minutes, "finalizer": finalizer, "lost_after": lost_after}
        self.file.write_text(SITE.format(**values, **{**_NOTHING, **tables}))
        self.site = load_site(self.file)
        self.backend = make_backend(self.site)
        words = ["Sum", "--where", str(self.where), "--count", str(count)]
        self.words = ["--module", "farm_tasks", *words]
        self.root = Root.parse("farm_tasks", words)

    @property
    def campaign(self):
        return Campaign.create(self.root, self.site)

    def plant(self, **words):
        for n, word in words.items():
            (self.where / "plant" / n.strip("n")).write_text(word)

    def look(self):
        return look(self.root, self.site, self.backend)

    def submit(self):
        return advance(self.campaign, self.site)

    def call(self, *words, prefix=(), **popen):
        return subprocess.Popen(
            [*prefix, sys.executable, "-c", "from submit.cli import main; main()",
             "--site", str(self.file), *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **popen,
        )  # fmt: skip

    def said_by(self, *words, **popen):
        """Return the exit status of the command and what it says."""
        process = self.call(*words, **popen)
        text, _ = process.communicate(timeout=120)
        return process.returncode, text

    @property
    def result(self):
        return self.where / f"sum_{self.count}.txt"

    def tries(self, n):
        return len(list((self.where / "tries").glob(f"{n}.*")))

    def wait_result(self, timeout_s=90):
        self.wait_for(self.result.exists, f"{self.result}; {self.tell()}", timeout_s)
        assert int(self.result.read_text()) == sum(range(self.count))

    def wait_quiet(self, timeout_s=90):
        """Wait until nothing is on its way, and return the outcome of a look."""

        def quiet():
            jobs = list(self.campaign.rounds.glob("*/*/array.json"))
            ids = [json.loads(path.read_text())["native_id"] for path in jobs]
            states = self.backend.query([one for one in ids if one])
            return all(e.phase == "ended" for state in states.values() for e in state.elements.values())

        self.wait_for(quiet, f"the end of all jobs; {self.tell()}", timeout_s)
        return self.look()

    def tell(self):
        logs = sorted(self.campaign.rounds.glob("*/*/logs/*.log"))
        return "\n".join(f"{path}: {path.read_text()[-500:]}" for path in logs[-6:])

    def status(self):
        return read_status(self.campaign, self.site, self.backend)
