"""What the campaigns on failing disks share: how a fault is switched on, and what must be true after it."""

import ctypes
import errno
import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ERRORS = (errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EDQUOT, errno.EACCES)
#: Words by which an observer knows what to look at.
WORDS = (
    *("disk", "Input/output", "space", "Stale", "quota", "denied", "cannot be", "read-only", "missing"),
    *("no longer there", "not there", "truncated", "changed"),
)
#: To override the rights of files, and to read and search any directory.
_OVERRIDING = 0b110
_CAPABILITIES_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class Fault:
    """An operation on files in or below a place that goes wrong; see faulty_io.c."""

    where: Path
    number: int
    mode: str
    error: int = 0

    def setting(self, counter: Path) -> tuple[str, str]:
        """Return the environment variable that switches it on."""
        return "FAULTY_IO", f"{self.where}|{counter}|{self.number}|{self.error}|{self.mode}"

    def __str__(self) -> str:
        what = errno.errorcode.get(self.error, self.error)
        return f"operation {self.number} in {self.where}: {what}, {self.mode}"


@dataclass(frozen=True)
class View:
    """What is told wrongly of files in or below a place; see stale_view.c."""

    where: Path
    number: int
    mode: str
    name: str = ""
    error: int = 0

    def setting(self, counter: Path) -> tuple[str, str]:
        """Return the environment variable that switches it on."""
        value = f"{self.where}|{counter}|{self.number}|{self.mode}|{self.name}|{self.error}"
        return "STALE_VIEW", value

    def __str__(self) -> str:
        what = errno.errorcode.get(self.error, "")
        return f"{self.mode} {self.name} in {self.where}, {self.number} {what}"


@dataclass(frozen=True)
class Outcome:
    """How a command ended on a failing disk."""

    status: int
    text: str
    n_counted: int
    what: str


def under(
    fault: Fault | View, base: Path, run: Callable[[Callable[[], None]], tuple[int, str]], also=lambda: None
) -> Outcome:
    """
    Run a command on a failing disk.

    Parameters
    ----------
    fault : Fault or View
        What goes wrong.
    base : Path
        Directory of the site.
    run : callable
        Gets what the process has to call before it begins; returns its status and what it said.
    also : callable
        Called by the process, too.
    """
    counter = base / "operations"
    counter.write_bytes(bytes(8))
    name, value = fault.setting(counter)

    def before() -> None:
        also()
        os.environ[name] = value

    status, text = run(before)
    n_counted = int.from_bytes(counter.read_bytes(), "little")
    return Outcome(status, text, n_counted, f"{fault}: status {status}\n{text}")


def check_words(outcome: Outcome, *, met: bool) -> None:
    """Check status and words: no traceback, no blame of the program, and what is wrong with the disk."""
    what = outcome.what
    assert "Traceback" not in outcome.text, what
    assert "please report" not in outcome.text, what
    assert outcome.status in (0, 20, 30, 35), what
    if outcome.status != 0 and met:
        assert any(word in outcome.text for word in WORDS), what


def obey_rights() -> None:
    """Let root be refused like anybody else what rights do not allow, with all processes that follow."""
    if os.getuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    for index in range(3):  # effective, permitted, inheritable
        sets[index] &= ~_OVERRIDING
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


@dataclass
class Campaign:
    """Counts how cases ended, and keeps those that failed until all are done."""

    ended: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def case(self, run: Callable[[], str]) -> None:
        """Run a case; it returns under which heading it counts."""
        try:
            heading = run()
        except AssertionError as problem:
            self.failed.append(str(problem))
        else:
            self.ended[heading] += 1

    def close(self) -> None:
        """Write the counts for the test that started this one, and fail if any case has."""
        report = Path(os.environ["SST1M_FAULTS_REPORT"])
        known = json.loads(report.read_text()) if report.exists() else {}
        report.write_text(json.dumps(dict(sorted((Counter(known) + self.ended).items()))))
        n_failed = len(self.failed)
        assert not self.failed, "\n\n=====\n".join([f"{n_failed} cases failed", *self.failed[:8]])


def load_neighbour(path: Path):
    """Import a file of tests that lies elsewhere; the tests are no package."""
    name = f"storage_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
