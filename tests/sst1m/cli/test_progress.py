"""Long commands show how far they are on a terminal, and are silent without one."""

import os
import sys
from collections.abc import Callable
from typing import Self

import pytest

from sst1m.cli import cli
from sst1m.cli.progress import progress_steps, tell_step

MC = "simulate mc --particle gamma --scatter-radius 100 --offset 0.5"


class Terminal:
    """A real pseudo-terminal that takes the place of standard error."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        self._stream = os.fdopen(slave, "w")

    def __enter__(self) -> Self:
        self._before, sys.stderr = sys.stderr, self._stream
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self._before
        self._stream.close()
        os.close(self._master)

    def text(self) -> str:
        """Return what was shown since the last look."""
        self._stream.flush()
        os.set_blocking(self._master, False)
        pieces = []
        try:
            while piece := os.read(self._master, 65536):
                pieces.append(piece)
        except BlockingIOError:
            pass
        return b"".join(pieces).decode()


@pytest.fixture
def simulate(tmp_path, project_root) -> Callable[[int], str]:
    """Return a function that simulates a small sample and returns the name of its file."""

    def run(shard: int) -> str:
        config = project_root / "config" / "sst1m_mc_demo_config.json"
        arguments = [*MC.split(), "--showers", "40", "--shard", str(shard), "-c", str(config)]
        path = tmp_path / "sample" / f"gamma_{shard}_dl1.h5"
        path.parent.mkdir(exist_ok=True)
        cli.main([*arguments, "-o", str(path)], standalone_mode=False)
        return path.name

    return run


def test_bars_on_a_terminal(simulate, tmp_path):
    arguments = ["merge", "-d", str(tmp_path / "sample"), "-o", str(tmp_path / "merged.h5")]
    with Terminal() as terminal:
        name = simulate(0)
        shown = terminal.text()
        assert name in shown
        assert "100%" in shown
        simulate(1)
        terminal.text()
        cli.main(arguments, standalone_mode=False)
        shown = terminal.text()
    assert "merged.h5" in shown
    assert "50%" in shown
    assert "100%" in shown


def test_silence_without_one(simulate, tmp_path, capsys):
    simulate(0)
    cli.main(["merge", "-d", str(tmp_path / "sample"), "-o", str(tmp_path / "m.h5")], standalone_mode=False)
    progress_steps()("raw files", 1, 2)
    tell_step("counting")
    assert not capsys.readouterr().err


def test_steps_on_a_terminal():
    with Terminal() as terminal:
        show = progress_steps()
        show("raw files", 1, 4)
        show("raw files", 4, 4)
        tell_step("counting")
        before, first, last = terminal.text().replace("\r\n", "\n").split("\r\x1b[K")
    assert not before
    assert first == f"  [{'#' * 6}{'-' * 18}] raw files"
    assert last == f"  [{'#' * 24}] raw files\n  counting ...\n"


@pytest.mark.parametrize(
    "name",
    [
        *("r0_dl1", "simulate", "demo", "merge", "quicklook", "dl1_stereo", "train_rfs", "dl1_dl2"),
        *("performance", "make_irfs", "dl2_dl3", "train_rfs_misdirection", "event_classes"),
    ],
)
def test_every_long_command_says_how_far_it_is_in_the_one_way(name, project_root):
    text = (project_root / "sst1m" / "cli" / f"{name}.py").read_text()
    assert "from .progress import" in text
    assert "progressbar(" not in text and "tqdm" not in text
