"""Stereo geometry: the numbers of ctapipe's HillasReconstructor, event by event, also for odd images."""

import astropy.units as u
import numpy as np
import pytest
from ctapipe.containers import (
    ArrayEventContainer,
    CameraHillasParametersContainer,
    ImageParametersContainer,
    LeakageContainer,
    MorphologyContainer,
)
from ctapipe.reco import HillasReconstructor
from traitlets.config import Config

from sst1m.errors import ConfigError
from sst1m.io.dl1_events import read_dl1_events
from sst1m.reco.criteria import criteria_met
from sst1m.reco.directions import direction_vector, horizontal, mean_direction
from sst1m.reco.geometry import stereo_geometry
from sst1m.reco.usable import _paired
from sst1m.simulation.mc import mc_subarray

HILLAS = ("intensity", "x", "y", "length", "width", "psi")


def _criteria(config):
    return config.ShowerProcessor.HillasReconstructor.StereoQualityQuery.quality_criteria


@pytest.fixture(scope="module")
def layout(mc):
    return read_dl1_events(mc["gamma_test"], (1, 2)).layout


@pytest.fixture(scope="module")
def pairs(mc):
    events = read_dl1_events(mc["gamma_test"], (1, 2))
    return [dict(e.columns) for e in _paired(list(events.telescopes.values()))]


def _ctapipe(images, criteria):
    """Return what ctapipe reconstructs from each pair of rows, shape=(n_events, 7); NaN: not valid."""
    query = {"StereoQualityQuery": {"quality_criteria": [tuple(c) for c in criteria]}}
    reconstruct = HillasReconstructor(mc_subarray(), config=Config({"HillasReconstructor": query}))
    n_events = len(images[0]["camera_frame_hillas_x"])
    results = np.full((n_events, 7), np.nan)
    for row in range(n_events):
        event = ArrayEventContainer()
        event.trigger.tels_with_trigger = [1, 2]
        axes = []
        for tel_id, image in zip((1, 2), images, strict=True):
            event.dl1.tel[tel_id].parameters = _parameters(image, row)
            pointing = event.monitoring.tel[tel_id].pointing
            pointing.altitude = image["true_alt_tel"][row] * u.deg
            pointing.azimuth = image["true_az_tel"][row] * u.deg
            axes.append(direction_vector(pointing.altitude.to_value("rad"), pointing.azimuth.to_value("rad")))
        alt, az = horizontal(mean_direction(np.array(axes), np.ones(2)))
        event.monitoring.pointing.array_altitude = alt * u.rad
        event.monitoring.pointing.array_azimuth = az * u.rad
        reconstruct(event)
        shower = event.dl2.stereo.geometry["HillasReconstructor"]
        if shower.is_valid:
            impact = [event.dl2.tel[t].impact["HillasReconstructor"].distance.to_value("m") for t in (1, 2)]
            core = [shower.core_x.to_value("m"), shower.core_y.to_value("m")]
            angles = [shower.alt.to_value("rad"), shower.az.to_value("rad")]
            results[row] = [*angles, *core, shower.h_max.to_value("m"), *impact]
    return results


def _parameters(image, row):
    units = {"x": u.m, "y": u.m, "length": u.m, "width": u.m, "psi": u.deg, "intensity": 1}
    hillas = {name: image[f"camera_frame_hillas_{name}"][row] * units[name] for name in HILLAS}
    return ImageParametersContainer(
        hillas=CameraHillasParametersContainer(**hillas),
        morphology=MorphologyContainer(n_pixels=image["morphology_n_pixels"][row]),
        leakage=LeakageContainer(intensity_width_2=image["leakage_intensity_width_2"][row]),
    )


def _ours(geometry):
    columns = (geometry.alt, geometry.az, geometry.core_x, geometry.core_y, geometry.h_max)
    return np.column_stack([*columns, geometry.impact_distance])


