"""The instrument from rules and figures agrees with the collaboration's own description."""

import os
import subprocess
import sys

import astropy.constants as c
import astropy.units as u
import numpy as np
import pytest
from ctapipe.image.extractor import integration_correction
from ctapipe.instrument import SubarrayDescription

from sst1m.instrument import (
    N_PIXELS,
    TEL_IDS,
    camera_geometry,
    camera_readout,
    sst1m_subarray,
    telescope_location,
)


@pytest.fixture(scope="module")
def reference(shared_data):
    return SubarrayDescription.from_hdf(shared_data / "calibration" / "sst1m_array.h5")


def test_geometry_has_the_known_figures():
    geometry = camera_geometry()
    x, y = geometry.pix_x.to_value("mm"), geometry.pix_y.to_value("mm")
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(distance, np.inf)
    assert geometry.n_pixels == N_PIXELS == 1296
    assert distance.min() == pytest.approx(24.296, abs=0.005)
    assert (geometry.neighbor_matrix.sum(axis=1) == 6).sum() == 1155
    assert np.hypot(x, y).max() == pytest.approx(498.20, abs=0.02)


def test_baseline_of_the_two_telescopes():
    first, second = (sst1m_subarray().positions[tel_id] for tel_id in TEL_IDS)
    baseline = np.linalg.norm((first - second).to_value("m")) * u.m
    assert baseline.to_value("m") == pytest.approx(155.22, abs=0.01)
    assert (baseline / c.c).to_value("ns") == pytest.approx(517.75, abs=0.05)


def test_geodetic_positions_are_as_far_apart_as_the_array_says():
    separation = u.Quantity(telescope_location(21).geocentric) - u.Quantity(telescope_location(22).geocentric)
    assert np.linalg.norm(separation.to_value("m")) == pytest.approx(155.2, abs=1.0)


@pytest.mark.parametrize(("tel_id", "expected"), [(21, 1.0183252880), (22, 1.0209461516)])
def test_integration_correction_of_the_reference_pulse(tel_id, expected):
    readout = camera_readout(tel_id)
    found = integration_correction(readout.reference_pulse_shape, 0.1, 4.0, 7, 3)
    assert found[0] == pytest.approx(expected, rel=1e-5)
    every_4_ns = readout.reference_pulse_shape[0][::40]
    assert every_4_ns.argmax() == 7


@pytest.mark.parametrize("tel_id", TEL_IDS)
def test_description_agrees_with_the_one_in_use(reference, tel_id):
    ours, theirs = sst1m_subarray().tel[tel_id], reference.tel[tel_id]
    assert abs(ours.camera.geometry.pix_x - theirs.camera.geometry.pix_x).max() < 0.01 * u.mm
    assert abs(ours.camera.geometry.pix_y - theirs.camera.geometry.pix_y).max() < 0.01 * u.mm
    np.testing.assert_array_equal(
        ours.camera.geometry.neighbor_matrix, theirs.camera.geometry.neighbor_matrix
    )
    areas = (d.camera.geometry.pix_area[0].to_value("m2") for d in (ours, theirs))
    assert next(areas) == pytest.approx(next(areas), rel=1e-6)
    pulses = ours.camera.readout.reference_pulse_shape, theirs.camera.readout.reference_pulse_shape
    np.testing.assert_allclose(*pulses, atol=2e-4)
    for name in ("equivalent_focal_length", "effective_focal_length", "mirror_area"):
        found, expected = getattr(ours.optics, name), getattr(theirs.optics, name)
        assert found.value == pytest.approx(expected.to_value(found.unit), rel=1e-6)
    np.testing.assert_allclose(
        sst1m_subarray().positions[tel_id].to_value("m"), reference.positions[tel_id].to_value("m"), atol=1e-5
    )


def test_cameras_are_numbered_alike_in_every_process(tmp_path):
    code = (
        "import sys, hashlib, tables; from sst1m.io.dl1_tables import write_subarray;"
        "from sst1m.instrument import sst1m_subarray; h5 = tables.open_file(sys.argv[1], 'w');"
        "write_subarray(h5, sst1m_subarray());"
        "nodes = [n.read().tobytes() for n in h5.walk_nodes('/', 'Table')];"
        "print(hashlib.sha256(b''.join(nodes)).hexdigest()); h5.close()"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / f"{seed}.h5")],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(digests) == 1
