"""Configuration of the reduction R0 to DL1: calibration, extraction, cleaning, writing."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .fields import (
    AtLeastOne,
    Count,
    DataTelescopes,
    FilePath,
    McTelescopes,
    NonNegative,
    Number,
    PerTelescope,
    Positive,
    Section,
    WholeNumber,
)

__all__ = [
    "CameraCalibrator",
    "Coordinates",
    "DataImageProcessor",
    "DataNsbCalibrator",
    "ImageWriting",
    "ImageProcessor",
    "McImageProcessor",
    "McNsbCalibrator",
    "NsbCalibrator",
    "NsbLabel",
    "SstCleaningLevel",
    "TailcutsImageCleaner",
    "TelescopeCalibrationFiles",
    "WindowTransmittanceFiles",
]


class Coordinates(Section):
    """Geodetic position (WGS84)."""

    long_deg: Annotated[float, Field(ge=-180, le=180, description="longitude, east positive [deg]")]
    lat_deg: Annotated[float, Field(ge=-90, le=90, description="latitude [deg]")]
    height_m: Annotated[float, Field(ge=-500, le=10000, description="height above the ellipsoid [m]")]


class TelescopeCalibrationFiles(PerTelescope):
    """Dark-run calibration of the pixels."""

    tel_021: FilePath | None = Field(
        default=None, description="dark-run file; null: today's average of 2023-2024"
    )
    tel_022: FilePath | None = Field(
        default=None, description="dark-run file; null: today's average of 2023-2024"
    )
    bad_calib_px_interpolation: bool = Field(description="interpolate pixels whose calib_flag is not 1")
    dynamic_dead_px_interpolation: bool = Field(
        description="interpolate pixels whose pedestal samples fluctuate by less than 2.5 ADC"
    )


class WindowTransmittanceFiles(PerTelescope):
    """Transmission of the entrance window per pixel."""

    tel_021: FilePath | None = Field(
        default=None, description="window factors; null: corr_factor_1st_wdw.txt"
    )
    tel_022: FilePath | None = Field(
        default=None, description="window factors; null: corr_factor_2nd_wdw.txt"
    )


class LocalPeakWindowSum(Section):
    """Charge extraction around the highest sample of each pixel."""

    apply_integration_correction: bool = Field(description="correct for the pulse outside the window")
    window_shift: Annotated[WholeNumber, Field(ge=0, le=49)] = Field(
        description="samples before the peak [4 ns]"
    )
    window_width: Annotated[WholeNumber, Field(ge=1, le=50)] = Field(
        description="length of the window [4 ns]"
    )

    @model_validator(mode="after")
    def _peak_inside(self) -> Self:
        if self.window_shift >= self.window_width:
            raise ValueError(
                f"window_shift {self.window_shift} is not below window_width {self.window_width}: "
                "the window would not contain the peak"
            )
        return self


class CameraCalibrator(Section):
    """From calibrated waveforms to images."""

    image_extractor_type: Literal["LocalPeakWindowSum"] = Field(description="charge extraction")
    LocalPeakWindowSum: LocalPeakWindowSum
    invalid_pixel_handler_type: Literal["NeighborAverage"] | None = Field(
        description="bad pixels: mean of good neighbours; null: left at 0"
    )


class NsbCalibrator(Section):
    """Corrections for the night-sky background."""

    intensity_correction: PerTelescope


class DataNsbCalibrator(NsbCalibrator):
    """Corrections for the night-sky background in observed data."""

    apply_pixelwise_Vdrop_correction: bool = Field(description="voltage drop from each pixel's own pedestals")
    apply_global_Vdrop_correction: bool = Field(description="voltage drop from the median pixel")
    intensity_correction: DataTelescopes[
        Annotated[float, Field(gt=0, description="factor on the Hillas intensity; 1: none")]
    ]

    @property
    def voltage_drop(self) -> Literal["pixelwise", "global", "none"]:
        """How the voltage drop is corrected."""
        if self.apply_pixelwise_Vdrop_correction:
            return "pixelwise"
        return "global" if self.apply_global_Vdrop_correction else "none"

    @model_validator(mode="after")
    def _one_correction(self) -> Self:
        if self.apply_pixelwise_Vdrop_correction and self.apply_global_Vdrop_correction:
            raise ValueError(
                "apply_pixelwise_Vdrop_correction and apply_global_Vdrop_correction are both true; choose one"
            )
        return self


class McNsbCalibrator(NsbCalibrator):
    """Corrections for the night-sky background in simulations."""

    intensity_correction: McTelescopes[
        Annotated[float, Field(gt=0, description="factor on the Hillas intensity; 1: none")]
    ]
    mc_correction_for_PDE: bool = Field(description="divide by the PDE factor of the simulated NSB level")


TelescopeEntry = tuple[Literal["id"], WholeNumber, NonNegative]
CountEntry = tuple[Literal["id"], WholeNumber, Count]


class TailcutsImageCleaner(Section):
    """Two-threshold cleaning; each key is a list of ["id", telescope, value]."""

    picture_threshold_pe: tuple[TelescopeEntry, ...] = Field(description="picture threshold [p.e.]")
    boundary_threshold_pe: tuple[TelescopeEntry, ...] = Field(description="boundary threshold [p.e.]")
    min_picture_neighbors: tuple[CountEntry, ...] = Field(description="picture neighbours of a picture pixel")

    @staticmethod
    def value_of(entries: tuple[tuple[str, int, float], ...], tel_id: int) -> float:
        """Return the value of one telescope in a list of ``("id", tel_id, value)``."""
        return next(value for _, entry_id, value in entries if entry_id == tel_id)

    def telescope_lists(self) -> dict[str, tuple[tuple[str, int, float], ...]]:
        """Return the three lists by key."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @model_validator(mode="after")
    def _rising_thresholds(self) -> Self:
        boundary = {tel_id: value for _, tel_id, value in self.boundary_threshold_pe}
        for _, tel_id, picture in self.picture_threshold_pe:
            if boundary.get(tel_id, picture) > picture:
                raise ValueError(f"telescope {tel_id}: boundary threshold above picture threshold")
        return self


