"""Batch systems: one file each, with their commands and their words for states."""

from importlib import import_module

from submit.jobs import Backend
from submit.site import Site

__all__ = ["make_backend"]

#: Class by the word of the settings; imported when it is asked for.
_BACKENDS = {
    "slurm": "submit.backends.slurm:Slurm",
    "openpbs": "submit.backends.openpbs:OpenPbs",
    "torque": "submit.backends.torque:Torque",
    "local": "submit.backends.local:Local",
}


def make_backend(site: Site) -> Backend:
    """Return the batch system that a site names."""
    module, _, name = _BACKENDS[site.backend].partition(":")
    backend: Backend = getattr(import_module(module), name)(site)
    return backend
