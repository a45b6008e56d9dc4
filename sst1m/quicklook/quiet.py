"""What gammapy has to say goes to the log, not to the terminal of the observer."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

import numpy as np

__all__ = ["gammapy_in_the_log"]

_LOG = logging.getLogger("sst1m.quicklook.gammapy")


class _Forward(logging.Handler):
    """Repeat lines of another logger as ours; its warnings are details to us."""

    def emit(self, record: logging.LogRecord) -> None:
        level = logging.INFO if record.levelno >= logging.WARNING else logging.DEBUG
        _LOG.log(level, "%s: %s", record.name, record.getMessage())


def _to_log(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    _LOG.info("%s: %s", category.__name__, message)


@contextlib.contextmanager
def gammapy_in_the_log() -> Iterator[None]:
    """Route the lines of gammapy, Python's warnings and those of numpy into our log for a while."""
    logger, handler = logging.getLogger("gammapy"), _Forward()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("default")
            warnings.showwarning = _to_log
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
