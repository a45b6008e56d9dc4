"""The two telescopes: where they stand, what they look like, how they are numbered."""

from functools import cache

import astropy.units as u
import numpy as np
from astropy.coordinates import EarthLocation
from ctapipe.instrument import OpticsDescription, SubarrayDescription, TelescopeDescription
from ctapipe.instrument.optics import ReflectorShape, SizeType

from .camera import EFFECTIVE_FOCAL_LENGTH, camera_description

__all__ = ["EQUIVALENT_FOCAL_LENGTH", "TEL_IDS", "sst1m_subarray", "telescope_location"]

TEL_IDS = (21, 22)
EQUIVALENT_FOCAL_LENGTH = 5.6 * u.m
REFERENCE_LOCATION = EarthLocation.from_geodetic(
    lon=14.7825010 * u.deg, lat=49.9124420 * u.deg, height=511.195 * u.m
)
_POSITIONS = {21: [-71.38, -30.43, -1.43] * u.m, 22: [71.38, 30.43, 1.42] * u.m}
_GEODETIC = {21: (14.782924, 49.911800, 510.0), 22: (14.782078, 49.913084, 510.0)}


def telescope_location(tel_id: int) -> EarthLocation:
    """Return the surveyed geodetic position of telescope 21 or 22."""
    lon, lat, height = _GEODETIC[tel_id]
    return EarthLocation.from_geodetic(lon=lon * u.deg, lat=lat * u.deg, height=height * u.m)


def _optics() -> OpticsDescription:
    return OpticsDescription(
        name="1M",
        size_type=SizeType.SST,
        reflector_shape=ReflectorShape.DAVIES_COTTON,
        n_mirrors=1,
        n_mirror_tiles=18,
        mirror_area=9.41809 * u.m**2,
        equivalent_focal_length=EQUIVALENT_FOCAL_LENGTH,
        effective_focal_length=EFFECTIVE_FOCAL_LENGTH,
    )


@cache
def sst1m_subarray() -> SubarrayDescription:
    """
    Return the array of telescopes 21 and 22 at Ondrejov, 155.2 m apart.

    Notes
    -----
    The camera frame carries the effective focal length, ctapipe's default choice
    (``EFFECTIVE``); the equivalent one stays in the optics.
    """
    telescopes = {
        tel_id: TelescopeDescription(name="1M", optics=_optics(), camera=camera_description(tel_id))
        for tel_id in TEL_IDS
    }
    return SubarrayDescription(
        name="SST1M",
        tel_positions={tel_id: np.asarray(_POSITIONS[tel_id].value) * u.m for tel_id in TEL_IDS},
        tel_descriptions=telescopes,
        reference_location=REFERENCE_LOCATION,
    )
