"""A Slurm of one's own for the tests: controller and several nodes in a temporary directory, as any user."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

INSTALL = "apt-get install -y --no-install-recommends slurmctld slurmd slurm-client"
DAEMONS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")

#: What the tests need beyond the defaults: quick scheduling, quick requeue, more processors than there are.
_SETTINGS = {
    "AuthType": "auth/none",
    "CredType": "cred/none",
    "AuthInfo": "cred_expire=5",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "MpiDefault": "none",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_Core_Memory",
    "DefMemPerCPU": "50",
    "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,"
    "bf_continue,default_queue_depth=1000,bf_max_job_test=1000",
    "SlurmdParameters": "config_overrides",
    "JobAcctGatherType": "jobacct_gather/linux",
    "JobAcctGatherFrequency": "task=1",
    "JobAcctGatherParams": "OverMemoryKill",
    "AccountingStorageType": "accounting_storage/none",
    "ReturnToService": "2",
    "KillWait": "1",
    "MinJobAge": "3600",
    "SlurmdTimeout": "5",
    "SlurmctldTimeout": "5",
    "MessageTimeout": "5",
    "MaxArraySize": "10001",
    "MaxJobCount": "20000",
}


def missing_programs() -> list[str]:
    """Return the programs of Slurm that are not installed."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return [name for name in DAEMONS if shutil.which(name, path=places) is None]


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert path is not None, f"{name} is not installed"
    return path


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _environment_of(pid: int) -> dict[str, str]:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def wait_for(condition, what, timeout_s: float = 30.0):
    """Return the first true answer of a condition; in vain, fail with a text or a function's."""
    end = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what() if callable(what) else what}"
        time.sleep(0.05)
    return answer


