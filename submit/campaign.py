"""A campaign: everything that is known about the work for one root task, in one directory."""

import contextlib
import getpass
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from submit.errors import BusyError, StateError
from submit.root import Root
from submit.site import Site
from submit.state_files import append_line, checked, make_directory, read_json, read_lines, write_json

__all__ = ["Campaign", "campaigns", "user_name"]

#: A lock of another machine that is older than this was left by a process that died [s].
_LOCK_S = 3600
#: No time of a campaign lies beyond it [s, Unix].
_LATEST = 1e12


class Campaign:
    """
    Directory of the state of a root task.

    Parameters
    ----------
    directory : Path
        Directory, named after the id of the root.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "campaign.json"
        self.stop = directory / "STOP"
        self.lock = directory / "lock"
        self.quarantine = directory / "quarantine"
        self.resets = directory / "resets.jsonl"
        self.put_aside = directory / "quarantined.jsonl"
        self.rounds = directory / "rounds"
        self.logs = directory / "logs"

    @property
    def name(self) -> str:
        """Name, the id of the root."""
        return self.directory.name

    @classmethod
    def create(cls, root: Root, site: Site) -> "Campaign":
        """Make the directory of a root, or go on with the one that there is."""
        campaign = cls(site.state_dir / root.task_id)
        shared = site.plan.group_writable
        for directory in (site.state_dir, campaign.directory, campaign.quarantine, campaign.rounds):
            make_directory(directory, group_writable=shared)
        made = campaign.read() if campaign.file.exists() else {"made": time.time(), "user": user_name()}
        content = {**made, "root": root.as_json(), "site": str(site.file)}
        if content != made:
            write_json(campaign.file, content)
        return campaign

    def read(self) -> dict[str, object]:
        """Return the content of ``campaign.json``."""
        return read_json(self.file)

    @property
    def root(self) -> Root:
        """
        The root task.

        Raises
        ------
        StateError
            If ``campaign.json`` does not say it.
        """
        try:
            return checked(Root, self.read()["root"], self.file, "restore it, or remove it and submit again")
        except KeyError as error:
            raise StateError(
                f"{self.file}: says nothing of the root ({error}); remove it and submit again"
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """
        Be the only one who plans and submits this campaign.

        Raises
        ------
        BusyError
            If somebody else does so at this moment.
        """
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "user": user_name(),
            "time": time.time(),
        }
        self._take_lock(holder)
        try:
            yield
        finally:
            self.lock.unlink(missing_ok=True)

    def _take_lock(self, holder: dict[str, object]) -> None:
        for _ in range(2):
            try:
                descriptor = os.open(self.lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o664)
            except FileExistsError:
                self._break_dead_lock()
                continue
            except OSError as error:
                raise StateError(
                    f"{self.lock}: cannot be made ({error.strerror}); check the rights"
                ) from None
            with os.fdopen(descriptor, "w") as file:
                json.dump(holder, file)
            return
        raise BusyError(f"{self.lock}: another call has just taken it; try again in a minute")

    def _break_dead_lock(self) -> None:
        """Remove the lock if its holder is dead."""
        try:
            age = time.time() - self.lock.stat().st_mtime
            text = self.lock.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        holder = _parsed(text)
        here = holder.get("host") == socket.gethostname()
        if not (here and not _alive(holder.get("pid"))) and age < _LOCK_S:
            raise BusyError(
                f"{self.name}: being submitted by {holder.get('user', 'somebody')} on "
                f"{holder.get('host', '?')}, process {holder.get('pid', '?')}; "
                f"wait, or remove {self.lock} if that process is dead"
            )
        aside = self.lock.with_name(f".lock.{uuid.uuid4().hex}.part")
        with contextlib.suppress(FileNotFoundError):
            self.lock.rename(aside)
            if aside.read_text(encoding="utf-8", errors="replace") != text:
                # Somebody else broke it first and has his own there: give that back.
                with contextlib.suppress(FileExistsError):
                    os.link(aside, self.lock)
            aside.unlink()

    def forget(self, task_ids: Iterator[str] | list[str] | set[str]) -> None:
        """Let earlier failures of some tasks count no more."""
        now = time.time()
        for task_id in sorted(task_ids):
            append_line(self.resets, {"id": task_id, "time": now})
            self.quarantine_file(task_id).unlink(missing_ok=True)

    def forgotten(self) -> dict[str, float]:
        """Return by task id the time [s, Unix] before which failures do not count."""
        found = self._times(self.resets)
        for task_id, when in self._times(self.put_aside).items():
            # Somebody has removed the file of its quarantine.
            if when > found.get(task_id, 0.0) and not self.quarantine_file(task_id).exists():
                found[task_id] = when
        return found

    def _times(self, path: Path) -> dict[str, float]:
        lines = read_lines(path) if path.exists() else ()
        told = [(line.get("id"), line.get("time")) for line in lines]
        return {task_id: when for task_id, when in told if isinstance(task_id, str) and _is_time(when)}

    def put_away(self, task_id: str, record: Mapping[str, object]) -> None:
        """Put a task into quarantine: a file with what is known of it, and a note that there was one."""
        write_json(self.quarantine_file(task_id), record)
        append_line(self.put_aside, {"id": task_id, "time": time.time()})

    def quarantine_file(self, task_id: str) -> Path:
        """Return where the quarantine of a task is written; whoever removes it lifts it."""
        return self.quarantine / f"{task_id[-200:]}.json"

    def quarantined(self) -> dict[str, dict[str, object]]:
        """Return what is known of the tasks in quarantine by id."""
        records = {path: read_json(path) for path in sorted(self.quarantine.glob("*.json"))}
        for path, record in records.items():
            if not isinstance(record.get("id"), str):
                raise StateError(f"{path}: names no task; correct it, or remove it to lift the quarantine")
        return {str(record["id"]): record for record in records.values()}


def user_name() -> str:
    """Return who runs this process; a number where the machine does not know the name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def campaigns(state_dir: Path) -> list[Campaign]:
    """Return all campaigns of a site, the newest last."""
    found = [Campaign(path.parent) for path in state_dir.glob("*/campaign.json")]
    return sorted(found, key=lambda campaign: campaign.file.stat().st_mtime)


def _parsed(text: str) -> dict[str, object]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        # Its writer is between making and filling it, or died there.
        return {"host": socket.gethostname(), "pid": os.getpid()}
    return content if isinstance(content, dict) else {}


def _is_time(when: object) -> bool:
    return isinstance(when, int | float) and not isinstance(when, bool) and 0 <= when < _LATEST


def _alive(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
