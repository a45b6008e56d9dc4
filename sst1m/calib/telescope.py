"""All constants that one run of one telescope is calibrated with."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import AnalysisConfig, DataConfig
from ..config.fields import telescope_key
from ..errors import ConfigError
from ..instrument import N_PIXELS, TEL_IDS
from .calibration_file import sha256_of
from .gains import load_pixel_calibration
from .modules import channel_of_pixel, swapped_modules_text
from .window import load_window_transmission

__all__ = ["TelescopeCalibration", "load_telescope_calibration"]

#: names of the files that are used today where the configuration says null
DEFAULT_FILES = {
    "telescope_calibration": {
        21: "averaged_calib_param_v2_2023_2024_tel1.h5",
        22: "averaged_calib_param_v2_2023_2024_tel2.h5",
    },
    "window_transmittance": {21: "corr_factor_1st_wdw.txt", 22: "corr_factor_2nd_wdw.txt"},
}


@dataclass(frozen=True)
class TelescopeCalibration:
    """
    Constants of one run of one telescope, all in the order of the camera's pixels.

    Attributes
    ----------
    tel_id : int
        21 or 22.
    dc_to_pe : ndarray of float64, shape=(n_pixels,)
        ADC sum of one photo-electron.
    bad : ndarray of bool, shape=(n_pixels,)
        Pixels that are interpolated in every event: those of the configuration's list (ids of pixels in the
        camera) and, if it says so, those whose calibration is not good (a property of the channel).
    window : ndarray of float64, shape=(n_pixels,)
        Relative transmission of the window.
    channel_of_pixel : ndarray of int64, shape=(n_pixels,)
        ``samples[:, channel_of_pixel]`` brings raw samples into this order; the others are in it.
    sources : dict of str to str
        sha256 by path, for the provenance.
    fingerprint : str
        sha256 of the constants themselves.
    """

    tel_id: int
    dc_to_pe: NDArray[np.float64]
    bad: NDArray[np.bool_]
    window: NDArray[np.float64]
    channel_of_pixel: NDArray[np.int64]
    sources: dict[str, str]
    fingerprint: str


def _calibration_path(config: DataConfig, section: str, tel_id: int, calibration_dir: Path | None) -> Path:
    """Return the file that the configuration names, or today's default in the site's directory."""
    key = f"{section}.{telescope_key(tel_id)}"
    named = getattr(config, section).of(tel_id)
    if named is None:
        if calibration_dir is None:
            raise ConfigError(
                f"{config.path or 'configuration'}: {key} is null and no calibration directory is given; "
                f"name the file under {key}, or give the directory of {DEFAULT_FILES[section][tel_id]}"
            )
        return Path(calibration_dir) / DEFAULT_FILES[section][tel_id]
    path = Path(named)
    if path.is_absolute():
        return path
    if config.path is None:
        raise ConfigError(
            f"{key}: '{named}' is relative, but this configuration is no file; give an absolute path"
        )
    return config.path.parent / path


def _fingerprint(tel_id: int, *arrays: NDArray[np.generic]) -> str:
    digest = hashlib.sha256(str(tel_id).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _bad_pixels(config: DataConfig, tel_id: int, calibrated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    bad = np.zeros(N_PIXELS, dtype=bool)
    bad[list(config.analysis.bad_pixels.of(tel_id))] = True
    if config.telescope_calibration.bad_calib_px_interpolation:
        bad |= ~calibrated
    return bad


def load_telescope_calibration(
    config: AnalysisConfig, tel_id: int, *, calibration_dir: str | Path | None, time_ns: int
) -> TelescopeCalibration:
    """
    Return the constants of one run, once for all its events.

    Parameters
    ----------
    config : DataConfig
        Names the files.
    tel_id : int
        21 or 22.
    calibration_dir : Path or None
        Where files lie that the configuration leaves ``null``.
    time_ns : int
        TAI nanoseconds since 1970 of the first event; decides about wrongly cabled modules.

    Raises
    ------
    ConfigError
        If a file is neither named nor to be found in a calibration directory.
    InputError
        If a file is missing or unusable.
    """
    if not isinstance(config, DataConfig):
        raise ConfigError(
            f"{config.path or 'configuration'}: is one of simulations; raw runs need one of data"
        )
    if tel_id not in TEL_IDS:
        raise ConfigError(f"telescope {tel_id} is not one of {TEL_IDS}; check the raw file's telescope id")
    directory = None if calibration_dir is None else Path(calibration_dir)
    gains = load_pixel_calibration(_calibration_path(config, "telescope_calibration", tel_id, directory))
    window_path = _calibration_path(config, "window_transmittance", tel_id, directory)
    window = load_window_transmission(window_path)
    channel = channel_of_pixel(tel_id, time_ns)
    dc_to_pe, window = gains.dc_to_pe[channel], window[channel]
    bad = _bad_pixels(config, tel_id, gains.good[channel])
    for array in (dc_to_pe, window, bad):
        array.setflags(write=False)
    return TelescopeCalibration(
        tel_id=tel_id,
        dc_to_pe=dc_to_pe,
        bad=bad,
        window=window,
        channel_of_pixel=channel,
        sources={
            str(gains.path): gains.sha256,
            str(window_path): sha256_of(window_path),
            "sst1m/resources/swapped_modules.json": hashlib.sha256(
                swapped_modules_text().encode()
            ).hexdigest(),
        },
        fingerprint=_fingerprint(tel_id, dc_to_pe, bad, window, channel),
    )
