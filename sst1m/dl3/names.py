"""Numbers of observations and names of photon lists."""

import re
from typing import Literal

from sst1m.errors import DataQualityError, OutputError
from sst1m.events import TelescopeSetup
from sst1m.names import shown, target_name_problem

__all__ = ["DL3_SETUPS", "Dl3Setup", "dl3_name", "dl3_obs_id", "is_dl3_name", "tel_setup_of"]

Dl3Setup = Literal["cs1", "cs2", "stereo"]

DL3_SETUPS: tuple[Dl3Setup, ...] = ("cs1", "cs2", "stereo")

_TEL_SETUP: dict[Dl3Setup, TelescopeSetup] = {"cs1": "tel_021", "cs2": "tel_022", "stereo": "stereo"}
_MOST_PARTS = 99
_NAME = re.compile(r"SST1M_[A-Za-z0-9][A-Za-z0-9+._-]*_obs_id_[0-9]{13}(?:[0-9]{2})?_dl3\.fits", re.ASCII)


def tel_setup_of(setup: Dl3Setup) -> TelescopeSetup:
    """Return what DL2 files call a set-up."""
    return _TEL_SETUP[setup]


def dl3_obs_id(run_obs_id: int, setup: Dl3Setup, part: int = 1) -> int:
    """
    Return the OBS_ID of a photon list.

    Parameters
    ----------
    run_obs_id : int
        Date and number of its first run, the digits ``YYYYMMDDNNNN``.
    setup : {"cs1", "cs2", "stereo"}
        Gives the thirteenth digit (1, 2, 3), so that the lists of all set-ups can be analysed together.
    part : int
        Of the run, where a long pause divides it: later ones (2, 3, ...) give two more digits.

    Raises
    ------
    DataQualityError
        The run has more parts than there are numbers.
    """
    number = 10 * run_obs_id + 1 + DL3_SETUPS.index(setup)
    if part > _MOST_PARTS:
        raise DataQualityError(
            f"run {run_obs_id}: pauses divide it into more than {_MOST_PARTS} parts; allow longer pauses"
        )
    return number if part == 1 else 100 * number + part


def dl3_name(target: str, obs_id: int) -> str:
    """
    Return the file name of a photon list.

    Raises
    ------
    OutputError
        The target's name cannot be part of a file name.
    """
    if problem := target_name_problem(target):
        raise OutputError(f"no photon list can be named after the target {shown(target)}: {problem}")
    return f"SST1M_{target}_obs_id_{obs_id:013d}_dl3.fits"


def is_dl3_name(name: str) -> bool:
    """Whether this is the name of a photon list."""
    return _NAME.fullmatch(name) is not None
