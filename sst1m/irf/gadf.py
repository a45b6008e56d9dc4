"""Responses as FITS files in the format of GADF v0.2, written and read; nothing else knows its columns."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import astropy.units as u
import numpy as np
import pyirf
from astropy.io import fits
from astropy.table import QTable
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray
from pyirf.io import (
    create_aeff2d_hdu,
    create_background_2d_hdu,
    create_energy_dispersion_hdu,
    create_psf_table_hdu,
    create_rad_max_hdu,
)

from .. import __version__
from ..checkpoint import committed
from ..errors import UnreadableError
from ..events import SETUPS
from ..io.damage import explained_damage
from ..nodes import Node
from ..provenance import utc_now
from .bins import IrfBins
from .cuts import GammanessCuts
from .responses import BACKGROUND_UNIT, MAKING_CARDS, IrfSet, energy_threshold

__all__ = ["COMPONENTS", "component_hdus", "cut_hdu", "read_irfs", "write_irfs"]

#: Names of the four components, in the order of the file.
COMPONENTS = ("EFFECTIVE AREA", "POINT SPREAD FUNCTION", "ENERGY DISPERSION", "BACKGROUND")
_RAD_MAX = "RAD_MAX"
_CUTS = "GH_CUTS"

Cards = Mapping[str, tuple[object, str]]


def component_hdus(irf: IrfSet, extra: Cards | None = None) -> list[fits.BinTableHDU]:
    """
    Return the components of a response as HDUs.

    Parameters
    ----------
    irf : IrfSet
        The response.
    extra : mapping of str to (value, comment), optional
        More cards for each header.

    Returns
    -------
    list of BinTableHDU
        Effective area, PSF (not if point-like), energy dispersion, background; a point-like response has
        the radius of its direction cut last.
    """
    bins, like = irf.bins, {"point_like": irf.point_like}
    offset, energy = bins.fov_offset, bins.energy_true
    area = irf.effective_area * u.m**2
    hdus = [create_aeff2d_hdu(area, energy, offset, extname=COMPONENTS[0], **like)]
    if irf.psf is not None:
        psf = irf.psf / u.sr
        hdus.append(create_psf_table_hdu(psf, energy, bins.source_offset, offset, extname=COMPONENTS[1]))
    dispersion = (irf.energy_dispersion, bins.energy_dispersion, bins.migration, offset)
    hdus.append(create_energy_dispersion_hdu(*dispersion, extname=COMPONENTS[2], **like))
    background = (irf.background * BACKGROUND_UNIT, bins.energy_reco, bins.background_offset)
    hdus.append(create_background_2d_hdu(*background, extname=COMPONENTS[3]))
    if irf.rad_max_deg is not None:
        radius = np.full((len(bins.energy_reco) - 1, len(offset) - 1), irf.rad_max_deg) * u.deg
        hdus.append(create_rad_max_hdu(radius, bins.energy_reco, offset, extname=_RAD_MAX))
    for hdu in hdus:
        _add_cards(hdu.header, {**_cards(irf), **(extra or {})})
    return hdus


def _add_cards(header: fits.Header, cards: Cards) -> None:
    for name, (value, comment) in cards.items():
        header[name] = (value, comment)


def _cards(irf: IrfSet) -> Cards:
    low, high = energy_threshold(irf.effective_area, irf.bins)
    cuts = irf.cuts
    cards = {
        "CREATOR": (f"sst1m {__version__} (pyirf {pyirf.__version__})", ""),
        "DATE": (utc_now().removesuffix("Z"), "UTC"),
        "ORIGIN": ("SST-1M", ""),
        "TELESCOP": (f"SST1M_{irf.setup}", ""),
        "INSTRUME": ("DigiCam", ""),
        "LO_THRES": (low, "[TeV] 10 % of the largest effective area"),
        "HI_THRES": (high, "[TeV]"),
        "NODE": (str(irf.node), "zenith, azimuth and night sky"),
        "ZD": (float(irf.node.zenith_deg), "[deg] zenith angle of the node"),
        "AZ": (float(irf.node.azimuth_deg % 360), "[deg] azimuth of the node, from north over east"),
        "NSB": (float(irf.node.nsb_mhz), "[MHz] night sky per pixel of the node"),
        "GHMETH": (cuts.method, "choice of the gammaness cut"),
        "GHTAG": (cuts.tag, "gammaness cut in names of files"),
        "PSFNRAD": (irf.bins.n_source_offset, "configured PSF bins; wide ones follow"),
    }
    if cuts.value is not None:
        cards["GHCUT"] = (cuts.value, "gammaness above is gamma-like")
    if cuts.efficiency is not None:
        cards["GHEFF"] = (cuts.efficiency, "fraction of gammas that the cut keeps")
    if cuts.event_class is not None:
        cards["EVCLASS"] = (cuts.event_class, "only events of this class, 1 the best")
    if irf.rad_max_deg is not None:
        cards["RAD_MAX"] = (irf.rad_max_deg, "[deg] radius of the direction cut")
    return {**cards, **{name: (value, MAKING_CARDS[name]) for name, value in irf.making.items()}}


def cut_hdu(cuts: GammanessCuts) -> fits.BinTableHDU | None:
    """Return the energy-dependent cut that a response was made with; None for a global one."""
    if cuts.table is None:
        return None
    return fits.BinTableHDU(QTable(cuts.table, meta={}), name=_CUTS)


def write_irfs(irf: IrfSet, path: Path, *, side_files: Mapping | None = None) -> None:
    """
    Write a response; the file appears when it is complete and reads back.

    Parameters
    ----------
    irf : IrfSet
        The response.
    path : Path
        FITS file.
    side_files : mapping of Path to callable, optional
        Content of files beside it (see `committed`).

    Raises
    ------
    DataQualityError
        If the response is impossible or not normalised.
    OutputError
        If it cannot be written.
    """
    irf.check(str(path))
    hdus = [fits.PrimaryHDU(), *component_hdus(irf)]
    _add_cards(hdus[0].header, _cards(irf))
    if (cuts := cut_hdu(irf.cuts)) is not None:
        hdus.append(cuts)
    with committed(path, validate=read_irfs, side_files=side_files) as part:
        fits.HDUList(hdus).writeto(part, checksum=True)


def read_irfs(path: Path) -> IrfSet:
    """
    Read a response that this pipeline wrote, and check it.

    Raises
    ------
    InputError
        If it is missing, damaged, or has not all components.
    DataQualityError
        If a component is impossible or not normalised.
    """
    if not path.exists():
        raise UnreadableError(f"{path}: no such file of instrument responses; make it or check path and disk")
    with explained_damage(path, "file of instrument responses"), warnings.catch_warnings():
        # A checksum that differs, or a header that astropy mends by a guess, is a warning to astropy.
        warnings.simplefilter("error", AstropyWarning)
        with fits.open(path, memmap=False, checksum=True) as hdus:
            irf = _irf_of(hdus)
    irf.check(str(path))
    return irf


def _irf_of(hdus: fits.HDUList) -> IrfSet:
    header = hdus[0].header
    area, dispersion, background = (hdus[COMPONENTS[i]].data for i in (0, 2, 3))
    psf = hdus[COMPONENTS[1]].data if COMPONENTS[1] in hdus else None
    radii = _edges(psf, "RAD") if psf is not None else np.zeros(0)
    bins = IrfBins(
        energy_true=_edges(area, "ENERG") * u.TeV,
        energy_dispersion=_edges(dispersion, "ENERG") * u.TeV,
        migration=_edges(dispersion, "MIGRA"),
        fov_offset=_edges(area, "THETA") * u.deg,
        source_offset=radii * u.deg,
        n_source_offset=int(header["PSFNRAD"]),
        energy_reco=_edges(background, "ENERG") * u.TeV,
        background_offset=_edges(background, "THETA") * u.deg,
    )
    setup = str(header["TELESCOP"]).removeprefix("SST1M_")
    if setup not in SETUPS:
        raise ValueError(f"TELESCOP is {header['TELESCOP']!r}")
    return IrfSet(
        effective_area=_values(area, "EFFAREA"),
        energy_dispersion=_values(dispersion, "MATRIX"),
        psf=None if psf is None else _values(psf, "RPSF"),
        background=_values(background, "BKG"),
        bins=bins,
        cuts=_cuts_of(hdus),
        node=Node.parse(header["NODE"]),
        setup=setup,
        making={name: header[name] for name in MAKING_CARDS if name in header},
        rad_max_deg=header.get("RAD_MAX"),
    )


def _edges(table: fits.FITS_rec, axis: str) -> NDArray[np.float64]:
    low, high = table[f"{axis}_LO"][0], table[f"{axis}_HI"][0]
    return np.append(low, high[-1]).astype(np.float64)


def _values(table: fits.FITS_rec, column: str) -> NDArray[np.float64]:
    # FITS counts its axes from the other end.
    return np.ascontiguousarray(table[column][0].T, dtype=np.float64)


def _cuts_of(hdus: fits.HDUList) -> GammanessCuts:
    header = hdus[0].header
    event_class = header.get("EVCLASS")
    if header["GHMETH"] == "global":
        return GammanessCuts("global", value=float(header["GHCUT"]), event_class=event_class)
    table, efficiency = QTable.read(hdus[_CUTS]), header.get("GHEFF")
    return GammanessCuts(header["GHMETH"], table=table, efficiency=efficiency, event_class=event_class)
