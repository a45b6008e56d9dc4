"""Settings of a site: which batch system, what may be asked of it, and where the state lies."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError

from submit.errors import SiteError

__all__ = [
    "NodeSettings",
    "NotifySettings",
    "PlanSettings",
    "QueueSettings",
    "Site",
    "find_site",
    "load_site",
]

#: Environment variable that names the file of the site.
VARIABLE = "SST1M_SUBMIT_SITE"
_NAME = "submit.toml"

#: No settings are larger [byte].
_LARGEST_FILE = 1_000_000

Positive = Annotated[int, Field(gt=0)]


def _nameable(place: Path) -> Path:
    if "\0" in str(place):
        raise ValueError("a NUL is in no name of a directory")
    return place


_Place = Annotated[Path, Strict(False), AfterValidator(_nameable)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class QueueSettings(_Strict):
    """What is asked of the batch system."""

    name: str = Field(default="", description="partition or queue; empty: the default one")
    account: str = Field(default="", description="account to be charged; empty: the default one")
    options: tuple[str, ...] = Field(default=(), description="further words of sbatch or qsub")
    max_array_size: Positive | None = Field(
        default=None, description="elements of one array; asked of the batch system where not given"
    )
    max_queued: Positive | None = Field(
        default=None, description="elements of ours in the queue at a time; what is beyond waits for its turn"
    )
    max_running: Positive | None = Field(default=None, description="elements of one array that run at a time")
    max_walltime_minutes: Positive = Field(default=24 * 60, description="longest time limit to be asked for")
    command_timeout_s: float = Field(
        default=150.0, gt=0, description="patience with sbatch, squeue, qsub [s]"
    )


class NodeSettings(_Strict):
    """What holds on the machines that do the work."""

    environment: tuple[str, ...] = Field(
        default=(), description="lines of shell before the work: modules, variables; written as they are"
    )
    scratch: str = Field(default="", description="directory for temporary files; empty: that of the system")
    latency_s: float = Field(
        default=10.0, ge=0, description="how long a new file may stay unseen on the shared file system [s]"
    )
    min_free_mb: int = Field(default=200, ge=0, description="free space without which nothing is begun [MB]")
    cores: Positive | None = Field(default=None, description="cores of the local backend; default: all")
    exclude_after_failures: Positive = Field(
        default=2, description="failures of a node, with no success since, after which it is avoided"
    )


class PlanSettings(_Strict):
    """How tasks are packed, and how failures are answered."""

    shard_minutes: float = Field(default=60.0, gt=0, description="expected duration of one shard [min]")
    max_items: Positive = Field(default=200, description="largest number of tasks in a shard")
    default_seconds: float = Field(
        default=600.0, gt=0, description="duration of a task that nobody knows [s]"
    )
    default_mem_mb: Positive = Field(default=2000, description="memory of a task that says nothing [MB]")
    max_mem_mb: Positive = Field(default=64000, description="memory beyond which no retry goes [MB]")
    finalizer: Literal["job", "none"] = Field(
        default="job", description="a last job that submits what is missing; none: cron does it"
    )
    max_rounds: Positive = Field(default=6, description="submissions that a finalizer may follow up")
    group_writable: bool = Field(default=False, description="whether colleagues may go on with the campaign")
    heartbeat_s: float = Field(default=60.0, gt=0, description="a task at work is touched this often [s]")
    stale_lease_s: float = Field(default=900.0, gt=0, description="silence after which it counts as dead [s]")
    lost_after_s: float = Field(
        default=600.0, ge=0, description="how long an element may be unknown to the batch system [s]"
    )
    retry_delay_minutes: tuple[float, ...] = Field(
        default=(2.0, 10.0, 30.0), description="pauses before a transient failure is tried again [min]"
    )
    failure_classes: tuple[tuple[str, str], ...] = Field(
        default=(), description="pairs of a regular expression on the message and a failure class"
    )


class NotifySettings(_Strict):
    """Who is told that a night was not closed."""

    mail: tuple[str, ...] = Field(default=(), description="addresses")
    smtp: str = Field(
        default="localhost", pattern=r"^[^:\s]+(:\d+)?$", description="server that takes a mail, host[:port]"
    )
    sender: str = Field(default="", description="address in From; empty: user@host")
    webhook: str = Field(
        default="", pattern=r"^(https?://.*)?$", description="address that takes a JSON text by POST"
    )
    after: str = Field(default="", pattern=r"^([01]\d:[0-5]\d|2[0-3]:[0-5]\d)?$", description="hour, UTC")


class Site(_Strict):
    """
    Settings of a site, from a file ``submit.toml``.

    Raises
    ------
    SiteError
        From `load_site`, naming every wrong key.
    """

    backend: Literal["slurm", "openpbs", "torque", "local"]
    state_dir: _Place = Field(description="where campaigns keep their state; on the shared file system")
    queue: QueueSettings = QueueSettings()
    node: NodeSettings = NodeSettings()
    plan: PlanSettings = PlanSettings()
    notify: NotifySettings = NotifySettings()
    file: Path = Field(default=Path(_NAME), description="the file itself")

    def share(self) -> None:
        """Let the group write whatever this process and those that it starts make, if the site says so."""
        if self.plan.group_writable:
            os.umask(0o002)


def find_site(given: Path | None) -> Path:
    """
    Return the file of the site: the given one, that of the environment, or ``submit.toml`` beside luigi.cfg.

    Raises
    ------
    SiteError
        If there is none.
    """
    luigi_cfg = os.environ.get("LUIGI_CONFIG_PATH", "")
    places = [Path(os.environ[VARIABLE])] if VARIABLE in os.environ else []
    places += [Path(luigi_cfg).parent / _NAME] if luigi_cfg else []
    places = [given] if given is not None else [*places, Path(_NAME)]
    for place in places:
        if place.is_file():
            return place.resolve()
    raise SiteError(
        f"no settings of the site in {' or '.join(map(str, places))}: copy one of config/sites/*.toml to "
        f"{_NAME} beside luigi.cfg, or name it with --site"
    )


def load_site(path: Path) -> Site:
    """
    Read the settings of a site; paths in it are relative to it.

    Raises
    ------
    SiteError
        If it cannot be read, or naming every key that is wrong.
    """
    try:
        site = Site(**{**_tables(path), "file": path})
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, p['loc']))}: {p['msg'].lower()}" for p in error.errors()]
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in "; ".join(problems))
        raise SiteError(f"{path}: {text}") from None
    state_dir = Path(os.path.expandvars(site.state_dir.expanduser()))
    return site.model_copy(update={"state_dir": (path.parent / state_dir).resolve()})


def _tables(path: Path) -> dict[str, Any]:
    """Return the content of the file, with tuples for lists as the models hold them."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise SiteError(f"{path}: is larger than 1 MB, so it has no settings of a site; see config/sites")
        return _with_tuples(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise SiteError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from None
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of thousands of digits is a plain ValueError.
        raise SiteError(f"{path}: is not TOML ({error}); see config/sites for examples") from None


def _with_tuples(value: Any) -> Any:  # noqa: ANN401 - a TOML value
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
