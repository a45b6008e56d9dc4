"""One tree of errors; each class carries the exit code of a process that ends with it."""

__all__ = [
    "ConfigError",
    "DataQualityError",
    "InputError",
    "ModelMismatchError",
    "OutputError",
    "RawFileError",
    "SkippedRun",
    "Sst1mError",
    "UnreadableError",
]


class Sst1mError(Exception):
    """Anything the pipeline can explain: what happened, in which file, and the way out."""

    exit_code = 1


class ConfigError(Sst1mError):
    """The configuration or the command is wrong; nothing was computed."""

    exit_code = 2


class InputError(Sst1mError):
    """An input that the operator provides (calibration, model, table) is missing or broken."""

    exit_code = 3


class UnreadableError(InputError):
    """The disk does not give an input at present, which says nothing about the input itself."""


class RawFileError(InputError):
    """A raw file is damaged or is not what its name says; only replacing it helps."""


class DataQualityError(Sst1mError):
    """The data can be read, but fail a condition under which the result would be valid."""

    exit_code = 4


class ModelMismatchError(Sst1mError):
    """A model, table or response was made for other data or other software."""

    exit_code = 5


class OutputError(Sst1mError):
    """A product could not be written: full disk, missing rights, read-only directory."""

    exit_code = 6


class SkippedRun(Sst1mError):
    """A run that is rightly not reduced (dark, transition, excluded by the operator)."""

    exit_code = 7
