"""What forests see: features by name from the columns of a telescope, and the truth that they learn."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import AnalysisConfig
from ..errors import ConfigError
from ..io.dl1_events import TelescopeEvents
from ..reduction.columns import derived_features
from .disp import disp_of_source, source_in_camera

__all__ = [
    "GAMMA",
    "TARGETS",
    "feature_matrix",
    "feature_names",
    "finite_rows",
    "minimal_energy_tev",
    "with_derived_features",
    "with_truth",
]

#: CORSIKA's codes of the primaries as ctapipe's files carry them.
GAMMA, ELECTRON = 0, 1
#: What each forest learns, by the stem of its file.
TARGETS = {
    "reg_energy": ("log_true_energy",),
    "reg_disp_norm": ("disp_norm",),
    "reg_disp": ("disp_dx", "disp_dy"),
    "class_disp_sign": ("disp_sign",),
    "class_gh": ("true_shower_primary_id",),
}

#: Truncated here, a feature is still larger or smaller than all thresholds; scikit-learn refuses more.
_LARGEST = float(np.finfo(np.float32).max)


def with_derived_features(events: TelescopeEvents, intensity_factor: float = 1.0) -> TelescopeEvents:
    """
    Return events with everything that follows from the image parameters, computed after the scaling.

    Parameters
    ----------
    events : TelescopeEvents
        As read.
    intensity_factor : float
        By which intensities are multiplied first.
    """
    intensity = events["camera_frame_hillas_intensity"] * intensity_factor
    scaled = events.adding({"camera_frame_hillas_intensity": intensity})
    return scaled.adding(derived_features(scaled.columns))


def with_truth(events: TelescopeEvents) -> TelescopeEvents:
    """
    Return simulated events with the truth that forests learn.

    Adds ``log_true_energy``, the source in the camera ``true_camera_{x,y}`` [m], and ``disp_{dx,dy,norm}``,
    ``miss`` [m] and ``disp_sign``.
    """
    angles = (np.deg2rad(events[name]) for name in ("true_alt", "true_az"))
    pointing = (np.deg2rad(events[f"true_{name}_tel"]) for name in ("alt", "az"))
    x, y = source_in_camera(*angles, events["effective_focal_length"], *pointing)
    hillas = (events[f"camera_frame_hillas_{name}"] for name in ("x", "y"))
    disp = disp_of_source(x, y, *hillas, np.deg2rad(events["camera_frame_hillas_psi"]))
    truth = {"log_true_energy": np.log10(events["true_energy"]), "true_camera_x": x, "true_camera_y": y}
    truth |= {f"disp_{name}": getattr(disp, name) for name in ("dx", "dy", "norm", "sign")}
    return events.adding(truth | {"miss": disp.miss})


def minimal_energy_tev(config: AnalysisConfig, primary_id: int) -> float:
    """
    Return the simulated energy [TeV] below which events of a primary are dropped.

    Electrons make the same showers as gamma rays and share their limit; all others share that of protons.
    """
    analysis = config.analysis
    if primary_id in (GAMMA, ELECTRON):
        return float(analysis.gamma_min_simulated_energy_tev)
    return float(analysis.proton_min_simulated_energy_tev)


def feature_names(config: AnalysisConfig, *, stereo: bool) -> dict[str, tuple[str, ...]]:
    """
    Return the features of each forest in their order, by the stem of its file.

    Parameters
    ----------
    config : AnalysisConfig
        Lists of features and the method of disp; left as it is.
    stereo : bool
        For images of both telescopes; else features of the stereo geometry are left out.
    """
    lists = {"reg_energy": config.energy_regression_features}
    if stereo or config.disp_method == "disp_norm_sign":
        lists["reg_disp_norm"] = config.disp_regression_features
    else:
        lists["reg_disp"] = config.disp_regression_features
    if not stereo and config.disp_method == "disp_norm_sign":
        lists["class_disp_sign"] = config.disp_classification_features
    lists["class_gh"] = config.particle_classification_features
    names = {stem: tuple(n if stereo else config.mono_features(n)) for stem, n in lists.items()}
    if empty := [stem for stem, features in names.items() if not features]:
        raise ConfigError(f"without stereo features nothing is left for {', '.join(empty)}; add features")
    return names


def feature_matrix(columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> NDArray[np.float32]:
    """
    Return features in the form in which forests compare them.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape=(n_events,)
        At least the features.
    names : sequence of str
        Their order.

    Returns
    -------
    ndarray of float32, shape=(n_events, n_features)
        C-contiguous.
    """
    n_events = len(next(iter(columns.values())))
    matrix = np.empty((n_events, len(names)), dtype=np.float32)
    for number, name in enumerate(names):
        matrix[:, number] = np.clip(columns[name], -_LARGEST, _LARGEST)
    return matrix


def finite_rows(columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return the events whose features are all finite."""
    n_events = len(next(iter(columns.values())))
    finite = np.ones(n_events, dtype=bool)
    for name in names:
        finite &= np.isfinite(columns[name])
    return finite