class SstCleaningLevel(Section):
    """Cleaning cuts from one level of night-sky background on."""

    min_nsb_level: NonNegative = Field(description="lowest mean pedestal charge of this level [p.e.]")
    stdev_scaling: NonNegative = Field(
        description="picture threshold >= pedestal mean + this many sigma; unused in MC"
    )
    picture_threshold_pe: NonNegative = Field(description="lowest picture threshold [p.e.]")
    boundary_threshold_pe: NonNegative = Field(description="boundary threshold [p.e.]")
    min_picture_neighbors: Count = Field(description="picture neighbours of a picture pixel")
    keep_isolated: bool = Field(description="keep picture pixels without neighbours")
    min_time_neighbors: Count = Field(description="neighbours in time that a pixel must keep")
    time_limit_ns: Positive = Field(description="largest time difference to a neighbour [ns]")
    only_main_island: bool = Field(description="keep the island with most pixels only")

    @model_validator(mode="after")
    def _rising_thresholds(self) -> Self:
        if self.boundary_threshold_pe > self.picture_threshold_pe:
            raise ValueError(
                f"boundary_threshold_pe {self.boundary_threshold_pe:g} is above "
                f"picture_threshold_pe {self.picture_threshold_pe:g}"
            )
        return self


def _rising_levels(levels: tuple[SstCleaningLevel, ...]) -> tuple[SstCleaningLevel, ...]:
    """Sort the levels, whose order in the file carries no meaning, and see that they cover every sky."""
    rising = tuple(sorted(levels, key=lambda level: level.min_nsb_level))
    starts = [level.min_nsb_level for level in rising]
    if len(set(starts)) != len(starts):
        raise ValueError(f"two levels begin at the same min_nsb_level ({starts})")
    if starts[0] != 0:
        raise ValueError(f"the lowest level begins at {starts[0]:g}; one level must begin at 0")
    return rising


CleaningLevels = Annotated[tuple[SstCleaningLevel, ...], Field(min_length=1), AfterValidator(_rising_levels)]


class ImageCleanerSST(Section):
    """Cleaning with thresholds that follow the pedestals, and a time coincidence of neighbours."""

    telescope_defaults: PerTelescope


class DataImageCleanerSST(ImageCleanerSST):
    """Cleaning of observed data."""

    min_number_pedestals: AtLeastOne = Field(description="pedestals that a block of a second cleaning needs")
    no_pedestal_fallback: Literal["constant_thresholds", "error"] = Field(
        default="constant_thresholds",
        description="new key; runs without pedestals: constant thresholds of the lowest level, or failure",
    )
    telescope_defaults: DataTelescopes[CleaningLevels]


class McImageCleanerSST(ImageCleanerSST):
    """Cleaning of simulations."""

    telescope_defaults: McTelescopes[CleaningLevels]


class ImageProcessor(Section):
    """Cleaning and parametrisation of images."""

    image_cleaner_type: Literal["ImageCleanerSST", "TailcutsImageCleaner"] = Field(
        description="cleaning in use"
    )
    use_telescope_frame: Literal[False] = Field(
        description="parameters are defined in the camera frame only [m]"
    )
    TailcutsImageCleaner: TailcutsImageCleaner
    ImageCleanerSST: ImageCleanerSST


class DataImageProcessor(ImageProcessor):
    """Cleaning and parametrisation of observed images."""

    ImageCleanerSST: DataImageCleanerSST


class McImageProcessor(ImageProcessor):
    """Cleaning and parametrisation of simulated images."""

    ImageCleanerSST: McImageCleanerSST


class ImageWriting(Section):
    """What a DL1 file stores beside the parameters."""

    write_images: Literal["none", "cleaned", "all"] = Field(
        default="all",
        description="new key; images in DL1: of no event, of events that survive the cleaning, of all events",
    )


def _label(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("give 'low', 'med', 'high' or a rate in MHz")
    if isinstance(value, str) and value not in ("low", "med", "high"):
        raise ValueError("give 'low', 'med', 'high' or a rate in MHz")
    return value


class NsbLabel(Section):
    """Name of a level of night-sky background."""

    mean_charge_bin_low: NonNegative = Field(description="lowest mean pedestal charge [p.e.]")
    nsb_rate: Annotated[str | Number, AfterValidator(_label)] = Field(
        description="label: low, med, high or a rate [MHz]"
    )