def _assert_equal(found, expected):
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    good = np.isfinite(expected).all(axis=1)
    assert good.any()
    sky = [direction_vector(rows[good, 0], rows[good, 1]) for rows in (found, expected)]
    np.testing.assert_allclose(*sky, atol=1e-10)
    np.testing.assert_allclose(found[good, 2:], expected[good, 2:], rtol=1e-6, atol=1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_simulated_events_as_ctapipe_reconstructs_them(pairs, layout, mc_config):
    images = [{name: values[:80] for name, values in image.items()} for image in pairs]
    geometry = stereo_geometry(images, layout, _criteria(mc_config))
    assert 30 < geometry.is_valid.sum() < 80
    _assert_equal(_ours(geometry), _ctapipe(images, _criteria(mc_config)))


@pytest.mark.parametrize("pointing", [(60.0, 0.0), (50.0, 359.9), (89.95, 40.0), (30.0, 90.0)])
def test_any_pointing_as_ctapipe(pairs, layout, mc_config, pointing):
    images = [{name: values[:40].copy() for name, values in image.items()} for image in pairs]
    for image, shift in zip(images, (-0.02, 0.03), strict=True):
        # telescopes that do not look in quite the same direction
        image["true_alt_tel"] = np.full(40, pointing[0] + shift)
        image["true_az_tel"] = np.full(40, (pointing[1] + 2 * shift) % 360)
    geometry = stereo_geometry(images, layout, _criteria(mc_config))
    _assert_equal(_ours(geometry), _ctapipe(images, _criteria(mc_config)))


def test_images_that_cannot_be_used_give_nothing(pairs, layout, mc_config):
    usable = np.isfinite(pairs[0]["camera_frame_hillas_width"]) & np.isfinite(
        pairs[1]["camera_frame_hillas_width"]
    )
    rows = np.flatnonzero(usable)[:6]
    images = [{name: values[rows].copy() for name, values in image.items()} for image in pairs]
    for image in images:
        image["leakage_intensity_width_2"][:] = 0.1
    images[0]["camera_frame_hillas_width"][0] = 0.0
    images[1]["camera_frame_hillas_width"][1] = np.nan
    images[0]["leakage_intensity_width_2"][2] = 1.0
    images[1]["camera_frame_hillas_intensity"][3] = np.nan
    # the same image in both telescopes: the axes never meet
    for name in HILLAS:
        images[1][f"camera_frame_hillas_{name}"][4] = images[0][f"camera_frame_hillas_{name}"][4]
    geometry = stereo_geometry(images, layout, _criteria(mc_config))
    assert geometry.is_valid.tolist() == [False] * 5 + [True]
    assert np.isnan(_ours(geometry)[:5]).all()


def test_no_events_no_showers(pairs, layout, mc_config):
    nothing = [{name: values[:0] for name, values in image.items()} for image in pairs]
    assert len(stereo_geometry(nothing, layout, _criteria(mc_config)).is_valid) == 0


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("parameters.hillas.width.value > 0.01", [True, False, False]),
        (
            "parameters.hillas.width.value > 0 and not parameters.morphology.n_pixels < 5",
            [True, False, False],
        ),
        (
            "1 < parameters.morphology.n_pixels <= 8 or parameters.hillas.width.value == 0",
            [True, True, False],
        ),
        ("-parameters.hillas.width.value * 2 + 1 < 1", [True, False, False]),
    ],
)
def test_criteria_read_like_python(expression, expected):
    columns = {
        "camera_frame_hillas_width": np.array([0.02, 0.0, np.nan]),
        "morphology_n_pixels": np.array([8, 3, -1]),
    }
    assert criteria_met([("a cut", expression)], columns, 3).tolist() == expected


@pytest.mark.parametrize("expression", ["parameters.hillas.wdth > 0", "parameters.what.width > 0", "x > 0"])
def test_criterion_on_what_does_not_exist_is_refused(expression):
    with pytest.raises(ConfigError, match="a cut.*ShowerProcessor"):
        criteria_met([("a cut", expression)], {"camera_frame_hillas_width": np.ones(2)}, 2)
