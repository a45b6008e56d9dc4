"""DL1 to DL2: how good the reconstruction is, what the file holds, and where every event went."""

import json
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import tables
from ctapipe.io import TableLoader
from ctapipe.io.dl2_tables_preprocessing import DL2EventLoader
from ctapipe.irf import Spectra
from sklearn.metrics import roc_auc_score
from traitlets.config import Config

from sst1m.coincidence import match_night, stereo_name, write_stereo_run
from sst1m.errors import ConfigError, DataQualityError, InputError, ModelMismatchError
from sst1m.io.dl1_events import read_dl1_events
from sst1m.io.dl2 import check_dl2, events_table, read_dl2, write_dl2
from sst1m.io.dl2_columns import SIGN_COMBINATIONS
from sst1m.io.thrown import read_thrown
from sst1m.nodes import Node
from sst1m.reco.directions import direction_vector, separation
from sst1m.reco.model_store import ModelStore
from sst1m.reco.reconstruct import dl2_name, reconstruct_events, reconstruct_file, reconstruct_files
from sst1m.reco.selection import select_events
from sst1m.reco.showers import mono_showers

from .conftest import NODE

SETUPS = ("tel_001", "tel_002", "stereo")
CTAPIPE = "RandomForestRegressor", "RandomForestClassifier", "disp"


@pytest.fixture(scope="module")
def config(make_config, mc_config):
    """Return the configuration of data with the features of the forests."""
    names = ("energy_regression_features", "particle_classification_features")
    names += ("disp_regression_features", "disp_classification_features")
    return make_config().model_copy(update={name: getattr(mc_config, name) for name in names})


@pytest.fixture(scope="module")
def dl2(mc, mc_config, stores, tmp_path_factory):
    """Return a function: the DL2 file of a simulated sample in a telescope set-up."""
    directory = tmp_path_factory.mktemp("dl2")

    def make(sample: str, setup: str) -> Path:
        path = directory / f"{sample}_{setup}_dl2.h5"
        if not path.exists():
            store = stores[setup == "stereo"]
            reconstruct_file(mc[sample], path, config=mc_config, store=store, tel_setup=setup)
        return path

    return make


def _selected(path, config):
    events = read_dl2(path)
    return events.select(select_events(events, config).mask).table


def _vectors(table, prefix, suffix=""):
    angles = (table[f"{prefix}_{name}{suffix}"].to_value("rad") for name in ("alt", "az"))
    return direction_vector(*angles)


@pytest.mark.parametrize(
    ("setup", "energy", "angle", "auc"),
    [("tel_001", 0.15, 0.25, 0.88), ("tel_002", 0.15, 0.25, 0.88), ("stereo", 0.12, 0.14, 0.93)],
)
def test_showers_are_found_again(dl2, mc_config, setup, energy, angle, auc):
    gamma, proton = (_selected(dl2(f"{p}_test", setup), mc_config) for p in ("gamma", "proton"))
    assert min(len(gamma), len(proton)) > 150
    error = np.log10((gamma["reco_energy"] / gamma["true_energy"]).to_value(""))
    assert abs(np.median(error)) < 0.05
    assert np.quantile(np.abs(error), 0.68) < energy
    assert np.corrcoef(gamma["log_reco_energy"], gamma["log_true_energy"])[0, 1] > 0.9
    distance = np.rad2deg(separation(_vectors(gamma, "reco"), _vectors(gamma, "true")))
    assert np.quantile(distance, 0.68) < angle
    label = np.repeat([1, 0], [len(gamma), len(proton)])
    assert roc_auc_score(label, np.concatenate([gamma["gammaness"], proton["gammaness"]])) > auc


def test_sources_off_axis_do_not_move_outwards(dl2, mc_config):
    table = _selected(dl2("gamma_test", "stereo"), mc_config)
    reco, true, axis = _vectors(table, "reco"), _vectors(table, "true"), _vectors(table, "true", "_tel")
    near = separation(reco, true) < np.deg2rad(0.3)
    shift = np.rad2deg(separation(reco, axis) - separation(true, axis))[near]
    assert abs(shift.mean()) < 4 * shift.std() / np.sqrt(len(shift))


