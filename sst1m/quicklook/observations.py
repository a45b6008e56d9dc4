"""Observations of a store that show a source, and why the others are not used."""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from gammapy.data import DataStore, EventList, Observation

from sst1m.checksum import check_unchanged
from sst1m.dl3.files import check_sums
from sst1m.errors import InputError
from sst1m.quicklook.options import QuicklookOptions
from sst1m.sources import Source

__all__ = ["Chosen", "Selection", "position_of", "select_observations"]

#: Observations whose good times share more than this overlap [s].
_OVERLAP_S = 1.0
#: Rounding of times in days, as gammapy has them: an event at the edge of good time is in it.
_EDGE_DAYS = 1e-10
_RESPONSES = ("aeff", "edisp", "psf", "bkg")
_GZIP = b"\x1f\x8b"
_INDICES = ("hdu-index.fits.gz", "obs-index.fits.gz")


@dataclass(frozen=True, eq=False)
class Chosen:
    """
    An observation that is used.

    Parameters
    ----------
    observation : gammapy.data.Observation
        Its events are those in good time and in the range of energies.
    pointing : SkyCoord
        Optical axis.
    facts : dict
        What it is, as JSON values.
    simulated : bool
        Its header says that it was made by a simulation.
    energy_tev : tuple of float
        Reconstructed energies [TeV] that are used: the wanted range within its own thresholds.
    has_thresholds : bool
        Whether its effective area declares thresholds.
    """

    observation: Observation
    pointing: SkyCoord
    facts: dict[str, Any]
    simulated: bool
    energy_tev: tuple[float, float]
    has_thresholds: bool

    @property
    def name(self) -> str:
        """OBS_ID."""
        return str(self.observation.obs_id)

    @property
    def offset_deg(self) -> float:
        """Angle from the optical axis to the source [deg]."""
        return float(self.facts["offset_deg"])

    @property
    def livetime_s(self) -> float:
        """Live time [s]."""
        return float(self.facts["livetime_s"])

    @property
    def night(self) -> str:
        """Date of the evening."""
        return str(self.facts["night"])

    @property
    def has_responses(self) -> bool:
        """Whether effective area and energy dispersion are there."""
        return {"aeff", "edisp"} <= set(self.observation.available_irfs)


@dataclass(frozen=True, eq=False)
class Selection:
    """
    Observations of a store.

    Parameters
    ----------
    used : tuple of Chosen
        In the order of time.
    left_out : tuple of dict
        ``obs_id`` and ``reason`` of the others.
    """

    used: tuple[Chosen, ...]
    left_out: tuple[dict[str, Any], ...]

    @property
    def simulated(self) -> bool:
        """Whether any observation was made by a simulation."""
        return any(chosen.simulated for chosen in self.used)

    @property
    def livetime_s(self) -> float:
        """Sum of live times [s]."""
        return sum(chosen.livetime_s for chosen in self.used)


def position_of(source: Source) -> SkyCoord:
    """Return the position of a source."""
    return SkyCoord(source.ra_deg, source.dec_deg, unit="deg", frame="icrs")


def select_observations(index_dir: Path, source: Source, options: QuicklookOptions) -> Selection:
    """
    Return the observations that point near a source.

    Parameters
    ----------
    index_dir : Path
        Directory of a GADF store, with both index files.
    source : Source
        What is looked at.
    options : QuicklookOptions
        Largest offset, telescopes, range of energies.

    Raises
    ------
    InputError
        It is no store, no observation is left, or observations overlap in time.
    """
    store = _open(index_dir)
    table, left_out = store.obs_table, []
    pointing = SkyCoord(table["RA_PNT"], table["DEC_PNT"], unit="deg", frame="icrs")
    offsets = pointing.separation(position_of(source)).deg
    used = []
    for obs_id, offset in zip(np.asarray(table["OBS_ID"]).tolist(), offsets.tolist(), strict=True):
        found = _choose(store, obs_id, offset, options)
        if isinstance(found, Chosen):
            used.append(found)
        else:
            left_out.append({"obs_id": obs_id, "reason": found})
    if not used:
        raise InputError(_nothing_left(index_dir, source, left_out))
    used.sort(key=lambda chosen: (chosen.observation.tstart.tt.mjd, chosen.name))
    _refuse_overlap(index_dir, used)
    return Selection(tuple(used), tuple(left_out))


