"""Ends at random whatever takes part in a campaign on Slurm: jobs, daemons, nodes, and who submits."""

import json
import signal
import time

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: Kinds by how often they are chosen.
KINDS = {"worker": 6, "finalizer": 3, "submitter": 4, "node": 1, "slurmd": 1, "controller": 1}


#: So long the answer to an order may still come whose submitter is dead [s].
_REPLY_S = 61


def settled(cluster, campaign, status):
    """Whether all has ended and nobody counts on what was killed, or Slurm holds something for good."""
    waiting = [line.split("|") for line in cluster.run("squeue", "-h", "-o", "%T|%r").splitlines()]
    records = [json.loads(path.read_text()) for path in campaign.rounds.glob("*/*/array.json")]
    held = any("held" in reason for _, reason in waiting)
    # Beside what is held there may be orders that were lost, and count for a while.
    asked = [record["asked_at"] for record in records if held or record["state"] == "submitting"]
    if time.time() - max(asked, default=0.0) < _REPLY_S:
        return False
    if held:
        return all(state == "PENDING" and ("held" in why or "Dep" in why) for state, why in waiting)
    return not (waiting or status.elements["queued"] or status.elements["running"])


class Killer:
    """
    Ends something at random, and counts what.

    Parameters
    ----------
    cluster : SlurmCluster
        Where the jobs are.
    submit : callable
        Starts the command that submits.
    rng : numpy.random.Generator
        Chooses.
    killed : Counter
        Is given what was ended by which signal.
    """

    def __init__(self, cluster, submit, rng, killed):
        self.cluster, self.submit, self.rng, self.killed = cluster, submit, rng, killed
        self.submitter, self.n_killed, self.said = None, 0, []

    def run(self, number, until):
        """Submit again and again, as cron does, and end so many things, until a condition holds."""
        try:
            while self.n_killed < number and not until():
                if self.submitter is None or self.submitter.poll() is not None:
                    self._hear()
                    self.submitter = self.submit()
                time.sleep(self.rng.uniform(0.02, 1.0))
                self._one()
        finally:
            if self.submitter is not None:
                self.submitter.wait(timeout=120)
                self._hear()
            # Slurm drains nodes on which a job could not be started; whoever cares for them gives them back.
            self.cluster.resume(*self.cluster.nodes)

    def _hear(self):
        if self.submitter is not None:
            self.said.append(self.submitter.communicate()[0])

    def _one(self):
        names, weights = zip(*KINDS.items(), strict=True)
        kind = str(self.rng.choice(names, p=[weight / sum(weights) for weight in weights]))
        number = signal.Signals(int(self.rng.choice(SIGNALS)))
        if by := getattr(self, f"_{kind}")(number):
            self.n_killed += 1
            self.killed[f"{kind} by {by}"] += 1

    def _process(self, program, number):
        found = self.cluster.processes_of(program)
        hit = bool(found) and self.cluster.send(int(self.rng.choice(found)), number)
        return number.name if hit else ""

    def _worker(self, number):
        return self._process("submit.worker", number)

    def _finalizer(self, number):
        return self._process("submit.finalize", number)

    def _submitter(self, number):
        if self.submitter is None or self.submitter.poll() is not None:
            return ""
        self.submitter.send_signal(number)
        return number.name

    def _node(self, _number):
        node = str(self.rng.choice(self.cluster.nodes))
        self.cluster.kill_node(node)
        self.cluster.start_node(node)
        return "power cut"

    def _slurmd(self, _number):
        node = str(self.rng.choice(self.cluster.nodes))
        self.cluster.kill_node(node, orphans=True)
        self.cluster.start_node(node)
        return "SIGKILL"

    def _controller(self, _number):
        self.cluster.stop_controller(by=signal.SIGKILL)
        time.sleep(self.rng.uniform(0.0, 2.0))
        self.cluster.start_controller()
        return "SIGKILL"