class SlurmCluster:
    """
    Controller and nodes of 16 advertised processors each, known by the environment variable SLURM_CONF only.

    Parameters
    ----------
    n_nodes : int
        Number of nodes.
    settings : str
        Lines of slurm.conf that differ, ``MinJobAge="2"``.
    """

    def __init__(self, n_nodes: int = 3, **settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sst1m-slurm-"))
        self.settings = {**_SETTINGS, **settings}
        self.conf = self.directory / "slurm.conf"
        self._ports = _free_ports(n_nodes + 1)
        # The port makes the names unique among clusters that run side by side.
        self.nodes = [f"n{i}p{self._ports[0]}" for i in range(n_nodes)]
        self._controller: subprocess.Popen | None = None
        self._daemons: dict[str, subprocess.Popen] = {}
        for name in ("state", "log", *(f"spool.{node}" for node in self.nodes)):
            (self.directory / name).mkdir()
        self._write()

    @property
    def env(self) -> dict[str, str]:
        """Environment variables that lead the commands of Slurm to this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def _write(self) -> None:
        host, user = socket.gethostname().split(".")[0], getpass.getuser()
        lines = [
            "ClusterName=sst1mtest",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={self._ports[0]}",
            f"SlurmUser={user}",
            f"SlurmdUser={user}",
            f"StateSaveLocation={self.directory}/state",
            f"SlurmdSpoolDir={self.directory}/spool.%n",
            f"SlurmctldPidFile={self.directory}/slurmctld.pid",
            f"SlurmdPidFile={self.directory}/%n.pid",
            f"SlurmctldLogFile={self.directory}/log/slurmctld.log",
            f"SlurmdLogFile={self.directory}/log/%n.log",
            *(f"{key}={value}" for key, value in self.settings.items()),
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 RealMemory=64000"
                for node, port in zip(self.nodes, self._ports[1:], strict=True)
            ),
            "PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE",
            "PartitionName=other Nodes=ALL MaxTime=60",
        ]
        self.conf.write_text("\n".join(lines) + "\n")

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command of Slurm against this cluster and return what it prints."""
        process = subprocess.run(
            [_program(words[0]), *words[1:]],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or process.returncode == 0, f"{words}: {process.stderr}"
        return process.stdout

    def _start(self, *words: str) -> subprocess.Popen:
        name, *rest = words
        return subprocess.Popen(
            [_program(name), *rest],
            env={**os.environ, **self.env},
            # Where a step daemon that dies may leave its memory.
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self.directory / "log" / f"{name}.stderr").open("ab"),
        )

    def start_controller(self, *, clean: bool = False) -> None:
        """Start the controller, and wait until it listens; it remembers its jobs unless `clean`."""
        self._controller = self._start("slurmctld", "-D", "-f", str(self.conf), *(["-c"] if clean else []))
        wait_for(self._listens, "slurmctld listens; " + str(self.directory / "log"))

    def _listens(self) -> bool:
        assert self._controller.poll() is None, (self.directory / "log" / "slurmctld.log").read_text()[-2000:]
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._ports[0])) == 0

    def stop_controller(self, *, by: signal.Signals = signal.SIGTERM) -> None:
        """Stop the controller; jobs and nodes go on."""
        if self._controller is not None:
            self._controller.send_signal(by)
            self._controller.wait(timeout=20)
            self._controller = None

    def start(self) -> None:
        """Start everything, and wait until every node is idle."""
        self.start_controller(clean=True)
        for node in self.nodes:
            self._daemons[node] = self._start("slurmd", "-D", "-f", str(self.conf), "-N", node)
        self.wait_idle(*self.nodes)

    def wait_idle(self, *nodes: str, timeout_s: float = 30.0) -> None:
        """Wait until nodes can take jobs."""

        def ready() -> bool:
            lines = self.run("sinfo", "-h", "-N", "-o", "%N %t", check=False).splitlines()
            states = dict(line.split() for line in lines)
            return all(states.get(node) in {"idle", "mix", "alloc"} for node in nodes)

        wait_for(ready, f"nodes idle: {nodes}", timeout_s)

    def kill_node(self, node: str, *, orphans: bool = False) -> None:
        """
        End a node as a power cut does.

        Parameters
        ----------
        node : str
            Its name.
        orphans : bool
            Whether the processes of its jobs live on, as after a broken network.
        """
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait(timeout=10)
        if not orphans:
            self._kill_processes(node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def start_node(self, node: str) -> None:
        """Bring a node back."""
        self._daemons[node] = self._start("slurmd", "-D", "-f", str(self.conf), "-N", node)
        self.resume(node)

    def resume(self, *nodes: str) -> None:
        """Give back to work what Slurm has taken out of it, as often as it does so."""

        def resumed() -> bool:
            for node in nodes:
                self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            with contextlib.suppress(AssertionError):
                self.wait_idle(*nodes, timeout_s=5.0)
                return True
            return False

        wait_for(resumed, lambda: self.run("sinfo", "-R", "-N"), 120)

    def spoil_node(self, node: str) -> Callable[[], None]:
        """Let a node fail to start any job, as with a full disk; return what mends it."""
        spool = self.directory / f"spool.{node}"
        aside = spool.rename(spool.with_name(f"aside.{node}"))
        spool.touch()

        def mend() -> None:
            spool.unlink()
            aside.rename(spool)

        return mend

    def time_out(self, job: str) -> None:
        """Let the time limit of a running job (``12_3``) pass in a moment."""
        self.run("scontrol", "update", f"jobid={job}", "EndTime=now+1")

    def configure(self, **settings: str) -> None:
        """Change lines of slurm.conf while it runs, ``MinJobAge="2"``."""
        self.settings.update(settings)
        self._write()
        self.run("scontrol", "reconfigure")

    def _processes(self, node: str | None) -> list[int]:
        """Return step daemons and jobs of this cluster (of one node); only its own slurmd name them so."""
        nodes = set(self.nodes) if node is None else {node}
        found = []
        for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            environment = _environment_of(pid)
            if environment.get("SLURM_CONF") != str(self.conf):
                continue
            if environment.get("SLURMD_NODENAME") in nodes or self._is_step_daemon(pid, nodes):
                found.append(pid)
        return found

    def _is_step_daemon(self, pid: int, nodes: set[str]) -> bool:
        with contextlib.suppress(OSError):
            parts = Path(f"/proc/{pid}/comm").read_text().strip(), os.readlink(f"/proc/{pid}/cwd")
            return parts[0] == "slurmstepd" and any(f"/spool.{node}" in parts[1] for node in nodes)
        return False

    def processes_of(self, program: str) -> list[int]:
        """Return the processes of jobs that run a program, ``submit.worker``, and their forks."""
        found = []
        for pid in self._processes(None):
            with contextlib.suppress(OSError):
                if program in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                    found.append(pid)
        return found

    def send(self, pid: int, number: signal.Signals) -> bool:
        """Send a signal to a process of this cluster; whether it was still there."""
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:  # The number may belong to somebody else by now; what is open stays what it was.
                if _environment_of(pid).get("SLURM_CONF") == str(self.conf):
                    signal.pidfd_send_signal(handle, number)
                    return True
            finally:
                os.close(handle)
        return False

    def _kill_processes(self, node: str | None = None) -> None:
        for pid in self._processes(node):
            self.send(pid, signal.SIGKILL)

    def cancel_all(self) -> None:
        """Cancel every job and wait until none is left at work."""
        ids = self.run("squeue", "-h", "-o", "%A", check=False).split()
        if ids:
            self.run("scancel", *ids, check=False)
            wait_for(lambda: not self.run("squeue", "-h", check=False).strip(), "queue empty", 20)

    def stop(self) -> None:
        """End everything that this cluster started, and nothing else."""
        try:
            if self._controller is not None and self._controller.poll() is None:
                with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                    self.cancel_all()
        finally:
            daemons = [*self._daemons.values(), *([self._controller] if self._controller else [])]
            for daemon in daemons:
                daemon.terminate()
            for daemon in daemons:
                try:
                    daemon.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait(timeout=10)
            self._daemons, self._controller = {}, None
            self._kill_processes()
            shutil.rmtree(self.directory, ignore_errors=True)