def _open(index_dir: Path) -> DataStore:
    for name in _INDICES:
        if not (index_dir / name).is_file():
            raise InputError(
                f"{index_dir}: has no {name}; give the directory of a GADF store, or make its index with "
                "'sst1m index'"
            )
        _check_packed(index_dir / name)
    try:
        store = DataStore.from_dir(index_dir)
        missing = {"OBS_ID", "RA_PNT", "DEC_PNT"} - set(store.obs_table.colnames)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index_dir}: its index cannot be read: {error}; make it again") from error
    if missing:
        raise InputError(f"{index_dir}: its obs-index lacks {', '.join(sorted(missing))}; make it again")
    return store


def _check_packed(path: Path) -> None:
    """Read a gzip file to its end, where its checksum stands: astropy stops where it has what it wants."""
    try:
        check_unchanged(path)
        with path.open("rb") as file:
            if file.read(len(_GZIP)) != _GZIP:
                return
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}; make the index again") from error


def _choose(store: DataStore, obs_id: int, offset: float, options: QuicklookOptions) -> Chosen | str:
    """Return the observation, or why it is not used."""
    if not offset <= options.max_offset_deg:
        return f"points {offset:.2f} deg away from the source (at most {options.max_offset_deg:g} deg)"
    available = {kind for kind in ("events", "gti") if store.hdu_table.hdu_location(obs_id, kind, False)}
    if missing := {"events", "gti"} - available:
        return f"the index names no {' and no '.join(sorted(missing))}"
    kinds = ("events", "gti", *_RESPONSES)
    locations = [store.hdu_table.hdu_location(obs_id, kind, False) for kind in kinds]
    for path in sorted({location.path() for location in locations if location}):
        check_sums(path)
    place = locations[0].path()
    header = _header(store, obs_id)
    if reason := _unusable(header, options):
        return reason
    try:
        observation = store.obs(obs_id, required_irf=[])
        gti, events = observation.gti, observation.events
        if gti is None or events is None:
            raise KeyError("events or good time are not where the index says")
        livetime = float(observation.observation_live_time_duration.to_value("s"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place}: observation {obs_id} cannot be read: {error}; make it again") from error
    if len(gti.table) == 0 or livetime <= 0:
        return "has no good time"
    _load_responses(observation, place)
    energy_tev, has_thresholds = _energy_range(observation, options)
    if energy_tev[0] >= energy_tev[1]:
        return f"its energy thresholds ({energy_tev[0]:g} TeV, {energy_tev[1]:g} TeV) leave nothing"
    observation.events = _good_events(events, gti, energy_tev)
    return Chosen(
        observation=observation,
        pointing=observation.get_pointing_icrs(observation.tmid),
        facts=_facts(observation, header, offset, livetime),
        simulated=bool(header.get("SIMULAT", False)),
        energy_tev=energy_tev,
        has_thresholds=has_thresholds,
    )


def _load_responses(observation: Observation, place: Path) -> None:
    """Keep the responses in memory: gammapy would read a file at each use, and only log what it lacks."""
    for name in observation.available_irfs:
        value = getattr(observation, name)
        if value is None:
            raise InputError(
                f"{place}: observation {observation.obs_id} lacks the {name} that the index names; make its "
                "file or the index again"
            )
        if name in _RESPONSES:
            setattr(observation, name, value)


def _header(store: DataStore, obs_id: int) -> fits.Header:
    location = store.hdu_table.hdu_location(obs_id, "events")
    path = location.path()
    try:
        return fits.getheader(path, location.hdu_name)
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path}: events of observation {obs_id} cannot be read: {error}; make file or index again"
        ) from error


def _unusable(header: fits.Header, options: QuicklookOptions) -> str | None:
    telescope = str(header.get("TELESCOP", "")).strip()
    if options.telescope is not None and telescope != options.telescope:
        return f"is of {telescope or 'an unnamed telescope'}, not of {options.telescope}"
    if str(header.get("OBS_MODE", "")).strip() in ("DRIFT", "RASTER", "SLEWING", "SCAN"):
        return f"its mode is {header['OBS_MODE'].strip()}; only fixed pointings are used"
    if not isinstance(header.get("DEADC"), int | float):
        return "its header lacks DEADC, so its live time is not known"
    return None


