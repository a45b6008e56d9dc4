"""With what a worker ends; the result files say more, these are for the batch system and for people."""

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """Exit codes of a worker."""

    DONE = 0
    #: At least one task failed in a way that will not heal by itself.
    FAILED = 1
    #: Inputs of at least one task are not there.
    BLOCKED = 10
    #: The manifest cannot be read.
    BAD_MANIFEST = 64
    #: A fault of this program.
    INTERNAL = 70
    #: The machine cannot work: module missing, disk full, no rights. No task was tried.
    ENVIRONMENT = 71
    #: Something is left to be done, and may well succeed.
    TRY_AGAIN = 75
