"""Performance tables as HDF5 files under the known names."""

from collections.abc import Mapping
from pathlib import Path

import astropy.units as u
from astropy.table import QTable

from ..events import TelescopeSetup
from ..io.astropy_tables import write_tables

__all__ = ["TABLES", "table_path", "write_known_tables"]

#: Files by what they hold; ``{setup}`` is the telescope set-up.
TABLES = {
    "energy_resolution": "energy_resolution_{setup}.h5",
    "angular_resolution": "angular_resolution_{setup}.h5",
    "roc_curve": "roc_curve_{setup}.h5",
    "effective_area": "effective_area_{setup}.h5",
    "flux_sensitivity": "flux_sensitivity_{setup}.h5",
    "theta_cuts": "theta_edep_cuts_{setup}.h5",
}

_NODES = {
    "energy_resolution": "res",
    "angular_resolution": "res",
    "roc_curve": "roc",
    "effective_area": "effective_area",
    "flux_sensitivity": "sensitivity",
    "theta_cuts": "theta_cuts",
}


def table_path(directory: Path, kind: str, setup: TelescopeSetup) -> Path:
    """Return the path of a table by what it holds (a key of `TABLES`)."""
    return directory / TABLES[kind].format(setup=setup)


def write_known_tables(
    directory: Path, setup: TelescopeSetup, energy_bins: u.Quantity, found: Mapping[str, QTable]
) -> list[str]:
    """
    Write the tables that have a known name and layout.

    Parameters
    ----------
    directory : Path
        Where to.
    setup : str
        Telescope set-up, part of the names.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges of the energy bins [TeV].
    found : mapping of str to QTable
        Tables by what they hold; those without a known name are left out.

    Returns
    -------
    list of str
        Names of the files.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    names = []
    for kind, name in _NODES.items():
        if kind not in found:
            continue
        table = found[kind]
        content = {name: table}
        if name == "res":
            # The edges stand beside the results, as readers of these files know it.
            columns = [c for c in table.colnames if c not in ("low", "high", "center")]
            content = {"bins": QTable({"energy_bins": energy_bins}), "res": table[columns]}
        write_tables(table_path(directory, kind, setup), content)
        names.append(TABLES[kind].format(setup=setup))
    return names
