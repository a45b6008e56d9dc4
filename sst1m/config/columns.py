"""Columns that a configuration may name: features of the forests, selections, weights."""

from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = [
    "CLEANED_IMAGE_FEATURES",
    "RECONSTRUCTED_FEATURES",
    "STEREO_FEATURES",
    "ClassificationFeatures",
    "MisdirectionFeatures",
    "RegressionFeatures",
    "StereoMisdirectionFeatures",
    "WeightColumn",
]

_HILLAS = ("intensity", "skewness", "kurtosis", "x", "y", "r", "phi", "length", "length_uncertainty", "width")
_STATISTICS = ("max", "min", "mean", "std", "skewness", "kurtosis")

#: what one telescope measures of a shower
CLEANED_IMAGE_FEATURES = (
    *(f"camera_frame_hillas_{name}" for name in (*_HILLAS, "width_uncertainty", "psi", "wl")),
    "log_camera_frame_hillas_intensity",
    *(f"camera_frame_timing_{name}" for name in ("intercept", "deviation", "slope")),
    *(f"leakage_{kind}_width_{n}" for kind in ("pixels", "intensity") for n in (1, 2)),
    *(f"concentration_{name}" for name in ("cog", "core", "pixel")),
    *(
        f"morphology_n_{name}"
        for name in ("pixels", "islands", "small_islands", "medium_islands", "large_islands")
    ),
    *(f"intensity_{name}" for name in _STATISTICS),
    *(f"peak_time_{name}" for name in _STATISTICS),
    *("t_rms", "t_rms_w", "t_lac", "len_st"),
)
#: what the two telescopes measure together; left out of mono forests
STEREO_FEATURES = ("HillasReconstructor_tel_impact_distance", "HillasReconstructor_h_max")
#: results of the energy and disp forests, which the particle classifier may use
RECONSTRUCTED_FEATURES = ("log_reco_energy", "reco_disp_norm")

_SHOWER = (*CLEANED_IMAGE_FEATURES, *STEREO_FEATURES)


def _known(names: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    problems = []
    for name in names:
        if names.count(name) > 1:
            problems.append(f"'{name}' is listed {names.count(name)} times")
        if name not in allowed:
            close = get_close_matches(name, allowed, n=1)
            problems.append(
                f"'{name}' is not a usable column" + (f"; did you mean '{close[0]}'?" if close else "")
            )
    if problems:
        raise ValueError("; ".join(dict.fromkeys(problems)))
    return names


def _regression(names: tuple[str, ...]) -> tuple[str, ...]:
    return _known(names, _SHOWER)


def _classification(names: tuple[str, ...]) -> tuple[str, ...]:
    return _known(names, (*_SHOWER, *RECONSTRUCTED_FEATURES))


def _stereo_misdirection(names: tuple[str, ...]) -> tuple[str, ...]:
    per_telescope = (*CLEANED_IMAGE_FEATURES, STEREO_FEATURES[0])
    common = (STEREO_FEATURES[1], "log_reco_energy", "gammaness", "min_distance")
    return _known(names, (*(f"{name}_tel{n}" for n in (1, 2) for name in per_telescope), *common))


def _mono_misdirection(names: tuple[str, ...]) -> tuple[str, ...]:
    return _known(names, (*_SHOWER, *RECONSTRUCTED_FEATURES, "gammaness"))


def _weight(name: str) -> str:
    return _known((name,), CLEANED_IMAGE_FEATURES)[0]


_Names = Annotated[tuple[str, ...], Field(min_length=1)]
RegressionFeatures = Annotated[_Names, AfterValidator(_regression)]
ClassificationFeatures = Annotated[_Names, AfterValidator(_classification)]
MisdirectionFeatures = Annotated[_Names, AfterValidator(_mono_misdirection)]
StereoMisdirectionFeatures = Annotated[_Names, AfterValidator(_stereo_misdirection)]
WeightColumn = Annotated[str, AfterValidator(_weight)]
