"""Colleagues who share a group go on with each other's campaigns, and call at the same time without harm."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

GROUP, USERS = 61001, (61001, 61002)


def _entries(directory):
    return [path for path in directory.rglob("*") if not path.is_symlink()]


def test_all_of_a_shared_state_may_be_written_by_the_group(make_farm):
    made = make_farm("local", 3, plan="group_writable = true")
    made.plant(n0="once", n1="corrupt")
    old = os.umask(0o022)
    try:
        assert made.said_by("submit", *made.words)[0] == 0
    finally:
        os.umask(old)
    made.wait_quiet()
    assert len(made.campaign.quarantined()) == 1
    found = _entries(made.site.state_dir)
    closed = [path for path in found if not path.stat().st_mode & stat.S_IWGRP]
    assert len(found) > 30 and closed == []
    directories = [path for path in found if path.is_dir()]
    assert all(path.stat().st_mode & stat.S_ISGID for path in directories)


def _as_user(user):
    """Return how a command is run by another user: he reads everything, as Python may lie anywhere."""
    caps = "+dac_read_search"
    ids = (f"--reuid={user}", f"--regid={GROUP}", "--clear-groups")
    prefix = ("setpriv", *ids, f"--inh-caps={caps}", f"--ambient-caps={caps}")
    return {"prefix": prefix, "umask": 0o022}


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can be two other users, by setpriv: apt-get install util-linux",
)
def test_a_colleague_goes_on_where_another_has_begun(make_farm):
    base = Path(tempfile.mkdtemp(prefix="sst1m-two-"))
    try:
        base.chmod(0o2775)
        os.chown(base, USERS[0], GROUP)
        made = make_farm("local", 3, plan="group_writable = true", base=base)
        for path in (base, *_entries(base)):
            os.chown(path, USERS[0], GROUP)
            path.chmod(0o2775 if path.is_dir() else 0o664)
        made.plant(n1="corrupt")
        first, second = map(_as_user, USERS)
        status, text = made.said_by("submit", *made.words, **first)
        assert status == 0, text
        made.wait_quiet()
        assert not made.result.exists()
        (made.where / "plant" / "1").unlink()
        # Products are the task's own business; here they are made in directories of the first user.
        for path in (made.where, *_entries(made.where)):
            path.chmod(0o777 if path.is_dir() else 0o666)
        status, text = made.said_by("retry", "--all", **second)
        assert status == 0 and "1 tasks are tried again" in text, text
        made.wait_result()
        status, text = made.said_by("submit", *made.words, **first)
        assert (status, text) == (0, "complete: nothing is missing\n")
        owners = {path.stat().st_uid for path in _entries(made.site.state_dir)}
        assert owners == set(USERS)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def test_many_calls_at_once_do_each_task_once(make_farm):
    made = make_farm("local", 6)
    calls = [made.call("submit", *made.words) for _ in range(4)]
    texts = [process.communicate(timeout=120)[0] for process in calls]
    assert {process.returncode for process in calls} <= {0, 10} and 0 in {p.returncode for p in calls}, texts
    assert all(
        "being submitted by" in text for text, p in zip(texts, calls, strict=True) if p.returncode == 10
    )
    made.wait_result()
    assert [made.tries(n) for n in range(6)] == [1] * 6
