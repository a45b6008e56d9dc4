"""Which reconstructed events an analysis uses: the cuts of the configuration, counted one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from ..config import AnalysisConfig
from ..errors import ModelMismatchError
from ..events import ReconstructedEvents

__all__ = ["Selection", "image_cuts", "select_events"]

_UNITS = {"camera_frame_hillas_width": u.m, "camera_frame_hillas_length": u.m}


@dataclass(frozen=True, eq=False)
class Selection:
    """
    Result of the cuts.

    Parameters
    ----------
    mask : ndarray of bool, shape=(n_events,)
        Events that pass all cuts.
    counts : dict of str to int
        ``n_dl2``, then what each cut removed of those that passed the cuts before it, then ``n_selected``.
    """

    mask: NDArray[np.bool_]
    counts: dict[str, int]


def image_cuts(config: AnalysisConfig) -> dict[str, tuple[float, float]]:
    """Return the closed interval that each image parameter must lie in, by column."""
    section = config.event_selection
    return {name: getattr(section, name) for name in type(section).model_fields}


def select_events(events: ReconstructedEvents, config: AnalysisConfig) -> Selection:
    """
    Apply the event selection of a configuration.

    Image parameters must lie in closed intervals, in stereo those of both telescopes. In stereo the
    telescopes must also agree, where the configuration limits the differences of their directions, energies
    and gammanesses. What is undefined does not pass.

    Parameters
    ----------
    events : ReconstructedEvents
        Of one telescope or of both.
    config : AnalysisConfig
        ``event_selection`` and ``analysis``.

    Raises
    ------
    ModelMismatchError
        A column that a cut needs is missing.
    """
    mask = np.ones(len(events), dtype=bool)
    counts = {"n_dl2": len(events)}
    for name, passed in _cuts(events, config):
        counts[name] = int(np.count_nonzero(mask & ~passed))
        mask &= passed
    return Selection(mask, counts | {"n_selected": int(mask.sum())})


def _cuts(events: ReconstructedEvents, config: AnalysisConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    stereo = events.tel_setup == "stereo"
    for name, (low, high) in image_cuts(config).items():
        for column in _columns_of(events.table, name, stereo=stereo):
            values = _plain(events.table, column, _UNITS.get(name))
            yield column, (values >= low) & (values <= high)
    if stereo:
        yield from _stereo_cuts(events.table, config)


def _columns_of(table: QTable, name: str, *, stereo: bool) -> list[str]:
    """Return the column of one telescope, or those of both."""
    if not stereo:
        return [name]
    found = [f"{name}_tel{number}" for number in (21, 22) if f"{name}_tel{number}" in table.colnames]
    return found or [f"{name}_tel{number}" for number in (1, 2)]


def _stereo_cuts(table: QTable, config: AnalysisConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    analysis = config.analysis
    if (limit := analysis.stereo_delta_disp_cut_deg) is not None:
        yield "stereo_delta_disp_cut_deg", _plain(table, "min_distance", u.deg) < limit
    if (limit := analysis.stereo_relative_std_reco_energy_cut) is not None:
        deviation = np.sqrt(_plain(table, "var_reco_energy", u.TeV**2))
        energy = _plain(table, "reco_energy", u.TeV)
        yield "stereo_relative_std_reco_energy_cut", deviation / energy < limit
    if (limit := analysis.stereo_std_gammaness_cut) is not None:
        yield "stereo_std_gammaness_cut", np.sqrt(_plain(table, "var_gammaness", None)) < limit


def _plain(table: QTable, name: str, unit: u.UnitBase | None) -> NDArray[Any]:
    if name not in table.colnames:
        raise ModelMismatchError(
            f"the events have no column '{name}', which the event selection needs; reconstruct them again"
        )
    column = table[name]
    return (
        column.to_value(unit) if unit is not None and isinstance(column, u.Quantity) else np.asarray(column)
    )