def _energy_range(observation: Observation, options: QuicklookOptions) -> tuple[tuple[float, float], bool]:
    """Return the wanted range [TeV] within the thresholds of the effective area, and if it has any."""
    meta = observation.aeff.meta if "aeff" in observation.available_irfs else {}
    low, high = (_positive(meta.get(name)) for name in ("LO_THRES", "HI_THRES"))
    chosen = max(options.energy_min_tev, low or 0.0), min(options.energy_max_tev, high or float("inf"))
    return chosen, low is not None


def _positive(value: object) -> float | None:
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if np.isfinite(number) and number > 0 else None


def _good_events(events: EventList, gti: Any, energy_tev: tuple[float, float]) -> EventList:
    """Select by energy and by good time; gammapy's readers do not do the latter."""
    mjd, energy = events.time.tt.mjd, events.energy.to_value(u.TeV)
    inside = np.zeros(len(mjd), dtype=bool)
    for start, stop in zip(gti.time_start.tt.mjd, gti.time_stop.tt.mjd, strict=True):
        inside |= (mjd >= start - _EDGE_DAYS) & (mjd <= stop + _EDGE_DAYS)
    low, high = energy_tev
    return events.select_row_subset(inside & (energy >= low) & (energy < high))


def _facts(observation: Observation, header: fits.Header, offset: float, livetime_s: float) -> dict[str, Any]:
    start, stop = observation.gti.time_start[0], observation.gti.time_stop[-1]
    zenith = header.get("ZEN_PNT", None if (alt := header.get("ALT_PNT")) is None else 90 - float(alt))
    return {
        "obs_id": observation.obs_id,
        "object": str(header.get("OBJECT", "")).strip(),
        "telescope": str(header.get("TELESCOP", "")).strip(),
        "night": _night(start, header.get("GEOLON", 0.0)),
        "start_utc": f"{start.utc.isot}Z",
        "stop_utc": f"{stop.utc.isot}Z",
        "offset_deg": offset,
        "zenith_deg": None if zenith is None else float(zenith),
        "livetime_s": livetime_s,
        "responses": sorted(observation.available_irfs),
    }


def _night(start: Time, longitude_deg: object) -> str:
    """Return the date of the evening: the day changes at local noon."""
    degrees = float(longitude_deg) if isinstance(longitude_deg, int | float) else 0.0
    return str((start.utc + (degrees / 15 - 12) * u.hour).to_value("iso", subfmt="date"))


def _nothing_left(index_dir: Path, source: Source, left_out: Sequence[dict[str, Any]]) -> str:
    if not left_out:
        return f"{index_dir}: the store is empty; export photon lists first"
    shown = "; ".join(f"{entry['obs_id']} {entry['reason']}" for entry in left_out[:3])
    more = f", and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return (
        f"{index_dir}: no observation of {source.name} (ra {source.ra_deg:g}, dec {source.dec_deg:g}) can be "
        f"used: {shown}{more}; check the source, or allow a larger offset"
    )


def _refuse_overlap(index_dir: Path, used: Sequence[Chosen]) -> None:
    """Refuse a store of several set-ups: the same showers would count more than once."""
    spans = []
    for chosen in used:
        gti = chosen.observation.gti
        pairs = zip(gti.time_start.tt.mjd, gti.time_stop.tt.mjd, strict=True)
        spans += [(start, stop, chosen) for start, stop in pairs]
    spans.sort(key=lambda span: span[:2])
    for (_, stop, one), (start, _, other) in zip(spans, spans[1:], strict=False):
        if (stop - start) * 86400 > _OVERLAP_S:
            raise InputError(
                f"{index_dir}: observations {one.name} ({one.facts['telescope']}) and {other.name} "
                f"({other.facts['telescope']}) overlap in time, so showers would count twice; choose one "
                "set-up with --telescope, or give a store of one set-up"
            )
