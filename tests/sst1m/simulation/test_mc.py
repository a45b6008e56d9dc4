"""Simulated DL1 files: bookkeeping of what was thrown, truth, and closure through the camera with noise."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import tables
from ctapipe.containers import EventType
from ctapipe.io import EventSource, TableLoader
from ctapipe.reco import ShowerProcessor
from pyirf.simulations import SimulatedEventsInfo
from pyirf.spectral import PowerLaw, calculate_event_weights

from sst1m.config import McConfig, load_config
from sst1m.io.dl1 import check_dl1
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

GAMMAS = ShowerSpec("gamma", 500, energy_min_tev=1, scatter_radius_m=250, offset_deg=0.5, seed=11)


@pytest.fixture(scope="module")
def config(project_root: Path) -> McConfig:
    loaded = load_config(project_root / "config" / "sst1m_mc_config.json")
    assert isinstance(loaded, McConfig)
    return loaded


@pytest.fixture(scope="module")
def make_mc(tmp_path_factory: pytest.TempPathFactory, config: McConfig) -> Callable[[ShowerSpec], Path]:
    def make(spec: ShowerSpec) -> Path:
        path = tmp_path_factory.mktemp("mc") / "mc.h5"
        simulate_mc_dl1(spec, path, config=config, nsb_mhz={1: 136, 2: 177}, production="test", shard=3)
        return path

    return make


@pytest.fixture(scope="module")
def gamma_file(make_mc: Callable[[ShowerSpec], Path]) -> Path:
    return make_mc(GAMMAS)


def _run_info(path: Path) -> SimulatedEventsInfo:
    """Read the description of a production the way pyirf's users do."""
    with TableLoader(path) as loader:
        run = loader.read_simulation_configuration()
    return SimulatedEventsInfo(
        n_showers=int((run["n_showers"] * run["shower_reuse"]).sum()),
        energy_min=u.Quantity(run["energy_range_min"])[0],
        energy_max=u.Quantity(run["energy_range_max"])[0],
        max_impact=u.Quantity(run["max_scatter_range"])[0],
        spectral_index=float(run["spectral_index"][0]),
        viewcone_min=u.Quantity(run["min_viewcone_radius"])[0],
        viewcone_max=u.Quantity(run["max_viewcone_radius"])[0],
    )


def test_tables_agree_and_say_that_they_are_simulated(gamma_file: Path) -> None:
    info = check_dl1(gamma_file)
    assert info["simulated"] is True
    assert info["n_thrown"] == GAMMAS.n_showers
    assert (info["production"], info["shard"]) == ("test", 3)
    assert info["nsb_mhz"] == {"1": 136, "2": 177}
    with tables.open_file(gamma_file) as h5file:
        attributes = h5file.root._v_attrs
        assert attributes["CTA PRODUCT DATA CATEGORY"] == "Sim"
        assert attributes["SST1M SIMULATED"]
        shower = h5file.root.simulation.event.subarray.shower
        assert shower.nrows == info["n_events_written"] > 100
        for tel_id in (1, 2):
            truth = h5file.get_node(f"/simulation/event/telescope/images/tel_{tel_id:03d}")
            assert truth.nrows == info["n_telescope_events"][str(tel_id)]


def test_ctapipe_reads_truth_beside_the_parameters(gamma_file: Path) -> None:
    with TableLoader(gamma_file) as loader:
        events = loader.read_telescope_events([1], simulated=True, true_images=True)
        assert set(loader.subarray.tel) == {1, 2}
    assert np.all(events["event_type"] == EventType.SUBARRAY.value)
    assert np.all(events["true_energy"].quantity >= 1 * u.TeV)
    assert np.all(events["true_shower_primary_id"] == 0)
    np.testing.assert_array_equal(events["true_image"].sum(axis=1), events["true_image_sum"])
    survived = np.isfinite(events["camera_frame_hillas_intensity"])
    bright = survived & (events["true_image_sum"] > 300)
    ratio = (events["camera_frame_hillas_intensity"] / events["true_image_sum"])[bright]
    assert bright.sum() > 30
    # cleaning loses some light, the night sky adds some: known light comes back through the camera
    assert 0.75 < np.median(ratio) < 1.05


