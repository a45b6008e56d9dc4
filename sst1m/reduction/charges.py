"""Second half of the calibration: charges in ADC to images in photo-electrons."""

from dataclasses import dataclass

import numpy as np
from ctapipe.image.extractor import integration_correction
from numpy.typing import NDArray

from ..calib.telescope import TelescopeCalibration
from ..config import DataConfig
from ..image import CameraTables, interpolate_bad_pixels
from ..instrument import camera_readout
from .waveforms import ChargeBlock

__all__ = ["ChargeCalibrator", "ImageBlock"]


@dataclass(frozen=True)
class ImageBlock:
    """
    Calibrated images.

    Parameters
    ----------
    image : ndarray of float32, shape=(n_events, n_pixels)
        [p.e.]
    peak_time : ndarray of float32, shape=(n_events, n_pixels)
        [ns]
    bad : ndarray of bool, shape=(n_pixels,) or (n_events, n_pixels)
        Pixels whose own charge is not used, the same for all events or per event.
    saturated : tuple of ndarray of int64, shape=(n_pulses,)
        Event in the block and pixel of each saturated pulse.
    """

    image: NDArray[np.float32]
    peak_time: NDArray[np.float32]
    bad: NDArray[np.bool_]
    saturated: tuple[NDArray[np.int64], NDArray[np.int64]]

    @property
    def n_saturated(self) -> NDArray[np.int16]:
        """Number of saturated pixels of each event."""
        return np.bincount(self.saturated[0], minlength=len(self.image)).astype(np.int16)


class ChargeCalibrator:
    """
    Calibrates the charges of one run.

    Parameters
    ----------
    config : DataConfig
        Integration correction, treatment of bad pixels.
    calibration : TelescopeCalibration
        Constants of the run.
    tables : CameraTables
        The camera.

    Notes
    -----
    ``image = charge * c / dc_to_pe / drop / window`` with the integration correction ``c`` of the
    reference pulse. Bad pixels become the mean over their good neighbours after the window correction,
    since a neighbour's light says nothing about the window in front of the bad pixel. A saturated pulse
    brings its own integral, without ``c``.
    """

    def __init__(self, config: DataConfig, calibration: TelescopeCalibration, tables: CameraTables) -> None:
        section = config.CameraCalibrator
        self._interpolate = section.invalid_pixel_handler_type is not None
        self._dynamic = config.telescope_calibration.dynamic_dead_px_interpolation
        self._bad = calibration.bad
        self._tables = tables
        self._per_adc = (1 / (calibration.dc_to_pe * calibration.window)).astype(np.float32)
        self.integration_correction = 1.0
        if section.LocalPeakWindowSum.apply_integration_correction:
            self.integration_correction = _integration_correction(config, calibration.tel_id)

    def __call__(
        self,
        block: ChargeBlock,
        drop: NDArray[np.float64],
        dead: NDArray[np.bool_],
        row: NDArray[np.int64],
    ) -> ImageBlock:
        """
        Return the images of a block.

        Parameters
        ----------
        block : ChargeBlock
            Charges.
        drop : ndarray, shape=(n_states, 1) or (n_states, n_pixels)
            Voltage drop; where it is unknown (NaN) none is applied.
        dead : ndarray of bool, shape=(n_states, n_pixels)
            Pixels that hardly fluctuate.
        row : ndarray of int64, shape=(n_events,)
            State in force for each event.
        """
        per_adc = self.photoelectrons_per_adc(drop)
        image = np.take(per_adc * np.float32(self.integration_correction), row, axis=0)
        image *= block.charge
        peak_time = block.peak_time.copy()
        bad = self._bad_pixels(block, dead, row)
        if self._interpolate:
            interpolate_bad_pixels(image, peak_time, bad, self._tables)
        else:
            np.copyto(image, 0, where=bad)
        event, pixel = block.saturated.event, block.saturated.pixel
        good = ~np.broadcast_to(bad, image.shape)[event, pixel]
        event, pixel = event[good], pixel[good]
        image[event, pixel] = block.saturated.charge[good] * per_adc[row[event], pixel]
        peak_time[event, pixel] = block.saturated.peak_time[good]
        return ImageBlock(image, peak_time, bad, (event, pixel))

    def photoelectrons_per_adc(self, drop: NDArray[np.float64]) -> NDArray[np.float32]:
        """
        Return the photo-electrons of one ADC count above the baseline, integration correction aside.

        Parameters
        ----------
        drop : ndarray, shape=(n_states, 1) or (n_states, n_pixels)
            Voltage drop; where it is unknown (NaN) none is applied.

        Returns
        -------
        ndarray of float32, shape=(n_states, n_pixels)
        """
        return self._per_adc * (1 / np.where(np.isfinite(drop), drop, 1.0)).astype(np.float32)

    def _bad_pixels(
        self, block: ChargeBlock, dead: NDArray[np.bool_], row: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return bad pixels, shape=(n_pixels,) where they are the same for all events, else per event."""
        varying = block.missing.any() or (self._dynamic and (dead != dead[0]).any())
        if not varying:
            return self._bad | dead[0] if self._dynamic else self._bad
        bad = self._bad | block.missing
        return bad | dead[row] if self._dynamic else bad


def _integration_correction(config: DataConfig, tel_id: int) -> float:
    """Return by how much the window misses the reference pulse (ctapipe's definition)."""
    window, readout = config.CameraCalibrator.LocalPeakWindowSum, camera_readout(tel_id)
    correction = integration_correction(
        readout.reference_pulse_shape,
        readout.reference_pulse_sample_width.to_value("ns"),
        (1 / readout.sampling_rate).to_value("ns"),
        window.window_width,
        window.window_shift,
    )
    return float(correction[0])