@pytest.mark.parametrize("setup", SETUPS)
def test_every_event_is_explained(dl2, mc, setup):
    info = check_dl2(dl2("gamma_test", setup))
    counts = dict(info["counts"])
    n_dl1, n_written = counts.pop("n_dl1"), counts.pop("n_written")
    assert n_dl1 == info["dl1"]["n_events_written"]
    assert n_dl1 - sum(counts.values()) == n_written > 200
    assert counts["no_image_parameters"] > 0
    assert (info["node"], info["models"]["distance"], info["nsb_mhz"]) == (str(NODE), 0.0, 100.0)
    assert info["mean_pointing"] == pytest.approx({"alt_deg": 70.0, "az_deg": 180.0})
    events = read_dl2(dl2("gamma_test", setup))
    assert events.node == NODE
    assert events.thrown == read_thrown(mc["gamma_test"])
    telescope = read_dl1_events(mc["gamma_test"], (2 if setup == "tel_002" else 1,))
    assert np.isin(events.table["event_id"], next(iter(telescope.telescopes.values()))["event_id"]).all()


@pytest.mark.parametrize("setup", SETUPS)
def test_ctapipe_reads_the_same_numbers(dl2, setup):
    path = dl2("gamma_test", setup)
    events = read_dl2(path).table
    with TableLoader(path) as loader:
        found = loader.read_subarray_events(dl2=True, simulated=True)
        telescopes = loader.read_telescope_events(dl2=True, simulated=True)
    for name in CTAPIPE:
        assert found[f"{name}_is_valid"].sum() == len(events)
    valid = found[found["disp_is_valid"]]
    assert valid["event_id"].tolist() == events["event_id"].tolist()
    pairs = {"RandomForestRegressor_energy": "reco_energy", "disp_alt": "reco_alt", "disp_az": "reco_az"}
    for ctapipe, ours in pairs.items():
        assert np.array_equal(valid[ctapipe].quantity, events[ours])
    assert np.array_equal(valid["RandomForestClassifier_prediction"], events["gammaness"])
    used = {"tel_001": [True, False], "tel_002": [False, True], "stereo": [True, True]}[setup]
    assert np.array_equal(np.unique(valid["disp_telescopes"], axis=0), [used])
    assert np.isnan(found["disp_alt"][~found["disp_is_valid"]]).all()
    mine = telescopes[telescopes["tel_id"] == (2 if setup == "tel_002" else 1)]
    assert (mine["RandomForestRegressor_tel_is_valid"]).sum() == len(events)
    assert mine["disp_tel_parameter"].unit == u.deg
    assert "image" not in telescopes.colnames


def test_stereo_file_holds_the_geometry_and_the_signs(dl2):
    path = dl2("gamma_test", "stereo")
    events = read_dl2(path).table
    with TableLoader(path) as loader:
        found = loader.read_telescope_events([1, 2], dl2=True)
    assert events["best_sign_combination"].dtype == np.int8
    for number, tel_id in enumerate((1, 2)):
        valid = found[(found["tel_id"] == tel_id) & found["disp_tel_is_valid"]]
        sign = np.array(SIGN_COMBINATIONS)[events["best_sign_combination"], number]
        assert np.array_equal(np.sign(valid["disp_tel_parameter"]), sign)
        distance = events[f"HillasReconstructor_tel_impact_distance_tel{tel_id}"]
        assert np.array_equal(valid["HillasReconstructor_tel_impact_distance"].quantity, distance)
    core = np.hypot(
        events["HillasReconstructor_core_x"] - events["true_core_x"],
        events["HillasReconstructor_core_y"] - events["true_core_y"],
    )
    assert np.median(core) < 20 * u.m


def test_ctapipe_compute_irf_finds_all_it_needs(dl2):
    query = [["classified", "RandomForestClassifier_is_valid"], ["directed", "disp_is_valid"]]
    config = {
        "DL2EventPreprocessor": {"geometry_reconstructor": "disp"},
        "DL2EventQualityQuery": {"quality_criteria": [tuple(c) for c in query]},
    }
    path = dl2("gamma_test", "stereo")
    loader = DL2EventLoader(path, target_spectrum=Spectra.CRAB_HEGRA, config=Config(config))
    table, n_all, meta = loader.load_preselected_events(chunk_size=300, obs_time=50 * u.h)
    events = read_dl2(path)
    assert n_all == events.info["counts"]["n_dl1"]
    assert np.array_equal(table["reco_energy"], events.table["reco_energy"])
    assert np.array_equal(table["gh_score"], events.table["gammaness"])
    assert meta["sim_info"].n_showers == events.thrown.n_showers


