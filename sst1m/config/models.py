"""The two configurations in use: of observed data and of simulations."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from .analysis import (
    Analysis,
    DataAnalysis,
    EventSelection,
    ForestClassifierArguments,
    ForestRegressorArguments,
    McAnalysis,
    ShowerProcessor,
    Stereo,
)
from .columns import (
    STEREO_FEATURES,
    ClassificationFeatures,
    MisdirectionFeatures,
    RegressionFeatures,
    StereoMisdirectionFeatures,
)
from .fields import DataTelescopes, McTelescopes, PerTelescope, Positive, Section, WholeNumber
from .reduction import (
    CameraCalibrator,
    Coordinates,
    DataImageProcessor,
    DataNsbCalibrator,
    ImageProcessor,
    ImageWriting,
    McImageProcessor,
    McNsbCalibrator,
    NsbCalibrator,
    NsbLabel,
    TelescopeCalibrationFiles,
    WindowTransmittanceFiles,
)

__all__ = ["AnalysisConfig", "DataConfig", "McConfig", "NsbLabels"]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a JSON value in which equal numbers are spelled equally (no negative zero)."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value + 0 if type(value) is float else value


def _results(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the keys that no result depends on."""
    forests = ("random_forest_regressor_args", "random_forest_classifier_args")
    kept = {
        name: {key: value for key, value in document[name].items() if key not in ("n_jobs", "verbose")}
        for name in forests
    }
    return document | kept


class AnalysisConfig(Section):
    """
    What an analysis decides, checked; the part that data and simulations share.

    `DataConfig` and `McConfig` add what only one of them has. They are two classes and not one with
    optional keys, so that a key of the other kind is an error and not silently without effect.
    """

    kind: ClassVar[Literal["data", "mc"]]
    tel_ids: ClassVar[tuple[int, int]]

    telescope_coords: PerTelescope
    analysis: Analysis
    event_selection: EventSelection
    CameraCalibrator: CameraCalibrator
    NsbCalibrator: NsbCalibrator
    ImageProcessor: ImageProcessor
    DataWriter: ImageWriting = ImageWriting()
    ShowerProcessor: ShowerProcessor
    random_forest_regressor_args: ForestRegressorArguments
    random_forest_classifier_args: ForestClassifierArguments
    energy_regression_features: RegressionFeatures = Field(description="inputs of the energy forest")
    particle_classification_features: ClassificationFeatures = Field(
        description="inputs of the particle forest"
    )
    disp_method: Literal["disp_norm_sign", "disp_vector"] = Field(
        description="what the mono disp forests predict"
    )
    disp_regression_features: RegressionFeatures = Field(
        description="inputs of the forest of the disp length"
    )
    disp_classification_features: RegressionFeatures = Field(
        description="inputs of the forest of the disp sign"
    )
    misdirection_regression_features_mono: MisdirectionFeatures = Field(
        description="inputs of the forest of the direction's error, mono"
    )
    misdirection_regression_features_stereo: StereoMisdirectionFeatures = Field(
        description="inputs of the forest of the direction's error, stereo"
    )

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file this configuration was read from; relative paths in it start at its directory."""
        return self._path

    def canonical(self) -> dict[str, Any]:
        """Return every key with its effective value, as plain JSON types."""
        return _plain(self.model_dump(mode="json"))

    def fingerprint(self) -> str:
        """
        Return the sha256 (hex) of the effective values: the same for files that mean the same.

        The number of cores and the talkativeness of the forests change no result and do not count.
        """
        text = json.dumps(
            _results(self.canonical()),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def mono_features(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the features of a list that one telescope alone has."""
        return tuple(name for name in names if name not in STEREO_FEATURES)

    @model_validator(mode="after")
    def _tailcuts_for_each_telescope(self) -> Self:
        problems = []
        for name, entries in self.ImageProcessor.TailcutsImageCleaner.telescope_lists().items():
            ids = sorted(tel_id for _, tel_id, _ in entries)
            if ids != list(self.tel_ids):
                problems.append(
                    f"ImageProcessor.TailcutsImageCleaner.{name} names the telescopes {ids}; "
                    f"it needs each of {list(self.tel_ids)} once"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class NsbLabels(DataTelescopes[Annotated[tuple[NsbLabel, ...], Field(min_length=1)]]):
    """Names of the levels of night-sky background."""


class DataConfig(AnalysisConfig):
    """Configuration of observed data; telescope keys tel_021 and tel_022."""

    kind = "data"
    tel_ids = (21, 22)

    array_center_coords: Coordinates
    telescope_coords: DataTelescopes[Coordinates]
    telescope_calibration: TelescopeCalibrationFiles
    window_transmittance: WindowTransmittanceFiles = WindowTransmittanceFiles()
    telescope_equivalent_focal_length: DataTelescopes[
        Annotated[Positive, Field(description="equivalent focal length [m]")]
    ]
    stereo: Stereo
    analysis: DataAnalysis
    NsbCalibrator: DataNsbCalibrator
    ImageProcessor: DataImageProcessor
    mean_charge_to_nsb_rate: NsbLabels


class McConfig(AnalysisConfig):
    """Configuration of simulations; telescope keys tel_001 and tel_002."""

    kind = "mc"
    tel_ids = (1, 2)

    telescope_coords: McTelescopes[Coordinates]
    allowed_tels: Annotated[tuple[WholeNumber, ...], Field(min_length=1)] | None = Field(
        default=None, description="telescopes read from simtel files; null: all"
    )
    analysis: McAnalysis
    NsbCalibrator: McNsbCalibrator
    ImageProcessor: McImageProcessor
