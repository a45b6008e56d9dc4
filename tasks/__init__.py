"""The Luigi graph: which file is made from which, in the standard directory layout."""

from tasks.console import explain_errors
from tasks.luigi_cfg import set_truthful_defaults
from tasks.night import NightManifest, RunNight
from tasks.reduction import CalibrateRun

__all__ = ["CalibrateRun", "NightManifest", "RunNight"]

set_truthful_defaults()
explain_errors()