@pytest.mark.parametrize("setup", SETUPS)
def test_nothing_in_gives_an_empty_product(dl2, mc_config, setup):
    path = dl2("nothing", setup)
    events = read_dl2(path)
    assert len(events) == 0
    assert events.thrown.n_showers == 20
    full = read_dl2(dl2("gamma_test", setup))
    assert events.table.colnames == full.table.colnames
    assert events.table.dtype == full.table.dtype
    with TableLoader(path) as loader:
        assert len(loader.read_subarray_events(dl2=True)) == 0
    assert select_events(events, mc_config).counts["n_selected"] == 0


def test_events_below_the_least_energy_are_dropped_from_both_sides(mc, mc_config, stores, change, tmp_path):
    config = change(mc_config, n_estimators=30, n_jobs=1, analysis={"gamma_min_simulated_energy_tev": 3.0})
    path = tmp_path / "cut_dl2.h5"
    summary = reconstruct_file(
        mc["gamma_test"], path, config=config, store=stores[False], tel_setup="tel_001"
    )
    assert summary.counts["below_minimal_energy"] > 100
    events, thrown = read_dl2(path), read_thrown(mc["gamma_test"])
    assert events.table["true_energy"].min() >= 3.0 * u.TeV
    assert events.thrown == thrown.above(3.0)
    assert events.thrown.n_showers < 0.4 * thrown.n_showers
    # whoever takes the numbers from ctapipe's tables divides by the same showers
    assert read_thrown(path) == events.thrown
    with TableLoader(path) as loader:
        histogram = loader.read_shower_distribution()
    low = u.Quantity(histogram["bins_energy"])[0][:-1] < 2 * u.TeV
    assert histogram["histogram"][0][low].sum() == 0


def test_same_numbers_every_time(mc, mc_config, stores, dl2, tmp_path):
    again = tmp_path / "again_dl2.h5"
    reconstruct_file(mc["gamma_test"], again, config=mc_config, store=stores[True], tel_setup="stereo")
    with tables.open_file(again) as h5, tables.open_file(dl2("gamma_test", "stereo")) as expected:
        for node in expected.walk_nodes("/", "Table"):
            assert h5.get_node(node._v_pathname).read().tobytes() == node.read().tobytes()


def test_provenance_stands_beside_the_product(dl2, mc, mc_config):
    record = json.loads(dl2("gamma_test", "tel_001").with_suffix(".json").read_text())
    assert record["inputs"][0]["path"] == str(mc["gamma_test"])
    assert record["config"]["fingerprint"] == mc_config.fingerprint()
    assert record["calibration"]["models"]["node"] == str(NODE)


def test_scaled_intensities_reach_the_features(mc, mc_config, stores):
    nsb = mc_config.NsbCalibrator
    factor = nsb.intensity_correction.model_copy(update={"tel_001": 1.5})
    config = mc_config.model_copy(
        update={"NsbCalibrator": nsb.model_copy(update={"intensity_correction": factor})}
    )
    given = {"config": config, "store": stores[False], "tel_setup": "tel_001"}
    plain = reconstruct_events(mc["gamma_test"], **given).table
    scaled = reconstruct_events(mc["gamma_test"], **given, scale_intensities=True).table
    name = "camera_frame_hillas_intensity"
    np.testing.assert_allclose(scaled[name], 1.5 * plain[name])
    np.testing.assert_allclose(scaled[f"log_{name}"], np.log10(scaled[name]))
    assert np.median(scaled["reco_energy"] / plain["reco_energy"]) > 1.1


def test_equal_weights(mc, mc_config, stores, change):
    config = change(mc_config, n_estimators=30, n_jobs=1, analysis={"stereo_reco_weights": None})
    table = reconstruct_events(mc["gamma_test"], config=config, store=stores[True], tel_setup="stereo").table
    mean = (table["gammaness_tel1"] + table["gammaness_tel2"]) / 2
    np.testing.assert_allclose(table["gammaness"], mean)
    np.testing.assert_allclose(table["wvar_gammaness"], table["var_gammaness"] / 2)


