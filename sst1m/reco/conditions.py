"""Conditions of an observation that models are chosen by: mean pointing and night sky."""

from typing import Any

import numpy as np

from ..errors import DataQualityError
from ..io.dl1_events import Dl1Events
from ..nodes import Node
from .directions import direction_vector, horizontal, mean_direction

__all__ = ["mean_pointing", "night_sky", "observed_node"]


def mean_pointing(dl1: Dl1Events) -> tuple[float, float] | None:
    """Return altitude and azimuth [deg] of the mean direction of the pointing; None where it is not known."""
    known = dl1.info.get("mean_pointing")
    if known:
        return float(known["alt_deg"]), float(known["az_deg"])
    angles = [
        np.concatenate([events[f"true_{name}_tel"] for events in dl1.telescopes.values()])
        for name in ("alt", "az")
    ]
    defined = np.isfinite(angles[0]) & np.isfinite(angles[1])
    if not defined.any():
        return None
    pointings = direction_vector(*(np.deg2rad(values[defined]) for values in angles))
    alt, az = horizontal(mean_direction(pointings, np.ones(len(pointings))))
    return float(np.rad2deg(alt)), float(np.rad2deg(az))


def night_sky(info: Any, tel_ids: tuple[int, ...]) -> float | None:  # noqa: ANN401 - JSON
    """
    Return the night sky [MHz per pixel], the mean of the telescopes; None where it was not measured.

    Parameters
    ----------
    info : mapping
        ``/sst1m/info`` of a DL1 file: ``nsb_mhz`` is a number, or numbers by telescope.
    tel_ids : tuple of int
        The telescopes that count.
    """
    levels = info.get("nsb_mhz")
    if isinstance(levels, dict):
        found = [levels.get(str(tel_id)) for tel_id in tel_ids]
        return None if None in found else float(np.mean(found))
    return None if levels is None else float(levels)


def observed_node(dl1: Dl1Events, tel_ids: tuple[int, ...]) -> Node:
    """
    Return zenith, azimuth and night sky of a file, to a thousandth.

    Raises
    ------
    DataQualityError
        The pointing or the night sky is not known.
    """
    pointing, nsb_mhz = mean_pointing(dl1), night_sky(dl1.info, tel_ids)
    if pointing is None:
        raise DataQualityError(f"{dl1.path}: the pointing is not known; name the node of the models (--node)")
    if nsb_mhz is None:
        raise DataQualityError(
            f"{dl1.path}: the night sky was not measured (nsb_mhz is null), so no models can be chosen; "
            "name their node (--node)"
        )
    alt, az = pointing
    return Node(round(90.0 - alt, 3), round(az % 360.0, 3), round(nsb_mhz, 3))
