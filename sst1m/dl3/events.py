"""The tables of a photon list: events, good time intervals, pointing (GADF, events)."""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from pyirf.coordinates import gadf_fov_coords_lon_lat

from sst1m.dl3.gti import Intervals
from sst1m.dl3.header import HDU_CLASS, TELESCOPES, Cards, place_cards, time_cards, update_header
from sst1m.dl3.names import Dl3Setup
from sst1m.dl3.pointing import PointingTrack
from sst1m.times import ns_to_gadf_seconds

__all__ = ["events_hdu", "gti_hdu", "pointing_hdu"]


def events_hdu(events: QTable, cards: Cards, setup: Dl3Setup) -> fits.BinTableHDU:
    """
    Return the EVENTS table.

    Parameters
    ----------
    events : astropy.table.QTable
        Columns of DL2 (see `ReconstructedEvents`), in the order of time.
    cards : Cards
        From `observation_cards`.
    setup : {"cs1", "cs2", "stereo"}
        Telescopes.

    Notes
    -----
    An event is identified by RUN_ID and EVENT_ID together: numbers of events begin anew with each run.
    DETX and DETY are longitude and latitude in the field of view as GADF (general/coordinates) defines them
    for the alignment ALTAZ: DETX grows against azimuth, DETY with altitude.
    """
    pointing = events["true_az_tel"], events["true_alt_tel"]
    lon, lat = gadf_fov_coords_lon_lat(events["reco_az"], events["reco_alt"], *pointing)
    table = QTable(
        {
            "EVENT_ID": np.asarray(events["event_id"], dtype=np.int64),
            "TIME": ns_to_gadf_seconds(np.asarray(events["time_ns"])) * u.s,
            "RA": _degrees(events["reco_ra"]) % (360 * u.deg),
            "DEC": _degrees(events["reco_dec"]),
            "ENERGY": u.Quantity(events["reco_energy"], dtype=np.float64).to(u.TeV),
            "GAMMANESS": np.asarray(events["gammaness"], dtype=np.float64),
            "MULTIP": np.full(len(events), len(TELESCOPES[setup]), dtype=np.int16),
            "ALT": _degrees(events["reco_alt"]),
            "AZ": _degrees(events["reco_az"]) % (360 * u.deg),
            "DETX": _degrees(lon),
            "DETY": _degrees(lat),
            "RUN_ID": np.asarray(events["obs_id"], dtype=np.int64),
        }
    )
    return _table_hdu(table, "EVENTS", cards)


def gti_hdu(good_time: Intervals, setup: Dl3Setup) -> fits.BinTableHDU:
    """Return the GTI table: one row per interval."""
    start, stop = ns_to_gadf_seconds(good_time.edges).T * u.s
    return _table_hdu(QTable({"START": start, "STOP": stop}), "GTI", time_cards() | place_cards(setup))


def pointing_hdu(track: PointingTrack, setup: Dl3Setup) -> fits.BinTableHDU:
    """Return the POINTING table: where the telescopes looked, at least once in ten seconds of good time."""
    table = QTable(
        {
            "TIME": ns_to_gadf_seconds(track.time_ns) * u.s,
            "RA_PNT": track.ra_deg * u.deg,
            "DEC_PNT": track.dec_deg * u.deg,
            "ALT_PNT": track.alt_deg * u.deg,
            "AZ_PNT": track.az_deg * u.deg,
        }
    )
    return _table_hdu(table, "POINTING", time_cards() | place_cards(setup))


def _degrees(angle: u.Quantity) -> u.Quantity:
    return u.Quantity(angle, dtype=np.float64).to(u.deg)


def _table_hdu(table: QTable, name: str, cards: Cards) -> fits.BinTableHDU:
    hdu = fits.BinTableHDU(table, name=name)
    update_header(hdu.header, HDU_CLASS | {"HDUCLAS1": (name, "")} | cards)
    return hdu
