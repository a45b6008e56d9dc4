"""Where the telescopes looked during good time: sampled, and averaged as vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import astropy.units as u
import numpy as np
from astropy.coordinates import CartesianRepresentation, UnitSphericalRepresentation
from numpy.typing import NDArray

from sst1m.dl3.gti import Intervals
from sst1m.pointing import Pointing, horizontal_pointing

__all__ = ["SAMPLE_NS", "PointingTrack", "mean_direction", "separation_deg"]

#: Between two samples the sky turns by less than 0.05 deg.
SAMPLE_NS = 10_000_000_000


def mean_direction(
    lon_deg: NDArray[np.float64], lat_deg: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """
    Return longitude [0, 360) and latitude of the weighted mean of directions, averaged as vectors [deg].

    Parameters
    ----------
    lon_deg, lat_deg : ndarray, shape=(n_directions,)
        [deg].
    weight : ndarray, shape=(n_directions,)
        Not all zero.
    """
    mean = CartesianRepresentation(np.average(_unit_vectors(lon_deg, lat_deg), axis=1, weights=weight))
    sphere = mean.represent_as(UnitSphericalRepresentation)
    return float(sphere.lon.wrap_at(360 * u.deg).deg) % 360.0, float(sphere.lat.deg)


def _unit_vectors(lon_deg: NDArray[np.float64], lat_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return directions as vectors, shape=(3, n_directions)."""
    sphere = UnitSphericalRepresentation(lon_deg * u.deg, lat_deg * u.deg)
    return np.asarray(sphere.to_cartesian().xyz.value, dtype=np.float64)


def separation_deg(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Return the angle between two directions, each longitude and latitude [deg]."""
    (lon1, lat1), (lon2, lat2) = np.radians(first), np.radians(second)
    # Vincenty's formula, exact for small angles and at the poles
    delta = lon2 - lon1
    across = np.cos(lat2) * np.sin(delta)
    along = np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(delta)
    towards = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(delta)
    return float(np.degrees(np.arctan2(np.hypot(across, along), towards)))


@dataclass(frozen=True, eq=False)
class PointingTrack:
    """
    Samples of the optical axis during good time.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_samples,)
        [ns TAI since 1970].
    weight_s : ndarray, shape=(n_samples,)
        Time that a sample stands for [s].
    ra_deg, dec_deg : ndarray, shape=(n_samples,)
        ICRS [deg].
    az_deg, alt_deg : ndarray, shape=(n_samples,)
        Azimuth from north over east, and altitude [deg].
    """

    time_ns: NDArray[np.int64]
    weight_s: NDArray[np.float64]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    az_deg: NDArray[np.float64]
    alt_deg: NDArray[np.float64]

    @classmethod
    def following(cls, ra_deg: float, dec_deg: float, tel_id: int, good_time: Intervals) -> Self:
        """Return the track of a telescope that follows a fixed ICRS direction [deg]."""
        time_ns, weight_s = good_time.samples(SAMPLE_NS)
        azimuth, altitude = horizontal_pointing(Pointing(ra_deg, dec_deg, "header"), tel_id, time_ns)
        fixed = np.full(len(time_ns), ra_deg), np.full(len(time_ns), dec_deg)
        return cls(time_ns, weight_s, *fixed, np.degrees(azimuth), np.degrees(altitude))

    @classmethod
    def joined(cls, parts: Sequence["PointingTrack"]) -> Self:
        """Return the samples of several tracks in the order of time."""
        order = np.argsort(np.concatenate([part.time_ns for part in parts]), kind="stable")
        names = ("time_ns", "weight_s", "ra_deg", "dec_deg", "az_deg", "alt_deg")
        return cls(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in names))

    def during(self, good_time: Intervals) -> Self:
        """Return the samples in some good time, whose intervals are among those of the track."""
        inside = good_time.contains(self.time_ns)
        names = ("time_ns", "weight_s", "ra_deg", "dec_deg", "az_deg", "alt_deg")
        return type(self)(*(getattr(self, name)[inside] for name in names))

    def distance_deg(
        self, time_ns: NDArray[np.int64], azimuth_deg: NDArray[np.float64], altitude_deg: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how far horizontal directions are from the track, straight between its samples [deg]."""
        seconds = (time_ns - self.time_ns[0]) / 1e9
        samples = (self.time_ns - self.time_ns[0]) / 1e9
        axis = [np.interp(seconds, samples, part) for part in _unit_vectors(self.az_deg, self.alt_deg)]
        axis /= np.linalg.norm(axis, axis=0)
        chord = np.linalg.norm(axis - _unit_vectors(azimuth_deg, altitude_deg), axis=0)
        return np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1.0)))

    @property
    def equatorial(self) -> tuple[float, float]:
        """Mean right ascension and declination [deg]."""
        return mean_direction(self.ra_deg, self.dec_deg, self.weight_s)

    @property
    def horizontal(self) -> tuple[float, float]:
        """Mean azimuth and altitude [deg]."""
        return mean_direction(self.az_deg, self.alt_deg, self.weight_s)

    @property
    def sec_zenith(self) -> NDArray[np.float64]:
        """1 / cos(zenith angle) of each sample: the air mass that threshold and responses scale with."""
        return 1.0 / np.sin(np.radians(self.alt_deg))
