"""The instrument responses of a block: looked up for its conditions, and refused where they do not fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from sst1m.dl3.blocks import Block
from sst1m.dl3.files import COMPONENTS, component_of
from sst1m.dl3.header import Cards, update_header
from sst1m.dl3.runs import CutsByNode
from sst1m.errors import ModelMismatchError
from sst1m.nodes import Node
from sst1m.provenance import read_provenance

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig
    from sst1m.irf.catalogue import IrfCatalogue, IrfMethod
    from sst1m.irf.cuts import GammanessCuts

__all__ = ["BlockResponses", "check_same_analysis", "responses_of"]

#: What decides which events are used and how they are reconstructed; it must be the same for data and
#: responses.
_SECTIONS = (
    *("event_selection", "disp_method", "energy_regression_features", "particle_classification_features"),
    *("disp_regression_features", "disp_classification_features"),
)
_ANALYSIS = (
    *("stereo_delta_disp_cut_deg", "stereo_relative_std_reco_energy_cut", "stereo_std_gammaness_cut"),
    "stereo_reco_weights",
)
#: What changes whenever a file is made, but not with its content.
_PASSING = ("DATE", "CHECKSUM", "DATASUM")


@dataclass(frozen=True, eq=False)
class BlockResponses:
    """
    Responses of one photon list.

    Parameters
    ----------
    hdus : tuple of BinTableHDU
        The four components, and the tables of their nodes and cuts.
    cards : Cards
        What they are, for the header of the events.
    cuts : GammanessCuts
        What they were made with; between nodes energy-dependent cuts lie between those of the nodes.
    """

    hdus: tuple[fits.BinTableHDU, ...]
    cards: Cards
    cuts: "GammanessCuts"


def responses_of(
    block: Block,
    irfs: "IrfCatalogue",
    *,
    config: "AnalysisConfig",
    cuts: CutsByNode,
    method: "IrfMethod",
) -> BlockResponses:
    """
    Return the responses of a block.

    Parameters
    ----------
    block : Block
        The conditions during its good time decide.
    irfs : IrfCatalogue
        Responses of all nodes for the telescopes and the cuts.
    config : AnalysisConfig
        Of the data.
    cuts : CutsByNode
        Wanted gammaness cuts.
    method : {"interpolate", "nearest"}
        Between nodes.

    Raises
    ------
    ModelMismatchError
        There is no response near enough, or it was made with other cuts or another reconstruction.
    """
    choice = irfs.average_over(block.slices, method=method)
    found = {component_of(hdu.header) for hdu in choice.hdus}
    missing = [name for name, (clas1, _) in COMPONENTS.items() if clas1 == "RESPONSE" and name not in found]
    if missing:
        raise ModelMismatchError(
            f"{irfs.path(choice.nodes[0])}: lacks {', '.join(missing)}; a photon list needs full-enclosure "
            "responses"
        )
    known = [_check_node(irfs, node, config, cuts) for node in choice.nodes]
    _check_classes(block, irfs, choice.irf.cuts)
    cards: Cards = {name: (value, comment) for name, (value, comment) in choice.header.items()}
    cards["GHTAG"] = (choice.irf.cuts.tag, "gammaness cut")
    if choice.irf.cuts.event_class is not None:
        cards["EVCLASS"] = (choice.irf.cuts.event_class, "only events of this class, 1 the best")
    cards["IRFCHECK"] = (all(known), "F: their event selection is not known")
    hdus = tuple(_prepared(hdu, block.obs_id) for hdu in choice.hdus)
    return BlockResponses(hdus, cards, choice.irf.cuts)


def _check_node(irfs: "IrfCatalogue", node: Node, config: "AnalysisConfig", cuts: CutsByNode) -> bool:
    """Refuse a response that was made with other cuts; return whether its whole configuration is known."""
    path, theirs, ours = irfs.path(node), irfs.read(node).cuts, cuts.at(node)
    ours.require_same_kind(theirs, str(path))
    if ours.table is not None and theirs.table is not None:
        pair = [np.asarray(table["cut"], dtype=float) for table in (ours.table, theirs.table)]
        if not np.allclose(*pair, rtol=0, atol=1e-6):
            raise ModelMismatchError(
                f"{path}: made with other energy-dependent gammaness cuts than those given for {node}; "
                "make the responses again from these cuts, or give the cuts that they were made with"
            )
    record = read_provenance(path.with_suffix(".json"))
    if record is None:
        return False
    values = record.get("config", {}).get("values") if isinstance(record.get("config"), Mapping) else None
    if not isinstance(values, Mapping):
        return False
    check_same_analysis(config, values, str(path))
    return True


def _check_classes(block: Block, irfs: "IrfCatalogue", cuts: "GammanessCuts") -> None:
    """Refuse events that were divided into classes by other edges than those of the responses."""
    # Events without any class are refused by the cut itself.
    divided = [run for run in block.runs if len(run.events) and "event_type" in run.events.colnames]
    for run in divided if cuts.event_class is not None else ():
        if run.node not in irfs.nodes:
            continue
        ours = (run.info.get("event_classes") or {}).get("fingerprint")
        if ours != irfs.read(run.node).making.get("CLASSES"):
            raise ModelMismatchError(
                f"{run.path}: its events were divided into classes by other edges than those of "
                f"{irfs.path(run.node)}; classify data and simulations by the same edges and forest"
            )


def check_same_analysis(config: "AnalysisConfig", other: Mapping[str, Any], where: str) -> None:
    """
    Refuse responses that were made with another event selection or reconstruction than the data.

    Parameters
    ----------
    config : AnalysisConfig
        Of the data.
    other : mapping
        Values of the configuration that the responses were made with.
    where : str
        Their file, for the message.

    Raises
    ------
    ModelMismatchError
        Naming the keys that differ.
    """
    ours = config.canonical()
    pairs = {key: (ours[key], other.get(key)) for key in _SECTIONS}
    pairs |= {
        f"analysis.{key}": (ours["analysis"][key], other.get("analysis", {}).get(key)) for key in _ANALYSIS
    }
    if differing := [key for key, (mine, theirs) in pairs.items() if mine != theirs]:
        raise ModelMismatchError(
            f"{where}: made with another {', '.join(differing)} than the configuration of the data; use the "
            "same values for simulations and data, and make the one or the other again"
        )


def _prepared(hdu: fits.BinTableHDU, obs_id: int) -> fits.BinTableHDU:
    """Return a copy that belongs to the observation and does not depend on the present time."""
    prepared = hdu.copy()
    for keyword in _PASSING:
        prepared.header.remove(keyword, ignore_missing=True)
    update_header(prepared.header, {"OBS_ID": (obs_id, "observation that these hold for")})
    return prepared
