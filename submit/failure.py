"""Why a task failed, in the few classes that are answered differently."""

import errno
import hashlib
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from submit.errors import SiteError

__all__ = [
    "CORRUPT_INPUT",
    "DETERMINISTIC",
    "FAILURE_CLASSES",
    "NODE",
    "OOM",
    "PERMANENT",
    "TIMEOUT",
    "TRANSIENT_IO",
    "FailureTable",
    "classify",
    "classify_error",
    "compile_table",
    "digest",
    "fingerprint",
    "one_line",
]

OOM = "oom"
TIMEOUT = "timeout"
NODE = "node"
TRANSIENT_IO = "transient-io"
DETERMINISTIC = "deterministic"
CORRUPT_INPUT = "corrupt-input"

FAILURE_CLASSES = (OOM, TIMEOUT, NODE, TRANSIENT_IO, DETERMINISTIC, CORRUPT_INPUT)

#: Classes of which another try under the same conditions would bring nothing.
PERMANENT = frozenset({DETERMINISTIC, CORRUPT_INPUT})

FailureTable = tuple[tuple[re.Pattern[str], str], ...]

#: Faults of the file system, of the network below it, or of a quota: the task is not to blame. A full disk is
#: among them because somebody will clear it; meanwhile the free space is looked at before each task.
_TRANSIENT = frozenset(
    {
        errno.ESTALE,
        errno.EIO,
        errno.EAGAIN,
        errno.EINTR,
        errno.EBUSY,
        errno.ENOLCK,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.ECONNREFUSED,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EREMOTEIO,
        errno.ENFILE,
    }
)

#: Searched in "Type: message" after the site's own table; the first that is found counts.
_DEFAULTS = (
    (r"^MemoryError|ArrayMemoryError|[Cc]annot allocate memory|[Oo]ut of memory|bad_alloc", OOM),
    (
        r"[Ss]tale (NFS )?file handle|[Rr]esource temporarily unavailable|[Ii]nput/output error"
        r"|[Uu]nable to (lock|open) file.*(lock|errno = 11)|[Nn]o space left on device|[Dd]isk quota exceeded"
        r"|[Rr]emote I/O error|[Nn]o locks available",
        TRANSIENT_IO,
    ),
    (r"killed from outside|\bSIG(KILL|TERM)\b|[Kk]illed by signal (9|15)\b", NODE),
    (
        r"^(RawFileError|BadZipFile|BadGzipFile|LZMAError|ZstdError|EOFError|zlib\.error)\b"
        r"|\b[Tt]runcated\b|\b[Cc]orrupt(ed)?\b|[Ee]nd of file|file signature not found|bad object header"
        r"|\b(CRC|[Cc]hecksum)\b.*(mismatch|differ|fail|wrong|error)|(mismatch|wrong|bad) (CRC|checksum)",
        CORRUPT_INPUT,
    ),
)


def compile_table(pairs: Iterable[Iterable[str]]) -> FailureTable:
    """
    Return a table of regular expressions on messages with their failure classes.

    Raises
    ------
    SiteError
        If a class is not known, or an expression cannot be understood.
    """
    table = []
    for pattern, kind in pairs:
        if kind not in FAILURE_CLASSES:
            raise SiteError(
                f"failure_classes: {kind!r} is no failure class; there are {', '.join(FAILURE_CLASSES)}"
            )
        try:
            table.append((re.compile(pattern), kind))
        except re.error as error:
            raise SiteError(f"failure_classes: {pattern!r} is no regular expression ({error})") from None
    return tuple(table)


_DEFAULT_TABLE = compile_table(_DEFAULTS)


def one_line(error: BaseException) -> str:
    """Return the type and message of an error on a single line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def classify(text: str, site_table: FailureTable = ()) -> str | None:
    """
    Return the failure class that a message speaks of, None if it is none of the known ones.

    Parameters
    ----------
    text : str
        Type and message of the error.
    site_table : FailureTable
        The site's own knowledge, which goes before ours.
    """
    return next((kind for pattern, kind in (*site_table, *_DEFAULT_TABLE) if pattern.search(text)), None)


def classify_error(error: BaseException, site_table: FailureTable = ()) -> str:
    """
    Return the failure class of an error.

    Parameters
    ----------
    error : BaseException
        What the task raised.
    site_table : FailureTable
        The site's own knowledge: it goes before everything else.
    """
    for one in _causes(error):
        if known := next((kind for pattern, kind in site_table if pattern.search(one_line(one))), None):
            return known
    for one in _causes(error):
        if isinstance(one, MemoryError) or getattr(one, "errno", None) == errno.ENOMEM:
            return OOM
        if isinstance(one, OSError) and one.errno in _TRANSIENT:
            return TRANSIENT_IO
        if isinstance(one, KeyboardInterrupt):
            # Somebody has ended it; that is no fault of the task.
            return NODE
        if known := classify(one_line(one)):
            return known
    return DETERMINISTIC


def _causes(error: BaseException) -> Iterator[BaseException]:
    # Not __context__: an error that was dealt with before has nothing to do with this one.
    one: BaseException | None = error
    for _ in range(10):
        if one is None:
            return
        yield one
        one = one.__cause__


def digest(text: str) -> str:
    """Return a short mark for a text."""
    return hashlib.sha1(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()[:12]


_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {str(Path(module.__file__).parent) for name in ("luigi",) if (module := sys.modules.get(name))}
    | {"<frozen"}
)


def fingerprint(error: BaseException) -> str:
    """
    Return a mark that is the same whenever the same error is raised at the same place.

    The place is the innermost function that belongs to no library. Line numbers, which change with every
    edit, and the message, which may contain times, do not count.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    places = [f"{Path(frame.filename).name}:{frame.name}" for frame in (own or frames)[-1:]]
    return digest("\n".join([type(error).__qualname__, *places]))
