"""Distribution of the squared angle between events and source, and the same at off positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.data import Observations
from gammapy.makers.utils import ThetaSquaredTable
from gammapy.maps import MapAxis
from numpy.typing import NDArray

from sst1m.quicklook.observations import Chosen
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.regions import OnRegion, positions_that_fit

__all__ = ["Theta2", "theta2_distribution"]

#: The axis ends at twice the on-radius, with this many bins below the on-radius squared.
_REACH, _BINS_ON = 2.0, 5


@dataclass(frozen=True, eq=False)
class Theta2:
    """
    Counts against squared angle.

    Parameters
    ----------
    edges_deg2 : ndarray, shape=(n_bins + 1,)
        Squared angle [deg2].
    n_on : ndarray of int, shape=(n_bins,)
        Around the source.
    background, background_error : ndarray, shape=(n_bins,)
        Off counts times alpha, and standard error.
    cut_deg2 : float
        On-radius squared [deg2].
    n_observations : int
        That take part.
    left_out : dict
        Reason by OBS_ID of the others.
    """

    edges_deg2: NDArray[np.float64]
    n_on: NDArray[np.int64]
    background: NDArray[np.float64]
    background_error: NDArray[np.float64]
    cut_deg2: float
    n_observations: int
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if not self.n_observations:
            return {"status": "not made", "reason": "; ".join(sorted(set(self.left_out.values())))}
        return {
            "status": "made",
            "edges_deg2": self.edges_deg2.tolist(),
            "n_on": self.n_on.tolist(),
            "background": self.background.tolist(),
            "background_error": self.background_error.tolist(),
            "cut_deg2": self.cut_deg2,
            "n_observations": self.n_observations,
            "left_out": self.left_out,
        }


def theta2_distribution(used: Sequence[Chosen], region: OnRegion, options: QuicklookOptions) -> Theta2:
    """
    Return the distribution over all observations, in the range of energies.

    Off positions lie evenly on the circle around the optical axis, as many as keep clear of each other and
    of the gammas of the source. Observations with equally many share one `ThetaSquaredTable`: it has one
    alpha.

    Parameters
    ----------
    used : sequence of Chosen
        Observations.
    region : OnRegion
        Position and cut.
    options : QuicklookOptions
        Excluded radius.
    """
    reach = _REACH * region.radius_deg
    edges = np.linspace(0, reach**2, round(_BINS_ON * _REACH**2) + 1)
    groups, left_out = _by_number_of_positions(used, reach, options)
    n_on, background, variance = np.zeros(len(edges) - 1, dtype=int), np.zeros(len(edges) - 1), 0.0
    for number, members in groups.items():
        axis = MapAxis.from_edges(edges * u.deg**2, name="theta_squared")
        table = ThetaSquaredTable(
            Observations([chosen.observation for chosen in members]),
            axis,
            region.position,
            off_regions_number=number,
        ).run()
        off = np.asarray(table["counts_off"])
        n_on = n_on + np.asarray(table["counts"])
        background, variance = background + off / number, variance + off / number**2
    return Theta2(
        edges_deg2=edges,
        n_on=n_on,
        background=background,
        background_error=np.sqrt(variance * np.ones(len(n_on))),
        cut_deg2=region.radius_deg**2,
        n_observations=sum(map(len, groups.values())),
        left_out=left_out,
    )


def _by_number_of_positions(
    used: Sequence[Chosen], reach_deg: float, options: QuicklookOptions
) -> tuple[dict[int, list[Chosen]], dict[str, str]]:
    groups: dict[int, list[Chosen]] = {}
    left_out = {}
    # The table asks for circles that do not touch; neither may the source reach into that of an off position.
    distance = max(2 * reach_deg, reach_deg + options.exclusion_deg) * 1.001
    for chosen in used:
        number = positions_that_fit(chosen.offset_deg, distance)
        if number:
            groups.setdefault(number, []).append(chosen)
        else:
            left_out[chosen.name] = (
                f"the source is {chosen.offset_deg:.2f} deg off the axis, too near for an off position"
            )
    return groups, left_out
