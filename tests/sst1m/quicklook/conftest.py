"""Stores of photon lists made from a known source, known background and known responses."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from gammapy.irf import PSF3D, Background2D, EffectiveAreaTable2D, EnergyDispersion2D, RadMax2D
from gammapy.maps import MapAxis
from scipy.stats import norm

from sst1m.quicklook.options import QuicklookOptions
from sst1m.sources import Source, read_sources

CRAB_AMPLITUDE, CRAB_INDEX = 2.83e-11, 2.62
AREA_M2 = 1e5
MIGRATION, PSF_DEG = 0.15, 0.1
RADIUS_DEG = 4.0
#: Noon of 2024-03-04 UTC in seconds since 2020-01-01 TT.
NOON_S = 131_716_800 + 69.184
_TIME = {"MJDREFI": 58849, "MJDREFF": 0.0, "TIMEUNIT": "s", "TIMESYS": "TT", "TIMEREF": "TOPOCENTER"}


@dataclass(frozen=True)
class Observed:
    """What a test wants of an observation."""

    obs_id: int = 1
    start_h: float = 7.0
    ontime_s: float = 3600.0
    deadc: float = 0.9
    east_deg: float = 0.7
    crab: float = 1.0
    background_hz: float = 1.5
    irfs: tuple[str, ...] = ("aeff", "edisp", "psf", "bkg")
    rad_max_deg: float | tuple[float, float] | None = None
    simulated: bool = False
    telescope: str = "SST1M_stereo"
    threshold_tev: float | None = None

    @property
    def pointing(self) -> SkyCoord:
        return SkyCoord(83.63308, 22.0145, unit="deg").directional_offset_by(
            np.sign(self.east_deg) * 90 * u.deg, abs(self.east_deg) * u.deg
        )


def _true_axis() -> MapAxis:
    return MapAxis.from_energy_bounds(0.1, 300, 40, unit="TeV", name="energy_true")


def responses(observed: Observed) -> dict[str, fits.BinTableHDU]:
    """Return flat effective area, Gaussian energy dispersion and point spread, flat background."""
    point_like = observed.rad_max_deg is not None
    true, offset = _true_axis(), MapAxis.from_edges([0, 2, RADIUS_DEG] * u.deg, name="offset")
    migra = MapAxis.from_edges(np.linspace(0.2, 2, 61), name="migra")
    pdf = norm.pdf(migra.center, 1, MIGRATION)
    pdf /= (pdf * np.diff(migra.edges)).sum()
    rad = MapAxis.from_edges(np.linspace(0, 1, 201) * u.deg, name="rad")
    density = np.exp(-0.5 * (rad.center.to_value("deg") / PSF_DEG) ** 2) / (2 * np.pi * PSF_DEG**2)
    energy = MapAxis.from_energy_bounds(0.1, 300, 20, unit="TeV")
    solid_angle = 2 * np.pi * (1 - np.cos(np.radians(RADIUS_DEG)))
    mev = energy.edges.to_value("MeV")
    # index -2.7 from 0.5 TeV on, as the events below
    share = np.maximum(mev[:-1], 5e5) ** -1.7 - np.maximum(mev[1:], 5e5) ** -1.7
    rate = observed.background_hz * share / 5e5**-1.7 / np.diff(mev) / solid_angle
    kind = {"is_pointlike": point_like}
    hdus = {
        "aeff": EffectiveAreaTable2D([true, offset], np.full((40, 2), AREA_M2), "m2", **kind),
        "edisp": EnergyDispersion2D(
            [true, migra, offset], np.tile(pdf[np.newaxis, :, np.newaxis], (40, 1, 2)), "", **kind
        ),
        "psf": PSF3D([true, offset, rad], np.tile(density, (40, 2, 1)), "deg-2"),
        "bkg": Background2D([energy, offset], np.tile(rate[:, np.newaxis], (1, 2)), "s-1 MeV-1 sr-1"),
    }
    tables = {name: hdus[name].to_table_hdu(format="gadf-dl3") for name in observed.irfs if name != "rad_max"}
    if isinstance(observed.rad_max_deg, tuple):
        reco = MapAxis.from_energy_edges([0.1, 3, 300] * u.TeV)
        radii = np.array(observed.rad_max_deg)[:, np.newaxis]
        axis = MapAxis.from_edges([0, RADIUS_DEG] * u.deg, name="offset")
        tables["rad_max"] = RadMax2D([reco, axis], radii, "deg").to_table_hdu(format="gadf-dl3")
    elif point_like:
        for name in ("aeff", "edisp"):
            tables[name].header["RAD_MAX"] = observed.rad_max_deg
    if observed.threshold_tev is not None:
        tables["aeff"].header["LO_THRES"] = observed.threshold_tev
        tables["aeff"].header["HI_THRES"] = 100.0
    return tables


def _power_law(rng, n, index, low) -> np.ndarray:
    return low * rng.uniform(size=n) ** (-1 / (index - 1))


def events(observed: Observed) -> tuple[np.ndarray, SkyCoord]:
    """Return energies [TeV] and directions: gammas of the Crab above 0.5 TeV, and flat background."""
    rng, low = np.random.default_rng(observed.obs_id), 0.5
    livetime = observed.ontime_s * observed.deadc
    flux = CRAB_AMPLITUDE * low ** (1 - CRAB_INDEX) / (CRAB_INDEX - 1)
    n_gamma = rng.poisson(observed.crab * flux * AREA_M2 * 1e4 * livetime)
    n_background = rng.poisson(observed.background_hz * livetime)
    gamma = _power_law(rng, n_gamma, CRAB_INDEX, low) * rng.normal(1, MIGRATION, n_gamma)
    spread = PSF_DEG * np.sqrt(-2 * np.log(rng.uniform(size=n_gamma)))
    crab = SkyCoord(83.63308, 22.0145, unit="deg")
    on = crab.directional_offset_by(rng.uniform(0, 360, n_gamma) * u.deg, spread * u.deg)
    radius = RADIUS_DEG * np.sqrt(rng.uniform(size=n_background))
    off = observed.pointing.directional_offset_by(rng.uniform(0, 360, n_background) * u.deg, radius * u.deg)
    ra, dec = (np.concatenate([getattr(on, name).deg, getattr(off, name).deg]) for name in ("ra", "dec"))
    energy = np.concatenate([gamma, _power_law(rng, n_background, 2.7, low)])
    return energy, SkyCoord(ra, dec, unit="deg")


def _write(path: Path, observed: Observed) -> dict[str, fits.BinTableHDU]:
    start = NOON_S + observed.start_h * 3600
    energy, place = events(observed)
    columns = {
        "EVENT_ID": np.arange(len(energy), dtype=np.int64),
        "TIME": start + np.linspace(0, observed.ontime_s, len(energy)),
        "RA": place.ra.deg,
        "DEC": place.dec.deg,
        "ENERGY": energy,
    }
    units = {"TIME": "s", "RA": "deg", "DEC": "deg", "ENERGY": "TeV"}
    table = Table(columns, units=units)
    hdus = {
        "events": fits.BinTableHDU(table, name="EVENTS"),
        "gti": fits.BinTableHDU(
            Table({"START": [start], "STOP": [start + observed.ontime_s]}, units={"START": "s", "STOP": "s"}),
            name="GTI",
        ),
    } | responses(observed)
    hdus["events"].header.update(
        _TIME
        | {"HDUCLASS": "GADF", "HDUCLAS1": "EVENTS", "OBS_ID": observed.obs_id, "OBS_MODE": "POINTING"}
        | {"TSTART": start, "TSTOP": start + observed.ontime_s, "ONTIME": observed.ontime_s}
        | {"LIVETIME": observed.ontime_s * observed.deadc, "DEADC": observed.deadc}
        | {"RA_PNT": observed.pointing.ra.deg, "DEC_PNT": observed.pointing.dec.deg}
        | {"RADECSYS": "ICRS", "EQUINOX": 2000.0, "OBJECT": "Crab", "TELESCOP": observed.telescope}
        | {"INSTRUME": "DigiCam", "GEOLON": 14.78, "GEOLAT": 49.91, "ALTITUDE": 510.0, "ZEN_PNT": 30.0}
        | {"SIMULAT": observed.simulated, "ALT_PNT": 60.0, "AZ_PNT": 180.0}
    )
    hdus["gti"].header.update(_TIME)
    for name, hdu in hdus.items():
        hdu.name = name.upper()
    fits.HDUList([fits.PrimaryHDU(), *hdus.values()]).writeto(path)
    return hdus


_CLASSES = {"events": "events", "gti": "gti", "aeff": "aeff_2d", "edisp": "edisp_2d", "psf": "psf_table"} | {
    "bkg": "bkg_2d",
    "rad_max": "rad_max_2d",
}


def write_store(directory: Path, *observations: Observed) -> Path:
    """Write photon lists and their index."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = []
    for observed in observations:
        name = f"obs_{observed.obs_id}.fits"
        for kind in _write(directory / name, observed):
            rows.append((observed.obs_id, kind, _CLASSES[kind], ".", name, kind.upper()))
    names = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
    Table(rows=rows, names=names).write(directory / "hdu-index.fits.gz", format="fits")
    table = Table(
        {
            "OBS_ID": [observed.obs_id for observed in observations],
            "RA_PNT": [observed.pointing.ra.deg for observed in observations] * u.deg,
            "DEC_PNT": [observed.pointing.dec.deg for observed in observations] * u.deg,
            "OBJECT": ["Crab" for _ in observations],
        }
    )
    table.write(directory / "obs-index.fits.gz", format="fits")
    return directory


@pytest.fixture(scope="session")
def make_store() -> Callable[..., Path]:
    """Return a function that writes a store."""
    return write_store


@pytest.fixture(scope="session")
def new_observation() -> type[Observed]:
    """Return the class that describes an observation."""
    return Observed


@pytest.fixture(scope="session")
def crab() -> Source:
    return read_sources().named("Crab")


@pytest.fixture(scope="session")
def crab_store(tmp_path_factory) -> Path:
    """Return a store of two nights: two wobbles in the first, one in the second."""
    first = Observed(simulated=True)
    others = replace(first, obs_id=2, start_h=8.1, east_deg=-0.7), replace(first, obs_id=3, start_h=31.0)
    return write_store(tmp_path_factory.mktemp("store"), first, *others)


@pytest.fixture(scope="session")
def options() -> type[QuicklookOptions]:
    return QuicklookOptions
