"""
Wrongly cabled modules: which read-out channel saw which pixel of the camera, by date.

An exchange of cables relabels channels. What belongs to a channel (gain, quality of its fit, window factor as
measured through it) goes with the channel, so samples and constants are both brought from channel order into
pixel order by the same permutation: the samples event by event, the constants once per run.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..instrument import N_PIXELS, TEL_IDS
from ..times import utc_text_to_ns

__all__ = ["SwappedModules", "channel_of_pixel", "swapped_modules", "swapped_modules_text"]

_PIXELS_OF_MODULE = 12
_RESOURCE = "swapped_modules.json"


@dataclass(frozen=True)
class SwappedModules:
    """
    Two modules of a telescope whose cables were exchanged, from ``start_ns`` until before ``stop_ns`` (TAI).

    The n-th pixel of one module was read out by the channel of the n-th pixel of the other.
    """

    tel_id: int
    start_ns: int
    stop_ns: int
    module_1: int
    module_2: int
    pixels_1: tuple[int, ...]
    pixels_2: tuple[int, ...]

    def __post_init__(self) -> None:
        pixels = self.pixels_1 + self.pixels_2
        if self.tel_id not in TEL_IDS or self.start_ns >= self.stop_ns:
            raise InputError(
                f"{_RESOURCE}: telescope {self.tel_id}: unknown telescope or a period that ends first"
            )
        if len(self.pixels_1) != _PIXELS_OF_MODULE or len(set(pixels)) != 2 * _PIXELS_OF_MODULE:
            raise InputError(
                f"{_RESOURCE}: modules {self.module_1} and {self.module_2}: not 12 different pixels each"
            )
        if min(pixels) < 0 or max(pixels) >= N_PIXELS:
            raise InputError(f"{_RESOURCE}: modules {self.module_1} and {self.module_2}: no such pixel")


def _period(entry: dict[str, Any]) -> SwappedModules:
    return SwappedModules(
        tel_id=entry["tel_id"],
        start_ns=utc_text_to_ns(entry["start"]),
        stop_ns=utc_text_to_ns(entry["stop"]),
        module_1=entry["module_1"],
        module_2=entry["module_2"],
        pixels_1=tuple(entry["pixels_1"]),
        pixels_2=tuple(entry["pixels_2"]),
    )


def swapped_modules_text() -> str:
    """Return the table of wrongly cabled modules as it is stored."""
    return (files("sst1m") / "resources" / _RESOURCE).read_text(encoding="utf-8")


@cache
def swapped_modules() -> tuple[SwappedModules, ...]:
    """Return all periods with exchanged modules, read and checked once."""
    return tuple(_period(entry) for entry in json.loads(swapped_modules_text())["periods"])


def channel_of_pixel(tel_id: int, time_ns: int) -> NDArray[np.int64]:
    """
    Return the read-out channel of every pixel at a time.

    Parameters
    ----------
    tel_id : int
        21 or 22.
    time_ns : int
        TAI nanoseconds since 1970, that of the first event of a run.

    Returns
    -------
    ndarray of int64, shape=(n_pixels,)
        ``values_by_pixel = values_by_channel[channel]``; the identity outside all periods. Its own inverse.

    Notes
    -----
    Channels are numbered by the pixel that they serve when the cables are right, as in raw files and in
    calibration files.
    """
    if tel_id not in TEL_IDS:
        raise ValueError(f"telescope {tel_id} is not one of {TEL_IDS}")
    channel = np.arange(N_PIXELS)
    for period in swapped_modules():
        if period.tel_id == tel_id and period.start_ns <= time_ns < period.stop_ns:
            first, second = list(period.pixels_1), list(period.pixels_2)
            channel[first + second] = channel[second + first]
    channel.setflags(write=False)
    return channel
