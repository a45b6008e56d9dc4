"""
Time: integer nanoseconds TAI inside, every conversion here.

An event's time is an ``int64`` that counts nanoseconds since 1970-01-01T00:00:00 TAI, the scale of
the White-Rabbit clock. UTC appears only in text for people and in the column ``local_time``.
"""

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

__all__ = [
    "GADF_TIME_HEADER",
    "WHITE_RABBIT_START_NS",
    "camera_clock_to_tai",
    "gadf_seconds_to_ns",
    "ns_to_ctao_high_res",
    "ns_to_gadf_seconds",
    "ns_to_time",
    "ns_to_utc_text",
    "ns_to_utc_unix",
    "tai_to_camera_clock",
    "time_to_ns",
    "utc_text_to_ns",
]

_NS = 1_000_000_000
_JD_1970 = 2440587.5
#: TAI - UTC since 2017-01-01, which covers every night on which the cameras took data.
_LEAP_SECONDS_NS = 37 * _NS

#: 2023-09-25T00:00:00 UTC in TAI nanoseconds: from here on the camera clock is disciplined by White Rabbit.
WHITE_RABBIT_START_NS = 1_695_600_037 * _NS

#: Time of photon lists: seconds of TT since 2020, of which a float64 resolves 30 ns (GADF, general/time).
#: Since 1970 it would be 240 ns. ``LOCAL`` means: no correction for the way of the light.
GADF_TIME_HEADER = {
    "MJDREFI": 58849,
    "MJDREFF": 0.0,
    "TIMEUNIT": "s",
    "TIMESYS": "TT",
    "TIMEREF": "LOCAL",
}
#: 2020-01-01T00:00:00 TT in TAI nanoseconds since 1970; TT - TAI = 32.184 s.
_GADF_REFERENCE_NS = (58849 - 40587) * 86400 * _NS - 32_184_000_000


def ns_to_time(time_ns: NDArray[np.int64] | int) -> Time:
    """Return astropy times, exact to the nanosecond, of TAI nanoseconds since 1970."""
    seconds, nanoseconds = np.divmod(np.asarray(time_ns, dtype=np.int64), _NS)
    return Time(seconds.astype(np.float64), nanoseconds / _NS, format="unix_tai", scale="tai")


def utc_text_to_ns(text: str) -> int:
    """Return TAI nanoseconds since 1970 of an ISO 8601 text in UTC; `ValueError` where it is none."""
    return time_to_ns(Time(text, scale="utc", format="isot"))


def time_to_ns(time: Time) -> int:
    """Return TAI nanoseconds since 1970 of one astropy time, of any scale."""
    tai = time.tai
    days = round(tai.jd1 - _JD_1970)
    rest = (tai.jd1 - _JD_1970 - days) + tai.jd2
    return days * 86400 * _NS + round(rest * 86400 * _NS)


def ns_to_utc_text(time_ns: int, precision: int = 3) -> str:
    """Return a time as ISO 8601 text in UTC, with ``precision`` digits of the second."""
    time = ns_to_time(int(time_ns)).utc
    time.precision = precision
    return str(time.isot)


def ns_to_utc_unix(time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return UTC unix seconds (without leap seconds, microsecond precision) of TAI nanoseconds."""
    return np.asarray(ns_to_time(time_ns).utc.unix, dtype=np.float64)


def ns_to_ctao_high_res(time_ns: NDArray[np.int64]) -> NDArray[np.uint32]:
    """
    Return the time stamps of the ctapipe data model.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_events,)
        TAI nanoseconds since 1970.

    Returns
    -------
    ndarray of uint32, shape=(n_events, 2)
        Seconds and quarter nanoseconds since 1970-01-01T00:00:00 TAI.
    """
    seconds, nanoseconds = np.divmod(np.asarray(time_ns, dtype=np.int64), _NS)
    return np.stack([seconds, 4 * nanoseconds], axis=-1).astype(np.uint32)


def ns_to_gadf_seconds(time_ns: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Return the seconds of `GADF_TIME_HEADER`, to 30 ns, of TAI nanoseconds since 1970."""
    seconds, nanoseconds = np.divmod(np.asarray(time_ns, dtype=np.int64) - _GADF_REFERENCE_NS, _NS)
    return seconds.astype(np.float64) + nanoseconds / _NS


def gadf_seconds_to_ns(seconds: NDArray[np.float64] | float) -> NDArray[np.int64]:
    """Return TAI nanoseconds since 1970, to 30 ns, of seconds of `GADF_TIME_HEADER`."""
    whole = np.floor(np.asarray(seconds, dtype=np.float64))
    nanoseconds = np.rint((np.asarray(seconds, dtype=np.float64) - whole) * _NS)
    return whole.astype(np.int64) * _NS + nanoseconds.astype(np.int64) + _GADF_REFERENCE_NS


def camera_clock_to_tai(clock_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    Return TAI nanoseconds of the counts that a camera wrote into its raw file.

    Notes
    -----
    Since `WHITE_RABBIT_START_NS` the clock counts TAI. Before, it counted UTC: in the file of
    2018-08-22 the first event's count, read as UTC, lies 0.3 s before the second in which the
    header says that the file was opened; read as TAI it would lie 37 s before.
    """
    clock = np.asarray(clock_ns, dtype=np.int64)
    counts_utc = (clock > 0) & (clock < WHITE_RABBIT_START_NS - _LEAP_SECONDS_NS)
    return np.where(counts_utc, clock + _LEAP_SECONDS_NS, clock)


def tai_to_camera_clock(time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts that a camera would have written at times in TAI nanoseconds."""
    time = np.asarray(time_ns, dtype=np.int64)
    counts_utc = (time > _LEAP_SECONDS_NS) & (time < WHITE_RABBIT_START_NS)
    return np.where(counts_utc, time - _LEAP_SECONDS_NS, time)
