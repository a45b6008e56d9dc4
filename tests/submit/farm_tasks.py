"""Tasks whose behaviour is planted as files, ``<where>/plant/<n>``, and whose attempts are counted."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import luigi


class Numbered(luigi.Task):
    where = luigi.Parameter()
    n = luigi.IntParameter()

    farm = {"stage": "leaf", "seconds": 30.0, "mem_mb": 100}

    def output(self):
        return luigi.LocalTarget(f"{self.where}/out/{self.n}.txt")

    def tried(self):
        """Count an attempt, and return how many there were with this one."""
        tries = Path(self.where, "tries")
        tries.mkdir(parents=True, exist_ok=True)
        number = len(list(tries.glob(f"{self.n}.*"))) + 1
        (tries / f"{self.n}.{number}").write_text(os.environ.get("SST1M_NODE", ""))
        return number

    def run(self):
        plant = Path(self.where, "plant", str(self.n))
        attempt = self.tried()
        sys.stdout.write(f"leaf {self.n}, attempt {attempt}\n")
        if plant.exists():
            _behave(plant.read_text(), attempt)
        _write(self.output().path, f"{self.n}\n")


def _write(path, text):
    """Write a product as the project does: under a temporary name, which is then given up."""
    product = Path(path)
    product.parent.mkdir(parents=True, exist_ok=True)
    part = product.with_name(f".{product.stem}.{os.getpid()}.part{product.suffix}")
    part.write_text(text)
    os.replace(part, product)


def _behave(word, attempt):
    if word == "always":
        raise RuntimeError("cannot be done")
    if word == "corrupt":
        raise ValueError("input file is truncated")
    if word == "slow":
        time.sleep(4)
    if word == "brief":
        time.sleep(0.6)
    if word == "hungry":
        held = bytearray(180 * 2**20)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(3)
    elif attempt == 1:
        _behave_once(word)


def _behave_once(word):
    if word == "once":
        raise RuntimeError("not this time")
    if word == "transient":
        raise OSError(116, "Stale file handle")
    if word == "killed":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(30)
    if word == "stuck":
        time.sleep(600)
    if word == "crash":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "silent":
        sys.exit(0)


class Leaf(Numbered):
    pass


class Never(Numbered):
    """Has an answer of its own to the question whether it is complete, whatever file it has written."""

    def complete(self):
        return False


class OtherFile(luigi.ExternalTask):
    where = luigi.Parameter()

    def output(self):
        return luigi.LocalTarget(f"{self.where}/elsewhere.txt")


class Waiting(Numbered):
    """Needs a file that nobody here makes."""

    def requires(self):
        return OtherFile(where=self.where)


class Sum(luigi.Task):
    """Adds up leaves; fails if one is missing."""

    where = luigi.Parameter()
    count = luigi.IntParameter()
    farm = {"stage": "sum", "seconds": 10.0, "mem_mb": 100}

    def requires(self):
        return [Leaf(where=self.where, n=n) for n in range(self.count)]

    def output(self):
        return luigi.LocalTarget(f"{self.where}/sum_{self.count}.txt")

    def run(self):
        numbers = [int(Path(target.path).read_text()) for target in luigi.task.flatten(self.input())]
        _write(self.output().path, f"{sum(numbers)}\n")
