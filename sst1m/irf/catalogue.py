"""The tree of responses: which there are, and the one that fits an observation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable

from ..errors import InputError, ModelMismatchError, Sst1mError
from ..events import TelescopeSetup
from ..layout_mc import data_setup, parse_irf_path
from ..nodes import Node, nearest_node
from .gadf import component_hdus, cut_hdu, read_irfs
from .grid import AXES, Placement, place
from .interpolate import average_irfs, combine_irfs
from .responses import IrfSet

__all__ = ["IrfCatalogue", "IrfChoice", "IrfMethod"]

IrfMethod = Literal["interpolate", "nearest"]
Cards = dict[str, tuple[object, str]]

_VERSION = re.compile(r"[0-9]{1,3}_[0-9]{1,3}", re.ASCII)
#: Slices of an observation that differ by less share a response: sec(zenith), sine, ln(night sky).
_SAME = (0.005, 0.02, 0.03)
_MOST_CARDS = 9


@dataclass(frozen=True, eq=False)
class IrfChoice:
    """
    The response of an observation and where it comes from.

    Parameters
    ----------
    irf : IrfSet
        The response; `irf.cuts` is the gammaness cut that the data must be selected with.
    hdus : list of BinTableHDU
        The components, ready for a DL3 file; the energy-dependent cut if there is one; `IRF_NODES`.
    header : mapping of str to (value, comment)
        Cards that tell the choice, also in the header of each HDU.
    nodes : tuple of Node
        Contributing nodes.
    weights : tuple of float
        Of each node; the sum is 1.
    flags : mapping of str to bool
        ``IRFEXTR``: extrapolated beyond the nodes; ``IRFNEAR``: the response of the nearest node as it is.
    """

    irf: IrfSet
    hdus: list[fits.BinTableHDU]
    header: Mapping[str, tuple[object, str]]
    nodes: tuple[Node, ...]
    weights: tuple[float, ...]
    flags: Mapping[str, bool]


class IrfCatalogue:
    """
    Responses of one telescope set-up and gammaness cut, known by their names; files are read when needed.

    Parameters
    ----------
    irf_dir : Path
        Root of the tree, with ``data/sst1m_<setup>/<version>/bcf/<node>_gc<tag>/*_irfs.fits``.
    setup : str
        Telescope set-up; that of simulations gives the responses of its telescope in data.
    tag : str
        Value of the global gammaness cut, or ``energydep``.
    version : str, optional
        ``MAJOR_MINOR``; the newest that has responses of this tag where left out.

    Raises
    ------
    InputError
        If there is no response of that kind.
    """

    def __init__(self, irf_dir: Path, setup: TelescopeSetup, tag: str, version: str | None = None) -> None:
        self.irf_dir, self.setup, self.tag = Path(irf_dir), data_setup(setup), tag
        found = _responses(self.irf_dir, self.setup, tag)
        chosen = version or max(found, key=_version_number, default="")
        if chosen not in found:
            raise InputError(self._missing(version, sorted(found, key=_version_number)))
        self.version = chosen
        self._paths = dict(sorted(found[chosen].items()))
        self._read: dict[Node, IrfSet] = {}

    def _missing(self, version: str | None, others: list[str]) -> str:
        asked = f"with the gammaness tag {self.tag}" + (f" and version {version}" if version else "")
        hint = f"there are versions {', '.join(others)}" if others else "make them with sst1m make-irfs"
        return f"{self.irf_dir}: no responses of {self.setup} {asked}; {hint}, or correct irf_dir"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes that there are responses of, in rising order."""
        return tuple(self._paths)

    def path(self, node: Node) -> Path:
        """Return the file of a node."""
        return self._paths[node]

    def read(self, node: Node) -> IrfSet:
        """
        Return the response of a node; read once.

        Raises
        ------
        InputError, DataQualityError
            If the file is damaged or not normalised.
        ModelMismatchError
            If it is not what its path says, or not made like the others that were read.
        """
        if node not in self._read:
            irf, path = read_irfs(self._paths[node]), self._paths[node]
            if (str(irf.node), irf.setup, irf.cuts.tag) != (str(node), self.setup, self.tag):
                raise ModelMismatchError(
                    f"{path}: holds the response of {irf.setup} at {irf.node}, gammaness cut {irf.cuts.tag}; "
                    "it has been renamed, make it anew"
                )
            for other in self._read.values():
                _check_family(other, irf, path)
            self._read[node] = irf
        return self._read[node]

    def for_observation(
        self, wanted: Node, method: IrfMethod = "interpolate", *, strict: bool = False
    ) -> IrfChoice:
        """
        Return the response at given conditions.

        Parameters
        ----------
        wanted : Node
            Pointing and night sky.
        method : {"interpolate", "nearest"}
            Between nodes, or the nearest node as it is.
        strict : bool
            Refuse conditions for which only the nearest node is left.

        Raises
        ------
        ModelMismatchError
            If no node is near enough, or nodes do not belong together.
        """
        return self.average_over([(1.0, wanted)], method, strict=strict)

    def average_over(
        self,
        slices: Sequence[tuple[float, Node]],
        method: IrfMethod = "interpolate",
        *,
        strict: bool = False,
    ) -> IrfChoice:
        """
        Return the response of an observation during which the conditions change.

        Parameters
        ----------
        slices : sequence of (float, Node)
            Live time [s] and conditions.
        method, strict
            See `for_observation`; the nearest node is that to the mean conditions.

        Raises
        ------
        InputError
            If there is no live time at all.
        ModelMismatchError
            If no node is near enough, or nodes do not belong together.
        """
        if not slices or sum(time for time, _ in slices) <= 0:
            raise InputError("an observation without live time has no response; leave it out")
        mean = _mean_conditions(slices)
        if method == "nearest":
            node = nearest_node(self.nodes, mean).node
            placement = Placement((node,), (1.0,), "nearest", ())
            return _choice(self.read(node), mean, method, [(1.0, placement)])
        parts = [(time, place(self.nodes, node), node) for time, node in _merged(slices)]
        if strict and (far := [node for _, placement, node in parts if placement.kind == "nearest"]):
            raise ModelMismatchError(
                f"{self.irf_dir}: {_spoken(far[0])} lie out of the nodes of {self.setup} "
                f"({', '.join(map(str, self.nodes))}); make responses around it, or allow the nearest"
            )
        irfs = [self._at(placement, node) for _, placement, node in parts]
        irf = average_irfs(irfs, [time for time, _, _ in parts], mean)
        return _choice(irf, mean, method, [(time, placement) for time, placement, _ in parts])

    def _at(self, placement: Placement, node: Node) -> IrfSet:
        return combine_irfs([self.read(n) for n in placement.nodes], placement.weights, node)


def _responses(irf_dir: Path, setup: TelescopeSetup, tag: str) -> dict[str, dict[Node, Path]]:
    """Return the files of a kind by version and node; names that are not exactly ours are not ours."""
    found: dict[str, dict[Node, Path]] = {}
    for path in sorted(irf_dir.glob(f"data/sst1m_{setup}/*/bcf/*_gc{tag}/SST1M_*_irfs.fits")):
        try:
            known, version, node, known_tag = parse_irf_path(path)
        except Sst1mError:
            continue
        if (known, known_tag) == (setup, tag):
            found.setdefault(version, {})[node] = path
    return found


def _version_number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("_")))


def _check_family(one: IrfSet, other: IrfSet, path: Path) -> None:
    """Check that two responses may be combined."""
    if axes := one.bins.difference(other.bins):
        raise ModelMismatchError(
            f"{path}: has other bins ({axes}) than the response of {one.node}; "
            "make the responses of all nodes with one configuration and one range of true energies"
        )
    one.cuts.require_same_kind(other.cuts, str(path))
    for name in ("ANALYSIS", "MODELS", "SIMULATR", "BKGPRO", "BKGELE", "ESCALE"):
        if one.making.get(name) != other.making.get(name):
            raise ModelMismatchError(
                f"{path}: {name} is {other.making.get(name)}, that of {one.node} is {one.making.get(name)}; "
                "make the responses of all nodes in one production"
            )
    if one.rad_max_deg != other.rad_max_deg:
        raise ModelMismatchError(f"{path}: has another direction cut than the response of {one.node}")


def _spoken(node: Node) -> str:
    return (
        f"zenith {node.zenith_deg:.1f} deg, azimuth {node.azimuth_deg:.1f} deg, "
        f"night sky {node.nsb_mhz:.0f} MHz"
    )


def _merged(slices: Sequence[tuple[float, Node]]) -> list[tuple[float, Node]]:
    """Join slices whose conditions are nearly the same, in the order of the first of each."""
    joined: dict[tuple[int, ...], list[tuple[float, Node]]] = {}
    for time, node in slices:
        key = tuple(round(value / step) for value, step in zip(node.coordinates, _SAME, strict=True))
        joined.setdefault(key, []).append((time, node))
    return [
        (sum(time for time, _ in group), _mean_conditions(group))
        for group in joined.values()
        if sum(time for time, _ in group) > 0
    ]


def _mean_conditions(slices: Sequence[tuple[float, Node]]) -> Node:
    """Return the mean over live time: of the pointing as a vector, of the night sky in its logarithm."""
    if len(slices) == 1:
        return slices[0][1]
    time = np.array([time for time, _ in slices])
    zenith = np.deg2rad([node.zenith_deg for _, node in slices])
    azimuth = np.deg2rad([node.azimuth_deg for _, node in slices])
    vector = np.stack([np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)])
    north, east, up = (vector * time).sum(axis=1)
    sky = np.exp(np.average(np.log([node.nsb_mhz for _, node in slices]), weights=time))
    return Node(
        float(np.rad2deg(np.arctan2(np.hypot(north, east), up))),
        float(np.rad2deg(np.arctan2(east, north)) % 360),
        float(sky),
    )


def _choice(
    irf: IrfSet, mean: Node, method: IrfMethod, parts: Sequence[tuple[float, Placement]]
) -> IrfChoice:
    total = sum(time for time, _ in parts)
    sums: dict[Node, float] = {}
    for time, placement in parts:
        for node, weight in zip(placement.nodes, placement.weights, strict=True):
            sums[node] = sums.get(node, 0.0) + weight * time / total
    nodes, weights = tuple(sorted(sums)), tuple(sums[node] for node in sorted(sums))
    kinds = {placement.kind for _, placement in parts}
    flags = {"IRFEXTR": "outside" in kinds, "IRFNEAR": "nearest" in kinds}
    header = _header(mean, method, nodes, weights, flags)
    hdus = [*component_hdus(irf, header), _nodes_hdu(nodes, weights, header)]
    if (cuts := cut_hdu(irf.cuts)) is not None:
        hdus.insert(-1, cuts)
    return IrfChoice(irf, hdus, header, nodes, weights, flags)


def _header(
    mean: Node, method: IrfMethod, nodes: Sequence[Node], weights: Sequence[float], flags: Mapping[str, bool]
) -> Cards:
    cards: Cards = {
        "IRFMETH": (method, "how the response follows from nodes"),
        "IRFEXTR": (flags["IRFEXTR"], "T: extrapolated beyond the nodes"),
        "IRFNEAR": (flags["IRFNEAR"], "T: response of the nearest node as it is"),
        "IRFNUM": (len(nodes), "contributing nodes; all are in IRF_NODES"),
    }
    for i, (name, value) in enumerate(zip(AXES, mean.coordinates, strict=True), start=1):
        cards[f"IRFX{i}"] = (value, name)
    for i, (node, weight) in enumerate(zip(nodes[:_MOST_CARDS], weights[:_MOST_CARDS], strict=True), start=1):
        cards[f"IRFNODE{i}"] = (str(node), "contributing node")
        cards[f"IRFWGT{i}"] = (weight, "its weight")
    return cards


def _nodes_hdu(nodes: Sequence[Node], weights: Sequence[float], header: Cards) -> fits.BinTableHDU:
    table = QTable(
        {
            "NODE": [str(node) for node in nodes],
            "ZD": [node.zenith_deg for node in nodes] * u.deg,
            "AZ": [node.azimuth_deg % 360 for node in nodes] * u.deg,
            "NSB": [node.nsb_mhz for node in nodes] * u.MHz,
            "WEIGHT": list(weights),
        }
    )
    hdu = fits.BinTableHDU(table, name="IRF_NODES")
    for name, (value, comment) in header.items():
        hdu.header[name] = (value, comment)
    return hdu
