"""Running the commands of a batch system: with patience, without a shell, and explained where they fail."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from submit.errors import SchedulerError

__all__ = ["Answer", "ask", "execute", "hand_over", "plain_environment", "refusal"]

#: Pauses before the same question is asked again [s].
PAUSES_S = (0.5, 2.0, 5.0)

#: What a busy or restarting server says; the request may or may not have reached it.
_PASSING = (
    "temporarily unavailable",
    "timed out",
    "unable to contact",
    "connection refused",
    "connection reset",
    "cannot connect",
    "could not connect",
    "communication failure",
    "communication connection failure",
    "zero bytes were transmitted",
    "transport endpoint",
    "slurm temporarily unable",
    "end of file",
)

#: Variables of the job in which a command happens to run, and filters that would hide jobs from it.
_FOREIGN = ("SLURM_", "SQUEUE_", "SCANCEL_", "SACCT_", "PBS_JOB", "PBS_ARRAY", "PBS_O_", "PBS_NODE", "SST1M_")
_KEPT = {"SLURM_CONF"}

#: What an element inherits of the submitting session: the same from a login, from cron and from a node.
_PLAIN = {"HOME", "LOGNAME", "USER", "PATH", "SHELL", "LANG", "TZ", "KRB5CCNAME", "LD_LIBRARY_PATH"} | _KEPT


@dataclass(frozen=True)
class Answer:
    """
    What a command said.

    Parameters
    ----------
    words : tuple of str
        The command.
    status : int or None
        Its exit status; None if it did not end in time.
    out, err : str
        What it printed.
    """

    words: tuple[str, ...]
    status: int | None
    out: str
    err: str

    @property
    def passing(self) -> bool:
        """Whether the server was only busy or away; a request may have reached it all the same."""
        text = f"{self.out}\n{self.err}".lower()
        return self.status is None or (self.status != 0 and any(words in text for words in _PASSING))


def _own_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith("SST1M_SUBMIT") or not name.startswith(_FOREIGN)
    }


def plain_environment() -> dict[str, str]:
    """Return the few variables of this session that every element may see."""
    return {name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith("SBATCH_")}


def execute(words: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None) -> Answer:
    """
    Run a command once.

    Parameters
    ----------
    words : sequence of str
        The command; no shell reads it.
    timeout_s : float
        When it is given up [s].
    environment : mapping, optional
        Its environment; default: that of this process without what belongs to another job.

    Raises
    ------
    SchedulerError
        If there is no such program.
    """
    try:
        done = subprocess.run(
            list(words),
            env=dict(environment) if environment is not None else _own_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(tuple(words), None, "", f"no answer within {timeout_s:g} s")
    except OSError as error:
        raise SchedulerError(
            f"{words[0]}: cannot be started ({error.strerror}); run this where the commands of the batch "
            "system are installed, or name another backend in the settings of the site"
        ) from None
    out, err = (text.decode("utf-8", errors="replace") for text in (done.stdout, done.stderr))
    return Answer(tuple(words), done.returncode, out, err)


def refusal(answer: Answer, way_out: str = "") -> SchedulerError:
    """Return the error that says what a command answered."""
    said = " / ".join(line.strip() for line in (answer.err or answer.out).splitlines() if line.strip())
    if answer.passing:
        way_out = "nothing was changed here; try again when the server answers"
    ended = "" if answer.status is None else f" (exit status {answer.status})"
    reason = said[:500] or "no message"
    return SchedulerError(f"{answer.words[0]}: {reason}{ended}" + (f"; {way_out}" if way_out else ""))


def ask(words: Sequence[str], timeout_s: float, allowed: Callable[[Answer], bool] | None = None) -> Answer:
    """
    Run a command that changes nothing; again after a pause if the server was only busy.

    Parameters
    ----------
    words : sequence of str
        The command.
    timeout_s : float
        Patience altogether [s].
    allowed : callable, optional
        Whether an answer with another exit status than 0 is one, too.

    Raises
    ------
    SchedulerError
        If it is refused, or there is no answer.
    """
    end = time.monotonic() + timeout_s
    for pause in (*PAUSES_S, None):
        answer = execute(words, max(end - time.monotonic(), 1.0))
        if answer.status == 0 or (allowed is not None and allowed(answer)):
            return answer
        if pause is None or not answer.passing or time.monotonic() + pause >= end:
            break
        time.sleep(pause)
    raise refusal(answer)


def hand_over(
    words: Sequence[str],
    timeout_s: float,
    find: Callable[[], str | None],
    environment: Mapping[str, str] | None = None,
) -> str:
    """
    Submit a job exactly once, even if the reply is lost.

    Parameters
    ----------
    words : sequence of str
        The submitting command.
    timeout_s : float
        Patience altogether [s].
    find : callable
        Looks the job up by its name, and returns its id if it is known.
    environment : mapping, optional
        Environment of the command.

    Returns
    -------
    str
        What the command printed, or the id that was found.

    Raises
    ------
    SchedulerError
        If it is refused, or it is unknown whether it was accepted; its name then tells, later.
    """
    end = time.monotonic() + timeout_s
    for pause in (*PAUSES_S, None):
        answer = execute(words, max(end - time.monotonic(), 1.0), environment)
        if answer.status == 0 and answer.out.strip():
            return answer.out.strip()
        if not answer.passing:
            break
        if (known := find()) is not None:
            return known
        if pause is None or time.monotonic() + pause >= end:
            break
        time.sleep(pause)
    raise refusal(answer, "correct the settings of the site (queue, account, options, limits)")
