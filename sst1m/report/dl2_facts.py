"""What one DL2 file says: energies, gammaness, and which forests made them; it is read once."""

from pathlib import Path
from typing import Any

import numpy as np
import tables

from ..io.damage import explained_damage
from ..io.dl2 import events_table
from ..io.json_node import read_json_node

__all__ = ["ENERGY_EDGES", "GAMMANESS_EDGES", "TEL_SETUP", "read_dl2_facts"]

Facts = dict[str, Any]

TEL_SETUP = {"cs1": "tel_021", "cs2": "tel_022", "stereo": "stereo"}
#: Edges of reconstructed energy [TeV].
ENERGY_EDGES = [float(f"{10 ** (n / 8):.6g}") for n in range(-8, 25)]
GAMMANESS_EDGES = [n / 25 for n in range(26)]
_INFO = "/sst1m/info"


def read_dl2_facts(path: Path, setup: str) -> Facts:
    """
    Read a DL2 file.

    Parameters
    ----------
    path : Path
        The file.
    setup : {"cs1", "cs2", "stereo"}
        Telescope set-up.

    Returns
    -------
    dict
        ``counts``, ``models``, and counts of events by ``energy`` and ``gammaness``, as JSON values.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with explained_damage(path, "DL2 file"), tables.open_file(str(path), "r") as h5file:
        table = h5file.get_node(events_table(TEL_SETUP[setup]))
        energy, gammaness = (table.read(field=name) for name in ("reco_energy", "gammaness"))
        info = read_json_node(h5file, _INFO)
    return {
        "counts": info.get("counts", {}),
        "models": _models(info.get("models")),
        "energy": np.histogram(energy, bins=ENERGY_EDGES)[0].tolist(),
        "gammaness": np.histogram(gammaness, bins=GAMMANESS_EDGES)[0].tolist(),
    }


def _models(models: Any) -> Facts:  # noqa: ANN401 - JSON
    """Return node and distance, however the file nests them."""
    if not isinstance(models, dict):
        return {}
    known = {name: models[name] for name in ("node", "distance") if name in models}
    if known:
        return known
    inner = [_models(value) for value in models.values()]
    return next((value for value in inner if value), {})
