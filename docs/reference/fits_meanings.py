"""What the columns of photon lists mean; FITS has no place for it; checked to be whole."""

__all__ = ["CUT_MEANINGS", "FITS_MEANINGS"]

#: By table and column.
FITS_MEANINGS = {
    "EVENTS": {
        "EVENT_ID": "number of the event in its run; with RUN_ID it names the event",
        "TIME": "seconds of TT since 2020-01-01",
        "RA": "reconstructed right ascension, ICRS",
        "DEC": "reconstructed declination, ICRS",
        "ENERGY": "reconstructed energy",
        "GAMMANESS": "1: like a gamma ray, 0: like a proton",
        "MULTIP": "telescopes of the set-up: 1 or 2",
        "ALT": "reconstructed altitude",
        "AZ": "reconstructed azimuth, from north over east",
        "DETX": "field of view, GADF's longitude for the alignment ALTAZ: against azimuth",
        "DETY": "field of view, GADF's latitude: with altitude",
        "RUN_ID": "run of the event, YYYYMMDDNNNN",
    },
    "GTI": {
        "START": "begin of an interval of good time, TT since 2020-01-01",
        "STOP": "its end",
    },
    "POINTING": {
        "TIME": "seconds of TT since 2020-01-01",
        "RA_PNT": "right ascension of the optical axis, ICRS",
        "DEC_PNT": "declination of the optical axis, ICRS",
        "ALT_PNT": "altitude of the optical axis",
        "AZ_PNT": "azimuth of the optical axis, from north over east",
    },
}
#: Of the table ``gammaness_cuts`` and of ``GH_CUTS`` in photon lists and responses.
CUT_MEANINGS = {
    "low": "lower edge of the bin of reconstructed energy, inclusive",
    "high": "upper edge",
    "center": "centre of the bin",
    "cut": "events with this gammaness or more are kept; those outside all bins are not",
}