def test_thrown_histogram_holds_all_showers(gamma_file: Path) -> None:
    with TableLoader(gamma_file) as loader:
        thrown = loader.read_shower_distribution()
    assert thrown["n_entries"][0] == thrown["histogram"][0].sum() == GAMMAS.n_showers
    inside = u.Quantity(thrown["bins_core_dist"])[0][:-1].to_value("m") < GAMMAS.scatter_radius_m
    assert thrown["histogram"][0][:, ~inside].sum() == 0


@pytest.mark.parametrize(
    "spec",
    [
        replace(GAMMAS, n_showers=4000, energy_min_tev=20, energy_max_tev=60, scatter_radius_m=100),
        ShowerSpec("proton", 2000, 30, 60, -2.0, 100, 70, 180, (0.0, 1.0), seed=2),
    ],
    ids=["point source", "view cone"],
)
def test_pyirf_weights_give_the_rate_of_a_known_spectrum(
    make_mc: Callable[[ShowerSpec], Path], spec: ShowerSpec
) -> None:
    # so bright and near that every shower triggers: the weighted rate must be flux times area (times sky)
    spec = replace(spec, n_showers=spec.n_showers // 10)
    path = make_mc(spec)
    info = _run_info(path)
    assert info.n_showers == spec.n_showers
    with TableLoader(path) as loader:
        energy = loader.read_subarray_events(simulated=True)["true_energy"]
    assert len(energy) > 0.97 * spec.n_showers
    second = u.Quantity(1, u.s)
    sky = 1.0 if spec.is_point_source else 2 * np.pi * (1 - np.cos(np.deg2rad(spec.view_cone_deg[1])))
    unit = u.Unit("TeV-1 s-1 m-2") if spec.is_point_source else u.Unit("TeV-1 s-1 m-2 sr-1")
    target = PowerLaw(1e-3 * unit, -2.7, 1 * u.TeV)
    simulated = PowerLaw.from_simulation(info, second)
    rate = calculate_event_weights(energy.quantity, target, simulated).sum()
    integral = 1e-3 / 1.7 * (spec.energy_min_tev**-1.7 - spec.energy_max_tev**-1.7)
    expected = integral * np.pi * spec.scatter_radius_m**2 * sky
    assert rate == pytest.approx(expected, rel=0.05)


def test_shard_without_triggers_is_a_valid_product(make_mc: Callable[[ShowerSpec], Path]) -> None:
    dark = ShowerSpec("proton", 20, 0.06, 0.07, scatter_radius_m=1000, view_cone_deg=(0, 5), seed=1)
    path = make_mc(dark)
    info = check_dl1(path)
    assert info["n_events_written"] == 0
    assert _run_info(path).n_showers == 20
    with TableLoader(path) as loader:
        assert len(loader.read_telescope_events_by_id(simulated=True)) in (0, 2)
        assert len(loader.read_subarray_events(simulated=True)) == 0


def test_same_seed_same_numbers(make_mc: Callable[[ShowerSpec], Path], gamma_file: Path) -> None:
    again, other = make_mc(GAMMAS), make_mc(replace(GAMMAS, seed=12))

    def read(path: Path) -> tuple[bytes, bytes]:
        with tables.open_file(path) as h5file:
            parameters = h5file.get_node("/dl1/event/telescope/parameters/tel_001").read()
            return parameters.tobytes(), h5file.root.simulation.event.subarray.shower.read().tobytes()

    assert read(again) == read(gamma_file)
    assert read(other)[1] != read(gamma_file)[1]


def test_hillas_reconstruction_finds_gammas(gamma_file: Path) -> None:
    # images with cross-talk, night sky and electronic noise, cleaned as configured; zenith 20 deg, > 1 TeV
    errors = []
    with EventSource(gamma_file, focal_length_choice="EFFECTIVE") as source:
        process = ShowerProcessor(subarray=source.subarray)
        for event in source:
            process(event)
            geometry = event.dl2.stereo.geometry["HillasReconstructor"]
            if geometry.is_valid:
                shower = event.simulation.shower
                sine = np.sin([geometry.alt.to_value("rad"), shower.alt.to_value("rad")])
                cosine = np.cos([geometry.alt.to_value("rad"), shower.alt.to_value("rad")])
                turn = np.cos((geometry.az - shower.az).to_value("rad"))
                errors.append(np.rad2deg(np.arccos(sine.prod() + cosine.prod() * turn)))
    assert len(errors) > 100
    assert np.quantile(errors, 0.68) < 0.25


def test_info_is_plain_json(gamma_file: Path) -> None:
    assert json.loads(json.dumps(check_dl1(gamma_file)))["showers"]["particle"] == "gamma"
