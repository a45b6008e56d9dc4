"""Header of a photon list: what GADF wants to know of an observation, and what became of its events."""

import re

import numpy as np
from astropy.coordinates import EarthLocation
from astropy.io import fits

from sst1m import __version__
from sst1m.dl3.blocks import Block, Photons
from sst1m.dl3.gti import Intervals
from sst1m.dl3.names import Dl3Setup, tel_setup_of
from sst1m.errors import Sst1mError
from sst1m.instrument import sst1m_subarray, telescope_location
from sst1m.sources import Source
from sst1m.times import GADF_TIME_HEADER, ns_to_gadf_seconds, ns_to_time

__all__ = [
    "HDU_CLASS",
    "TELESCOPES",
    "Cards",
    "observation_cards",
    "place_cards",
    "time_cards",
    "update_header",
]

Cards = dict[str, tuple[str | int | float | bool, str]]
"""FITS cards: value and comment by keyword."""

#: The lists have all that versions 0.2 and 0.3 of GADF ask for. The only published schema, by which readers
#: check, knows 0.2.
HDU_CLASS: Cards = {
    "HDUCLASS": ("GADF", "data format"),
    "HDUDOC": ("https://github.com/open-gamma-ray-astro/gamma-astro-data-formats", ""),
    "HDUVERS": ("0.2", "all that 0.3 asks for is there too"),
}

TELESCOPES: dict[Dl3Setup, tuple[int, ...]] = {"cs1": (21,), "cs2": (22,), "stereo": (21, 22)}


def update_header(header: fits.Header, cards: Cards) -> None:
    """Put cards into a header; what FITS cannot hold, such as line ends and accents, becomes ``?``."""
    for keyword, (value, comment) in cards.items():
        text = re.sub(r"[^ -~]", "?", value) if isinstance(value, str) else value
        header[keyword] = (text, comment) if comment else text


def time_cards() -> Cards:
    """Return what the numbers in the columns of time mean."""
    comments = {
        "MJDREFI": "2020-01-01T00:00:00 TT",
        "TIMESYS": "TT = TAI + 32.184 s",
        "TIMEREF": "times at the telescopes",
    }
    return {keyword: (value, comments.get(keyword, "")) for keyword, value in GADF_TIME_HEADER.items()}


def place_cards(setup: Dl3Setup) -> Cards:
    """Return where the telescopes stand: one of them, or the middle of the array."""
    telescopes = TELESCOPES[setup]
    place: EarthLocation = (
        telescope_location(telescopes[0]) if len(telescopes) == 1 else sst1m_subarray().reference_location
    )
    return {
        "GEOLON": (round(float(place.lon.deg), 7), "[deg] east"),
        "GEOLAT": (round(float(place.lat.deg), 7), "[deg] north"),
        "ALTITUDE": (round(float(place.height.to_value("m")), 3), "[m] above sea level"),
    }


def observation_cards(block: Block, target: Source, photons: Photons) -> Cards:
    """
    Return the cards of an observation.

    Parameters
    ----------
    block : Block
        Its runs.
    target : Source
        What was observed.
    photons : Photons
        Events in the list, and what became of the others.

    Raises
    ------
    Sst1mError
        The counts of the cuts do not add up.
    """
    good_time, track, telescopes = block.good_time, block.track, TELESCOPES[block.setup]
    (ra, dec), (azimuth, altitude) = track.equatorial, track.horizontal
    cards: Cards = {
        "OBS_ID": (block.obs_id, "date, run, telescopes (3 both), part if not 1"),
        "OBS_MODE": ("POINTING", ""),
        "OBJECT": (target.name, "target"),
        "RA_OBJ": (target.ra_deg, "[deg]"),
        "DEC_OBJ": (target.dec_deg, "[deg]"),
        "RA_PNT": (ra, "[deg] optical axis"),
        "DEC_PNT": (dec, "[deg]"),
        "ALT_PNT": (altitude, "[deg] mean"),
        "AZ_PNT": (azimuth, "[deg] mean, from north over east"),
        "ZEN_PNT": (90.0 - altitude, "[deg] mean"),
        "RADECSYS": ("ICRS", ""),
        "EQUINOX": (2000.0, ""),
        "FOVALIGN": ("ALTAZ", "DETX against azimuth, DETY with altitude"),
        "ORIGIN": ("SST-1M", ""),
        "TELESCOP": (f"SST1M_{tel_setup_of(block.setup)}", ""),
        "INSTRUME": ("DigiCam", ""),
        "N_TELS": (len(telescopes), ""),
        "TELLIST": (",".join(map(str, telescopes)), ""),
        "CREATOR": (f"sst1m {__version__}", ""),
        "SIMULAT": (block.simulated, "T: made by a simulation"),
    }
    cards |= place_cards(block.setup) | time_cards() | _exposure(block, good_time)
    return cards | _conditions(block) | _accounting(block, photons)


def _exposure(block: Block, good_time: Intervals) -> Cards:
    start, stop = ns_to_gadf_seconds(good_time.edges[[0, -1], [0, 1]]).tolist()
    dates = ns_to_time(np.array([good_time.start_ns, good_time.stop_ns])).tt
    dates.precision = 6
    methods = sorted({run.live.method for run in block.runs})
    return {
        "TSTART": (start, "[s]"),
        "TSTOP": (stop, "[s]"),
        "DATE-OBS": (str(dates[0].isot), "TT"),
        "DATE-END": (str(dates[1].isot), "TT"),
        "TELAPSE": (stop - start, "[s] from start to stop"),
        "ONTIME": (block.ontime_s, "[s] good time"),
        "LIVETIME": (block.ontime_s * block.deadc, "[s] ONTIME * DEADC"),
        "DEADC": (block.deadc, "measured live fraction of the good time"),
        "DEADCERR": (block.deadc_error, "its standard error"),
        "DEADCMET": (methods[0] if len(methods) == 1 else f"{methods[0]}, and alike", ""),
    }


def _conditions(block: Block) -> Cards:
    sky = block.nsb_mhz
    cards: Cards = {
        "NSBLEVEL": (block.node.nsb_mhz if sky is None else sky, "[MHz per pixel] night sky"),
        "NSBMEAS": (sky is not None, "F: not measured, taken from the models"),
        "RFNODE": (str(block.node), "node of the models"),
        "ANA_VER": (__version__, "version of this package"),
    }
    return cards


def _accounting(block: Block, photons: Photons) -> Cards:
    """Return how many events there were, and which cut took which number of them."""
    removed, n_written = photons.removed, len(photons.events)
    if block.n_dl2 - sum(removed.values()) != n_written:
        raise Sst1mError(
            f"observation {block.obs_id}: {block.n_dl2} events, {sum(removed.values())} cut, but {n_written} "
            "written; this is an error of the program, please report it"
        )
    cards: Cards = {"N_DL2": (block.n_dl2, "events in the DL2 files")}
    for number, (name, count) in enumerate(removed.items(), start=1):
        cards[f"CUT{number}"] = (name, "")
        cards[f"NCUT{number}"] = (count, f"events removed by CUT{number}")
    cards["N_WRITE"] = (n_written, "events in this list")
    for number, run in enumerate(block.runs, start=1):
        cards[f"RUN{number}"] = (run.obs_id, "")
    return cards
