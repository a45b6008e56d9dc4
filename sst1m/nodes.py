"""Nodes of a production: the zenith, azimuth and night sky that models and responses were made for."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sst1m.errors import ConfigError, ModelMismatchError

__all__ = ["FIELD_DECLINATION_DEG", "FIELD_INCLINATION_DEG", "Node", "NodeChoice", "nearest_node"]

#: Geomagnetic field at Ondrejov (IGRF-13 for 2024, to half a degree): azimuth and dip of its direction.
FIELD_DECLINATION_DEG = 4.8
FIELD_INCLINATION_DEG = 66.0

#: Steps that count as one when distances between nodes are compared: sec(zenith), sin of the angle to
#: the geomagnetic field, ln of the night sky.
_STEPS = (0.15, 0.5, math.log(2.0))

_NAME = re.compile(
    r"ze([0-9]{1,2}(?:\.[0-9]+)?)_az([0-9]{1,3}(?:\.[0-9]+)?)_nsb([0-9]{1,4}(?:\.[0-9]+)?)", re.ASCII
)


@dataclass(frozen=True, order=True)
class Node:
    """
    One point of the grid of a production.

    Parameters
    ----------
    zenith_deg, azimuth_deg : float
        Pointing [deg], azimuth from north to east.
    nsb_mhz : float
        Night sky [MHz per pixel].
    """

    zenith_deg: float
    azimuth_deg: float
    nsb_mhz: float

    def __post_init__(self) -> None:
        if not (0 <= self.zenith_deg < 90 and self.nsb_mhz > 0 and math.isfinite(self.azimuth_deg)):
            raise ConfigError(
                f"zenith {self.zenith_deg:g} deg, azimuth {self.azimuth_deg:g} deg, "
                f"night sky {self.nsb_mhz:g} MHz is no node; "
                "the zenith angle must lie in [0, 90) deg and the night sky above 0"
            )

    def __str__(self) -> str:
        azimuth = self.azimuth_deg % 360
        return f"ze{self.zenith_deg:g}_az{azimuth:g}_nsb{self.nsb_mhz:g}"

    @classmethod
    def parse(cls, name: str) -> "Node":
        """
        Read ``ze20_az180_nsb100``.

        Raises
        ------
        ConfigError
            If it is not the name of a node.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ConfigError(f"{name!r} is not the name of a node; one looks like ze20_az180_nsb100")
        return cls(*(float(number) for number in match.groups()))

    @property
    def coordinates(self) -> tuple[float, float, float]:
        """Return what responses are smooth in: sec(zenith), sin(angle to the field), ln(night sky)."""
        zenith, azimuth = math.radians(self.zenith_deg), math.radians(self.azimuth_deg)
        # The shower comes down along the field where the telescope looks against it: upwards and south.
        dip, declination = math.radians(FIELD_INCLINATION_DEG), math.radians(FIELD_DECLINATION_DEG)
        along = math.cos(zenith) * math.sin(dip) - math.sin(zenith) * math.cos(dip) * math.cos(
            azimuth - declination
        )
        across = math.sqrt(max(0.0, 1.0 - along * along))
        return 1.0 / math.cos(zenith), across, math.log(self.nsb_mhz)


@dataclass(frozen=True)
class NodeChoice:
    """
    The node that was taken for an observation.

    Parameters
    ----------
    node : Node
        The nearest one.
    distance : float
        To the observation, in steps: 0.15 in sec(zenith), 0.5 in the sine, a factor 2 in night sky.
    """

    node: Node
    distance: float


def nearest_node(nodes: Iterable[Node], wanted: Node, *, max_distance: float = 2.0) -> NodeChoice:
    """
    Return the node nearest to the conditions of an observation; of equally near ones the first by value.

    An axis on which all nodes agree cannot be chosen by and does not count, except the zenith angle.

    Parameters
    ----------
    nodes : iterable of Node
        What there is.
    wanted : Node
        Conditions of the observation.
    max_distance : float
        Largest distance in steps (see `NodeChoice`).

    Raises
    ------
    ModelMismatchError
        There is no node, or none near enough.
    """
    known = sorted(set(nodes))
    if not known:
        raise ModelMismatchError(f"no node at all to choose from for {wanted}")
    distances = [_distance(node, wanted, known) for node in known]
    best = min(range(len(known)), key=distances.__getitem__)
    if distances[best] > max_distance:
        raise ModelMismatchError(
            f"the nearest node to {_spoken(wanted)} is {known[best]}, {distances[best]:.1f} steps away "
            f"(allowed: {max_distance:g}); a production with a nearer node is needed; "
            f"there are {', '.join(map(str, known))}"
        )
    return NodeChoice(known[best], distances[best])


def _distance(node: Node, wanted: Node, known: list[Node]) -> float:
    squares = 0.0
    for axis, step in enumerate(_STEPS):
        constant = len({_grid_value(other, axis) for other in known}) == 1
        if axis == 0 or not constant:
            squares += ((node.coordinates[axis] - wanted.coordinates[axis]) / step) ** 2
    return math.sqrt(squares)


def _grid_value(node: Node, axis: int) -> float:
    return (node.zenith_deg, node.azimuth_deg % 360, node.nsb_mhz)[axis]


def _spoken(node: Node) -> str:
    return (
        f"zenith {node.zenith_deg:.1f} deg, azimuth {node.azimuth_deg:.1f} deg, "
        f"night sky {node.nsb_mhz:.0f} MHz"
    )
