"""Which cleaning cuts are in force: from the configuration and the pedestal events."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import AnalysisConfig
from ..image import CameraTables, CleaningOptions, clean_block

__all__ = ["CleanedBlock", "ImageCleaner", "PedestalImages"]


@dataclass(frozen=True)
class PedestalImages:
    """
    What the pedestal events say about the charges without light, one row per state of the sky.

    Parameters
    ----------
    mean, std : ndarray, shape=(n_rows, n_pixels)
        Of the integrated charges [p.e.].
    level : ndarray, shape=(n_rows,)
        Mean of `mean` over the camera, the level of the night-sky background [p.e.].
    """

    mean: NDArray[np.floating]
    std: NDArray[np.floating]
    level: NDArray[np.floating]


@dataclass(frozen=True)
class CleanedBlock:
    """
    The result of a cleaning.

    Parameters
    ----------
    mask : ndarray of bool, shape=(n_events, n_pixels)
        Pixels that hold light.
    raised_fraction : ndarray of float32, shape=(n_events,)
        Fraction of pixels whose picture threshold was raised above the constant one.
    """

    mask: NDArray[np.bool_]
    raised_fraction: NDArray[np.float32]


@dataclass(frozen=True)
class _Level:
    """Cuts from one level of background on."""

    start: float
    picture: float
    std_scaling: float
    options: CleaningOptions


def _sst_levels(config: AnalysisConfig, tel_id: int) -> list[_Level]:
    levels = config.ImageProcessor.ImageCleanerSST.telescope_defaults.of(tel_id)
    return [
        _Level(
            start=level.min_nsb_level,
            picture=level.picture_threshold_pe,
            std_scaling=level.stdev_scaling,
            options=CleaningOptions(
                boundary_threshold=level.boundary_threshold_pe,
                min_picture_neighbors=level.min_picture_neighbors,
                keep_isolated=level.keep_isolated,
                time_limit=level.time_limit_ns,
                min_time_neighbors=level.min_time_neighbors,
                only_main_island=level.only_main_island,
            ),
        )
        for level in levels
    ]


def _tailcuts_level(config: AnalysisConfig, tel_id: int) -> _Level:
    cuts = config.ImageProcessor.TailcutsImageCleaner
    options = CleaningOptions(
        boundary_threshold=cuts.value_of(cuts.boundary_threshold_pe, tel_id),
        min_picture_neighbors=int(cuts.value_of(cuts.min_picture_neighbors, tel_id)),
        time_limit=None,
        min_time_neighbors=0,
    )
    picture = cuts.value_of(cuts.picture_threshold_pe, tel_id)
    return _Level(start=0.0, picture=picture, std_scaling=0.0, options=options)


class ImageCleaner:
    """
    The cleaning of one telescope as its configuration says; it never changes during a run.

    Parameters
    ----------
    config : AnalysisConfig
        Of data or of simulations.
    tel_id : int
        Telescope, in the numbering of the configuration.
    tables : CameraTables
        The camera.
    """

    def __init__(self, config: AnalysisConfig, tel_id: int, tables: CameraTables) -> None:
        self._tables = tables
        self._follows_pedestals = False
        if config.ImageProcessor.image_cleaner_type == "TailcutsImageCleaner":
            self._levels = [_tailcuts_level(config, tel_id)]
        else:
            self._levels = _sst_levels(config, tel_id)
            self._follows_pedestals = config.kind == "data"

    def __call__(
        self,
        image: NDArray[np.float32],
        peak_time: NDArray[np.float32],
        pedestals: PedestalImages | None = None,
        row: NDArray[np.int64] | None = None,
    ) -> CleanedBlock:
        """
        Clean a block of images.

        Parameters
        ----------
        image, peak_time : ndarray of float32, shape=(n_events, n_pixels)
            [p.e.] and [ns].
        pedestals : PedestalImages, optional
            Raise the picture thresholds to ``mean + stdev_scaling * std`` and choose the level; without
            them the constant thresholds of the lowest level hold.
        row : ndarray of int64, shape=(n_events,), optional
            Row of `pedestals` in force for each event.
        """
        if pedestals is None or row is None or not self._follows_pedestals:
            level = self._levels[0]
            constant = np.full((1, image.shape[1]), level.picture, dtype=np.float32)
            mask = clean_block(image, peak_time, self._tables, level.options, constant)
            return CleanedBlock(mask, np.zeros(len(image), dtype=np.float32))
        return self._clean_by_level(image, peak_time, pedestals, np.asarray(row))

    def _clean_by_level(
        self,
        image: NDArray[np.float32],
        peak_time: NDArray[np.float32],
        pedestals: PedestalImages,
        row: NDArray[np.int64],
    ) -> CleanedBlock:
        """Clean the events of each background level with the cuts of that level."""
        starts = np.array([level.start for level in self._levels])
        in_force = np.maximum(np.searchsorted(starts, pedestals.level, side="right") - 1, 0)
        thresholds = np.empty(pedestals.mean.shape, dtype=np.float32)
        constant = np.empty(len(in_force))
        for number, level in enumerate(self._levels):
            chosen = in_force == number
            follow = pedestals.mean[chosen] + level.std_scaling * pedestals.std[chosen]
            # a pixel without pedestal charges (NaN) keeps the constant threshold
            thresholds[chosen] = np.fmax(follow, level.picture)
            constant[chosen] = level.picture
        mask = np.zeros(image.shape, dtype=bool)
        for number in np.unique(in_force[row]):
            events = np.flatnonzero(in_force[row] == number)
            options = self._levels[number].options
            whole = len(events) == len(image)
            charge, time = (image, peak_time) if whole else (image[events], peak_time[events])
            mask[events] = clean_block(charge, time, self._tables, options, thresholds, row[events])
        raised = (thresholds > constant[:, np.newaxis]).mean(axis=1, dtype=np.float32)
        return CleanedBlock(mask, raised[row])
