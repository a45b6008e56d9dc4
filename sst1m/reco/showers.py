"""Tables of reconstructed showers: what the forests of one telescope say, or of both combined."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import AnalysisConfig, DataConfig
from ..io.dl1_events import TelescopeEvents
from ..io.dl2_columns import impact_column, tel_column
from .combine import StereoDirection, combine_directions, mean_and_variance
from .directions import (
    camera_to_direction,
    direction_vector,
    horizontal,
    horizontal_to_icrs,
    mean_direction,
)
from .disp import source_from_disp
from .features import with_truth

__all__ = ["mono_showers", "stereo_showers"]

Columns = dict[str, NDArray[Any]]
Predict = Callable[[TelescopeEvents], Mapping[str, NDArray[Any]]]

#: Columns of each telescope that the stereo table keeps.
_PER_TELESCOPE = (
    *(f"camera_frame_hillas_{name}" for name in ("intensity", "width", "length")),
    "leakage_intensity_width_2",
    *(f"camera_frame_hillas_{name}" for name in ("wl", "skewness", "kurtosis")),
    "camera_frame_timing_slope",
    "effective_focal_length",
)
#: Columns that are the same for both telescopes.
_COMMON = (
    "HillasReconstructor_alt",
    "HillasReconstructor_az",
    "HillasReconstructor_core_x",
    "HillasReconstructor_core_y",
    "HillasReconstructor_h_max",
    *("true_alt", "true_az", "true_energy", "log_true_energy", "true_core_x", "true_core_y"),
    *("true_h_first_int", "true_x_max", "true_shower_primary_id", "true_camera_x", "true_camera_y"),
)
#: Identity and time of an event are those of the first telescope.
_IDENTITY = ("obs_id", "event_id", "time_ns", "local_time", "date", "time_difference_ns")
#: Numbers of an event in the files of the telescope itself, which a file of coincidences keeps.
_OWN_NUMBERS = ("tel_obs_id", "tel_event_id")
_LN10 = np.log(10.0)


def mono_showers(
    events: TelescopeEvents, predict: Predict, config: AnalysisConfig, *, simulated: bool
) -> Columns:
    """
    Reconstruct the showers that one telescope has seen.

    Parameters
    ----------
    events : TelescopeEvents
        With all features defined.
    predict : callable
        Gives the answers of the forests.
    config : AnalysisConfig
        ``reco_energy_scaling_factor`` of data.
    simulated : bool
        Whether the events have truth, and no time.

    Returns
    -------
    dict of str to ndarray, shape=(n_events,)
        All columns of the events and the reconstructed ones, in the units of DL2.
    """
    table: Columns = {**(with_truth(events) if simulated else events).columns}
    table |= predict(events)
    table |= _energy(table["log_reco_energy"], config)
    x = events["camera_frame_hillas_x"] + table["reco_disp_dx"]
    y = events["camera_frame_hillas_y"] + table["reco_disp_dy"]
    direction = camera_to_direction(x, y, events["effective_focal_length"], *_pointing(events))
    table |= {"reco_src_x": x, "reco_src_y": y}
    return table | _sky(direction, events, simulated=simulated)


def stereo_showers(
    telescopes: Sequence[TelescopeEvents],
    predict: Predict,
    config: AnalysisConfig,
    *,
    simulated: bool,
) -> Columns:
    """
    Reconstruct the showers that both telescopes have seen.

    Energy (in log10) and gammaness are weighted means; the direction is that on which the telescopes agree
    best.

    Parameters
    ----------
    telescopes : sequence of two TelescopeEvents
        Row by row of the same events, with the stereo geometry and all features defined.
    predict : callable
        Gives the answers of the forests of a telescope.
    config : AnalysisConfig
        ``stereo_reco_weights``; ``reco_energy_scaling_factor`` of data.
    simulated : bool
        Whether the events have truth, and no time.

    Returns
    -------
    dict of str to ndarray, shape=(n_events,)
        In the units of DL2.
    """
    predicted = [predict(events) for events in telescopes]
    weights = _weights(telescopes, config)
    found = combine_directions(_candidates(telescopes, predicted), weights)
    first = with_truth(telescopes[0]) if simulated else telescopes[0]
    table: Columns = {name: first[name] for name in (*_IDENTITY, *_COMMON) if name in first.columns}
    table |= _mean_pointing(telescopes)
    table |= _combined(predicted, weights, config)
    table |= {"min_distance": found.distance, "best_sign_combination": found.combination}
    for number, events in enumerate(telescopes):
        table |= _of_telescope(events, predicted[number], found, number)
    return table | _sky(found.direction, telescopes[0], simulated=simulated)


def _energy(log_energy: NDArray[np.float64], config: AnalysisConfig) -> Columns:
    factor = config.analysis.reco_energy_scaling_factor if isinstance(config, DataConfig) else 1.0
    scaled = log_energy + np.log10(factor)
    return {"log_reco_energy": scaled, "reco_energy": 10.0**scaled}


def _pointing(events: TelescopeEvents) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.deg2rad(events["true_alt_tel"]), np.deg2rad(events["true_az_tel"])


def _mean_pointing(telescopes: Sequence[TelescopeEvents]) -> Columns:
    vectors = np.stack([direction_vector(*_pointing(events)) for events in telescopes], axis=1)
    alt, az = horizontal(mean_direction(vectors, np.ones((1, len(telescopes)))))
    return {"true_az_tel": np.rad2deg(az), "true_alt_tel": np.rad2deg(alt)}


def _sky(direction: NDArray[np.float64], events: TelescopeEvents, *, simulated: bool) -> Columns:
    """Return altitude and azimuth [deg], and of data right ascension and declination [deg]."""
    alt, az = horizontal(direction)
    angles = {"reco_alt": alt, "reco_az": az}
    if not simulated:
        angles["reco_ra"], angles["reco_dec"] = horizontal_to_icrs(alt, az, events.tel_id, events["time_ns"])
    return {name: np.rad2deg(values) for name, values in angles.items()}


def _weights(telescopes: Sequence[TelescopeEvents], config: AnalysisConfig) -> NDArray[np.float64]:
    name = config.analysis.stereo_reco_weights
    if name is None:
        return np.ones((len(telescopes[0]), len(telescopes)))
    return np.stack([events[name] for events in telescopes], axis=1).astype(np.float64)


def _candidates(
    telescopes: Sequence[TelescopeEvents], predicted: Sequence[Mapping[str, NDArray[Any]]]
) -> NDArray[np.float64]:
    """Return the positions on both sides of both images as unit vectors, shape=(n_events, 2, 2, 3)."""
    positions = []
    for events, answers in zip(telescopes, predicted, strict=True):
        cog = (events["camera_frame_hillas_x"], events["camera_frame_hillas_y"])
        psi = np.deg2rad(events["camera_frame_hillas_psi"])
        sides = [
            camera_to_direction(
                *source_from_disp(*cog, psi, answers["reco_disp_norm"], sign),
                events["effective_focal_length"],
                *_pointing(events),
            )
            for sign in (1, -1)
        ]
        positions.append(np.stack(sides, axis=1))
    return np.stack(positions, axis=1)


def _combined(
    predicted: Sequence[Mapping[str, NDArray[Any]]], weights: NDArray[np.float64], config: AnalysisConfig
) -> Columns:
    """
    Return energy and gammaness of both telescopes together, with their variances.

    Notes
    -----
    Variances of log10(E) are carried over to E to first order: var(E) = (ln 10 E)^2 var(log10 E).
    """

    def of(name: str) -> NDArray[np.float64]:
        return np.stack([answers[name] for answers in predicted], axis=1)

    energy, gammaness = (mean_and_variance(of(n), weights) for n in ("log_reco_energy", "gammaness"))
    table = _energy(energy.mean, config)
    slope = (_LN10 * table["reco_energy"]) ** 2
    return table | {
        "var_reco_energy": slope * energy.variance,
        "wvar_reco_energy": slope * energy.weighted_variance,
        "gammaness": gammaness.mean,
        "var_gammaness": gammaness.variance,
        "wvar_gammaness": gammaness.weighted_variance,
    }


def _of_telescope(
    events: TelescopeEvents, answers: Mapping[str, NDArray[Any]], found: StereoDirection, number: int
) -> Columns:
    """Return what the stereo table keeps of one telescope."""
    kept = {name: events[name] for name in _PER_TELESCOPE}
    kept |= {name: answers[name] for name in ("log_reco_energy", "gammaness", "reco_disp_norm")}
    alt, az = horizontal(found.chosen[:, number])
    kept |= {"reco_alt": np.rad2deg(alt), "reco_az": np.rad2deg(az)}
    kept |= {name: events[name] for name in _OWN_NUMBERS if name in events.columns}
    table = {tel_column(name, events.tel_id): values for name, values in kept.items()}
    return table | {impact_column(events.tel_id): events["HillasReconstructor_tel_impact_distance"]}
