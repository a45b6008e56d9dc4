"""The script of an array: what a node does before the work begins, the same for every batch system."""

import os
import re
import shlex
from pathlib import Path

from submit.jobs import Job
from submit.site import Site

__all__ = ["SIGNAL_S", "log_directory", "render_script", "warning_s"]

#: How long before its time limit an element is warned by USR1 [s]; Slurm may do so a minute earlier.
SIGNAL_S = 120

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

_INDEX = 'index="${SLURM_ARRAY_TASK_ID:-${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-${SST1M_INDEX:-0}}}}"'

#: Own names before those of a batch system: the local backend may be used within a job.
_NATIVE = """\
if [ -n "${SST1M_NATIVE:-}" ]; then native="$SST1M_NATIVE"
elif [ -n "${SLURM_JOB_ID:-}" ]; then native="${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}_$index"
else native="${PBS_JOBID:-pid$$}"
fi"""

# The number counts the times that this element was begun: a requeued one gets a new log, also where the batch
# system does not count, and two copies of one element never write into the same.
_LOG = """\
mkdir -p -- "$directory/logs" || exit 71
word="${native//[^A-Za-z0-9_-]/_}"
restart="${SLURM_RESTART_COUNT:-0}"
set -o noclobber
until log="$directory/logs/$(printf %05d "$index").$word.r$restart.log" && : 2>/dev/null > "$log"; do
    [ -e "$log" ] || exit 71
    restart=$((restart + 1))
done
set +o noclobber
exec >> "$log" 2>&1 || exit 71"""

_MARKS = """\
export SST1M_RUN="$word.r$restart" SST1M_NATIVE="$native" SST1M_INDEX="$index" SST1M_LOG="$log"
export SST1M_NODE="${SLURMD_NODENAME:-$(hostname -s 2>/dev/null || uname -n)}"
SST1M_STARTED="$(date +%s)" && export SST1M_STARTED"""


def warning_s(walltime_s: int) -> int:
    """Return how long before its end an element of this time limit [s] is warned [s]."""
    return min(SIGNAL_S, walltime_s // 2)


def log_directory(job: Job) -> Path:
    """Return the directory of the logs of elements."""
    return job.directory / "logs"


def _with_variables(text: str) -> str:
    """Quote a text of the site's settings, in which $NAME and ${NAME} stand for variables of the node."""
    parts = re.split(r"(\$\w+|\$\{\w+\})", text)
    return "".join(f'"{part}"' if part.startswith("$") else shlex.quote(part) for part in parts if part)


def _scratch(site: Site) -> list[str]:
    if not site.node.scratch:
        return []
    # A killed element cannot tidy up; what is older than any job may be has no owner.
    minutes = 2 * site.queue.max_walltime_minutes
    return [
        f"scratch={_with_variables(site.node.scratch)}",
        f'find "$scratch" -maxdepth 1 -type d -name ".sst1m-submit.*" -user "$(id -u)" -mmin +{minutes} '
        "-exec rm -rf -- {} + 2>/dev/null",
        'TMPDIR="$(mktemp -d "$scratch/.sst1m-submit.$SST1M_RUN.XXXXXX")" || exit 71',
        'export TMPDIR SST1M_TMPDIR="$TMPDIR"',
    ]


def render_script(job: Job, site: Site, cwd: Path | None = None) -> str:
    """
    Return the text of ``array.sh``.

    Every value of a task is quoted; only the lines of ``node.environment``, written by whoever keeps the
    settings of the site, are shell. The last command replaces the shell, so that signals reach the work.

    Parameters
    ----------
    job : Job
        The array.
    site : Site
        Settings of the site.
    cwd : Path, optional
        Directory in which the work starts; default: the present one, as batch systems do.
    """
    directory = shlex.quote(str(job.directory.resolve()))
    variables = {name: str(job.cpus) for name in _THREADS}
    variables |= {"MPLBACKEND": "Agg", "HDF5_USE_FILE_LOCKING": "FALSE", "PYTHONUNBUFFERED": "1"}
    variables |= {"SST1M_WALLTIME_S": str(job.walltime_s), "SST1M_CPUS": str(job.cpus)}
    variables |= {"SST1M_MEM_MB": str(job.mem_mb), **job.environment}
    lines = [
        "#!/bin/bash",
        f"# {job.n_elements} elements of {shlex.quote(job.name)}",
        *(["umask 002"] if site.plan.group_writable else []),
        _INDEX,
        f"directory={directory}",
        _NATIVE,
        _LOG,
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        _MARKS,
        *site.node.environment,
        *_scratch(site),
        f"cd -- {shlex.quote(os.fspath(cwd or Path.cwd()))} || exit 71",
        # Without this, a missing interpreter would look like a failure of the work (127).
        "shopt -s execfail",
        f'exec {shlex.join(job.command)} "$SST1M_INDEX" < /dev/null',
        "exit 71",
    ]
    return "\n".join(lines) + "\n"
