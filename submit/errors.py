"""One tree of errors of the submitter; each class carries the exit code of a command that ends with it."""

__all__ = ["BusyError", "PlanError", "SchedulerError", "SiteError", "StateError", "SubmitError"]


class SubmitError(Exception):
    """Anything the submitter can explain: what happened, where, and the way out."""

    exit_code = 1


class SiteError(SubmitError):
    """The site's settings or the command are wrong; nothing was submitted."""

    exit_code = 2


class SchedulerError(SubmitError):
    """The batch system refused a request or did not answer."""

    exit_code = 3


class PlanError(SubmitError):
    """The task graph cannot be planned: a cycle, a task that no node could build, an unknown parameter."""

    exit_code = 4


class StateError(SubmitError):
    """A file of the campaign's state is missing, damaged or cannot be written."""

    exit_code = 6


class BusyError(SubmitError):
    """Somebody else is planning or submitting the same campaign at this moment."""

    exit_code = 10