def test_direction_does_not_depend_on_the_side_of_north(mc, mc_config):
    events = read_dl1_events(mc["gamma_test"], (1,)).telescopes[1]
    events = events.select(np.isfinite(events["camera_frame_hillas_x"]))

    def answers(_):
        zero, n = np.zeros(len(events)), len(events)
        return {"log_reco_energy": zero, "gammaness": zero, "reco_disp_norm": zero} | dict(
            zip(
                ("reco_disp_dx", "reco_disp_dy", "reco_disp_sign"),
                (zero, np.full(n, 0.02), zero),
                strict=True,
            )
        )

    shifted = []
    for azimuth in (180.0, 0.0, 359.999):
        turned = events.adding({"true_az_tel": np.full(len(events), azimuth)})
        table = mono_showers(turned, answers, mc_config, simulated=True)
        assert ((table["reco_az"] >= 0) & (table["reco_az"] < 360)).all()
        shifted.append((table["reco_az"] - azimuth + 180) % 360 - 180)
    np.testing.assert_allclose(shifted[1], shifted[0], atol=1e-9)
    np.testing.assert_allclose(shifted[2], shifted[0], atol=1e-9)


def test_many_files_with_one_set_of_forests(mc, mc_config, stores, tmp_path):
    files = [(mc[name], tmp_path / dl2_name(mc[name])) for name in ("gamma_test", "nothing")]
    summaries = list(reconstruct_files(files, config=mc_config, store=stores[False], tel_setup="tel_001"))
    assert [s.path.name for s in summaries] == ["gamma_test_dl1_dl2.h5", "nothing_dl1_dl2.h5"]
    assert summaries[0].n_written > 0 == summaries[1].n_written
    assert summaries[0].node == NODE


@pytest.mark.parametrize(
    ("setup", "stereo", "match"),
    [
        ("tel_021", False, "set-ups are tel_001"),
        ("stereo", False, "mono models"),
        ("tel_001", True, "stereo models"),
    ],
)
def test_what_does_not_belong_together_is_refused(mc, mc_config, stores, setup, stereo, match):
    with pytest.raises(ConfigError, match=match):
        reconstruct_events(mc["gamma_test"], config=mc_config, store=stores[stereo], tel_setup=setup)


def test_named_node_must_exist(mc, mc_config, stores):
    given = {"config": mc_config, "store": stores[False], "tel_setup": "tel_001"}
    with pytest.raises(ModelMismatchError, match="ze40"):
        reconstruct_events(mc["gamma_test"], **given, node=Node(40, 180, 100))
    assert reconstruct_events(mc["gamma_test"], **given, node=NODE).info["models"]["distance"] is None


