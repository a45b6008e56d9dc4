"""The columns of a DL2 file: units and meanings, for the set-ups of one telescope and of both."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.units import Quantity, Unit
from numpy.typing import NDArray

from ..image.columns import PARAMETER_COLUMNS
from ..reduction.columns import EXTRA_COLUMNS, PRECISE_TIME_COLUMNS

__all__ = [
    "DL2_COLUMNS",
    "SIGN_COMBINATIONS",
    "column_meaning",
    "column_table",
    "impact_column",
    "tel_column",
]

#: Signs of disp of telescopes 1 and 2, in the order of the column ``best_sign_combination``.
SIGN_COMBINATIONS = ((1, 1), (-1, -1), (-1, 1), (1, -1))

_TRUTH = {
    "true_energy": ("TeV", "simulated energy"),
    "log_true_energy": ("", "log10 of the simulated energy in TeV"),
    "true_alt": ("deg", "simulated altitude of the direction of origin"),
    "true_az": ("deg", "simulated azimuth of the direction of origin"),
    "true_core_x": ("m", "simulated core, to the north"),
    "true_core_y": ("m", "simulated core, to the west"),
    "true_h_first_int": ("m", "height of the first interaction above sea level"),
    "true_x_max": ("g / cm2", "slant depth of the maximum"),
    "true_starting_grammage": ("g / cm2", "depth at which the primary started"),
    "true_shower_primary_id": ("", "primary: 0 gamma, 1 electron, 101 proton"),
    "true_tel_impact_distance": ("m", "simulated distance of the telescope to the shower axis"),
    "true_camera_x": ("m", "simulated direction of origin in the camera, x"),
    "true_camera_y": ("m", "simulated direction of origin in the camera, y"),
    "disp_dx": ("m", "from the centre of gravity to the true source position, x"),
    "disp_dy": ("m", "from the centre of gravity to the true source position, y"),
    "disp_norm": ("m", "length of disp along the main axis"),
    "disp_sign": ("", "side of the true source position along the main axis, 1 or -1"),
    "miss": ("m", "distance of the true source position from the main axis"),
}
_RECONSTRUCTED = {
    "log_reco_energy": ("", "log10 of the reconstructed energy in TeV"),
    "reco_energy": ("TeV", "reconstructed energy"),
    "var_reco_energy": ("TeV2", "variance of the energies of the telescopes, unweighted"),
    "wvar_reco_energy": ("TeV2", "variance of the energies of the telescopes, weighted"),
    "gammaness": ("", "1: like a gamma ray, 0: like a proton"),
    "var_gammaness": ("", "variance of the gammanesses of the telescopes, unweighted"),
    "wvar_gammaness": ("", "variance of the gammanesses of the telescopes, weighted"),
    "reco_disp_norm": ("m", "reconstructed length of disp"),
    "reco_disp_sign": ("", "reconstructed side of the source along the main axis, 1 or -1"),
    "reco_disp_dx": ("m", "reconstructed disp, x"),
    "reco_disp_dy": ("m", "reconstructed disp, y"),
    "reco_src_x": ("m", "reconstructed source position in the camera, x"),
    "reco_src_y": ("m", "reconstructed source position in the camera, y"),
    "reco_alt": ("deg", "reconstructed altitude of the direction of origin"),
    "reco_az": ("deg", "reconstructed azimuth of the direction of origin"),
    "reco_ra": ("deg", "reconstructed right ascension, ICRS"),
    "reco_dec": ("deg", "reconstructed declination, ICRS"),
    "min_distance": ("rad", "distance of the positions that the two telescopes chose"),
    "best_sign_combination": ("", "0: ++, 1: --, 2: -+, 3: +-, signs of disp of telescopes 1 and 2"),
    "HillasReconstructor_alt": ("deg", "altitude where the two image axes meet"),
    "HillasReconstructor_az": ("deg", "azimuth where the two image axes meet"),
    "HillasReconstructor_core_x": ("m", "core from the two image axes, to the north"),
    "HillasReconstructor_core_y": ("m", "core from the two image axes, to the west"),
    "HillasReconstructor_h_max": ("m", "height of the shower maximum above sea level"),
    "HillasReconstructor_tel_impact_distance": ("m", "distance of the telescope to the shower axis"),
}
_OTHERS = {
    "effective_focal_length": ("m", "focal length of the images, by which disp becomes an angle"),
    "obs_id": ("", "observation"),
    "event_id": ("", "event"),
    "tel_id": ("", "telescope"),
    "tel_obs_id": ("", "run of this telescope"),
    "tel_event_id": ("", "event of this telescope in its own DL1 file"),
    "time_difference_ns": ("ns", "time of telescope 22 minus that of 21"),
}

#: Name: (unit, description). Columns of one telescope of the stereo table end with ``_tel1`` or ``_tel21``.
DL2_COLUMNS: dict[str, tuple[str, str]] = {
    **_OTHERS,
    **{name: (column.unit, column.description) for name, column in PARAMETER_COLUMNS.items()},
    **{name: meaning[1:] for name, meaning in (EXTRA_COLUMNS | PRECISE_TIME_COLUMNS).items()},
    **_TRUTH,
    **_RECONSTRUCTED,
}
_SUFFIX = re.compile(r"_tel(?:1|2|21|22)\Z")


def tel_column(name: str, tel_id: int) -> str:
    """Return the name that a column of one telescope has in the stereo table."""
    return f"{name}_tel{tel_id}"


def impact_column(tel_id: int) -> str:
    """Return the name of the impact distance in the stereo table, where telescopes are always 1 and 2."""
    return tel_column("HillasReconstructor_tel_impact_distance", tel_id % 20)


def column_meaning(name: str) -> tuple[str, str]:
    """Return unit and description of a column; a column that is not known here is a pure number."""
    base = name if name in DL2_COLUMNS else _SUFFIX.sub("", name)
    return DL2_COLUMNS.get(base, ("", ""))


def column_table(columns: Mapping[str, NDArray[Any]]) -> QTable:
    """
    Return columns as a table in which quantities have their units.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape=(n_events,)
        Numbers in the units of `DL2_COLUMNS`. Whole numbers stay pure, so that times in nanoseconds
        stay exact.
    """
    table = QTable()
    for name, values in columns.items():
        unit, description = column_meaning(name)
        array = np.asarray(values)
        quantity = bool(unit) and array.dtype.kind == "f"
        table[name] = Quantity(array, Unit(unit), copy=False) if quantity else array
        table[name].info.description = description
    return table