class TestData:
    """A run of telescope 21, reduced to DL1."""

    def _reconstruct(self, path, config, stores, **options):
        given = {"config": config, "store": stores[False], "tel_setup": "tel_021", "node": NODE}
        return reconstruct_events(path, **(given | options))

    def test_sky_positions_near_the_pointing(self, product_21, config, stores):
        events = self._reconstruct(product_21.path, config, stores)
        assert not events.simulated
        assert len(events) > 30
        table = events.table
        assert table["time_ns"].dtype == np.int64
        assert np.isin(table["time_ns"], product_21.extras["time_ns"]).all()
        sky = direction_vector(table["reco_dec"].to_value("rad"), table["reco_ra"].to_value("rad"))
        axis = direction_vector(*np.deg2rad([21.956, 84.386]))
        camera = np.hypot(table["reco_src_x"], table["reco_src_y"]).to_value("m") / 5.69705
        assert np.rad2deg(np.abs(separation(sky, axis) - camera)).max() < 0.02

    def test_file_and_back(self, product_21, config, stores, tmp_path):
        events = self._reconstruct(product_21.path, config, stores)
        path = tmp_path / "dl2.h5"
        write_dl2(path, events, dl1=product_21.path)
        again = read_dl2(path)
        assert again.tel_setup == "tel_021"
        assert again.thrown is None
        assert json.dumps(again.info["counts"]) == json.dumps(events.info["counts"])
        for name in events.table.colnames:
            assert np.array_equal(again.table[name], events.table[name], equal_nan=True), name
            assert again.table[name].unit == events.table[name].unit
        with tables.open_file(path) as h5:
            assert "images" not in h5.root.dl1.event.telescope
            assert h5.root.dl0.monitoring.telescope.pointing.tel_021.nrows > 0
        with TableLoader(path) as loader:
            assert loader.read_telescope_events(dl2=True)["disp_tel_is_valid"].sum() == len(events)

    def test_energies_are_scaled_as_configured(self, product_21, config, stores):
        scaled = config.model_copy(
            update={"analysis": config.analysis.model_copy(update={"reco_energy_scaling_factor": 2.0})}
        )
        plain, twice = (self._reconstruct(product_21.path, c, stores).table for c in (config, scaled))
        np.testing.assert_allclose(twice["reco_energy"] / plain["reco_energy"], 2.0)
        assert np.array_equal(twice["gammaness"], plain["gammaness"])

    def test_coincident_events_of_both_telescopes(
        self, product_21, make_run, reduce_run, config, stores, tmp_path
    ):
        raw = make_run(tmp_path / "SST1M2_20250115_0012.fits.fz", tel_id=22, seed=2)
        product = tmp_path / "SST1M2_20250115_0012_W1_dl1.h5"
        reduce_run(raw.path, product, tel_id=22)
        found = match_night([product_21.path], [product], config)
        dl1 = tmp_path / stereo_name(product_21.path)
        assert write_stereo_run(found, product_21.path, dl1, config).n_events > 30
        path = tmp_path / dl2_name(dl1)
        given = {"config": config, "store": stores[True], "tel_setup": "stereo", "node": NODE}
        summary = reconstruct_file(dl1, path, **given)
        assert summary.n_dl1 == sum(n for name, n in summary.counts.items() if name != "n_dl1")
        assert path.name == "SST1M1_20250115_0012_W1_dl1_stereo_dl2.h5"
        events = read_dl2(path)
        assert len(events) == summary.n_written > 5
        table = events.table
        assert np.array_equal(table["tel_event_id_tel21"], table["event_id"])
        for tel_id in (21, 22):
            assert f"camera_frame_hillas_intensity_tel{tel_id}" in table.colnames
        assert "HillasReconstructor_tel_impact_distance_tel1" in table.colnames
        assert np.isfinite(table["reco_ra"]).all()
        assert events.info["live_time"] == events.info["dl1"]["live_time"]
        mono = {"store": stores[False], "tel_setup": "tel_022", "node": NODE, "config": config}
        assert len(reconstruct_events(dl1, **mono)) > 30

    def test_unknown_night_sky_needs_a_node(self, product_21, config, stores, tmp_path):
        path = tmp_path / "dark_dl1.h5"
        shutil.copy(product_21.path, path)
        with tables.open_file(path, "a") as h5:
            info = json.loads(bytes(h5.root.sst1m.info.read()).decode()) | {"nsb_mhz": None}
            h5.remove_node("/sst1m/info")
            h5.create_array("/sst1m", "info", obj=np.bytes_(json.dumps(info).encode()))
        with pytest.raises(DataQualityError, match="nsb_mhz is null.*--node"):
            self._reconstruct(path, config, stores, node=None)
        assert len(self._reconstruct(path, config, stores)) > 30

    def test_other_kind_of_file_or_configuration_is_refused(self, product_21, mc, config, mc_config, stores):
        with pytest.raises(InputError, match="no telescope 21"):
            self._reconstruct(mc["gamma_test"], config, stores)
        with pytest.raises(InputError, match="no telescope 1"):
            self._reconstruct(product_21.path, mc_config, stores, tel_setup="tel_001")


def test_incomplete_file_is_refused(dl2, tmp_path):
    path = tmp_path / "cut_dl2.h5"
    shutil.copy(dl2("gamma_test", "tel_001"), path)
    with tables.open_file(path, "a") as h5:
        h5.get_node(events_table("tel_001")).truncate(5)
    with pytest.raises(InputError, match="5 rows instead of"):
        read_dl2(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="not a complete DL2"):
        check_dl2(path)
    with pytest.raises(InputError, match="no such file"):
        check_dl2(tmp_path / "nothing.h5")


def test_models_of_two_nodes_are_told_apart(mc, mc_config, models, tmp_path):
    far = Node(45, 180, 100)
    for node in (NODE, far):
        shutil.copytree(models / "models_mono" / str(NODE), tmp_path / "models" / str(node))
    store = ModelStore(tmp_path / "models", stereo=False)
    events = reconstruct_events(mc["gamma_test"], config=mc_config, store=store, tel_setup="tel_001")
    assert events.node == NODE
