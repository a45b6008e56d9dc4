"""Training: what goes into the forests, what the card says, and that nothing is left to chance."""

import json
from dataclasses import replace

import joblib
import numpy as np
import pytest

from sst1m.errors import ConfigError, DataQualityError, InputError
from sst1m.io.dl1_events import read_dl1_events
from sst1m.reco.features import feature_matrix, feature_names, with_derived_features
from sst1m.reco.forest import FlatForest
from sst1m.reco.model_card import ModelCard
from sst1m.reco.training import train_forests
from sst1m.reco.training_sample import mixing_numbers, read_sample
from sst1m.simulation.mc import simulate_mc_dl1

from .conftest import NODE, SPECS

STEMS = ["reg_energy", "reg_disp_norm", "class_disp_sign", "class_gh"]


@pytest.fixture(scope="module")
def train(mc, mc_config, tmp_path_factory):
    def run(config=mc_config, **options):
        directory = tmp_path_factory.mktemp("trained")
        given = {"telescope": 1, "stereo": False, "node": NODE} | options
        return train_forests(mc["gamma_train"], mc["proton_train"], directory, config=config, **given)

    return run


@pytest.fixture(scope="module")
def small(mc_config, change):
    return change(mc_config, n_estimators=3, n_jobs=1, analysis={"n_training_events": 400})


def test_known_files_and_a_card_that_describes_them(models):
    directory = models / "models_mono" / str(NODE)
    names = {f"{stem}_tel_00{t}.sav" for stem in STEMS for t in (1, 2)}
    assert {p.name for p in directory.iterdir()} == names | {"card_tel_001.json", "card_tel_002.json"}
    stereo = {p.name for p in (models / "models_stereo" / str(NODE)).iterdir()}
    assert stereo == {n for n in names if "sign" not in n} | {"card_tel_001.json", "card_tel_002.json"}
    card, _ = ModelCard.read(directory / "card_tel_001.json")
    assert (card.telescope, card.stereo, card.node) == (1, False, str(NODE))
    assert card.forests["class_gh"].classes == [0, 101]
    assert card.forests["class_disp_sign"].classes == [-1, 1]
    energy = card.forests["reg_energy"]
    assert energy.targets == ["log_true_energy"]
    assert energy.features[0] == "log_camera_frame_hillas_intensity"
    assert energy.n_trees == 30
    assert energy.size == (directory / energy.file).stat().st_size
    assert energy.n_nodes > 1000
    assert energy.events_per_second > 1000
    assert len(energy.probe.inputs) == len(energy.probe.answers) == 10
    assert {len(entry["sha256"]) for entry in card.training["inputs"]} == {64}
    assert card.provenance["software"]["sst1m"]


def test_stored_forest_uses_one_core_and_the_configured_arguments(models, mc_config):
    forest = joblib.load(models / "models_mono" / str(NODE) / "reg_energy_tel_001.sav")
    wanted = mc_config.random_forest_regressor_args.model_dump() | {"n_jobs": 1, "verbose": 0}
    assert {name: forest.get_params()[name] for name in wanted} == wanted


def test_every_event_of_the_sample_is_accounted_for(train, small):
    summary = train(small)
    for counts in summary.counts.values():
        removed = [n for name, n in counts.items() if name not in ("n_dl1", "n_usable", "n_drawn")]
        assert counts["n_dl1"] - sum(removed) == counts["n_usable"]
    assert summary.counts["gamma"]["n_drawn"] == 400
    # a third of the gammas is left for the particle forest, and as many protons are taken
    assert summary.forests["class_gh"].n_events == {"gamma": 132, "proton": 132}
    assert summary.forests["reg_energy"].n_events == {"gamma": 400}


def test_same_forests_whatever_the_number_of_cores(train, small, change):
    cards = [train(change(small, n_jobs=n, n_estimators=5)).forests for n in (1, 2)]
    for stem in STEMS:
        assert cards[0][stem].probe == cards[1][stem].probe


def test_another_seed_gives_other_forests(train, small, change):
    cards = [train(change(small, random_state=seed)).forests for seed in (1, 2)]
    assert cards[0]["reg_energy"].probe != cards[1]["reg_energy"].probe


def test_without_reconstructed_features_all_gammas_separate(train, small, change):
    plain = tuple(n for n in small.particle_classification_features if "reco" not in n)
    summary = train(change(small, top={"particle_classification_features": plain}))
    assert summary.forests["class_gh"].n_events == {"gamma": 200, "proton": 200}
    assert summary.forests["class_gh"].features == list(small.mono_features(plain))


def test_disp_vector_is_one_forest_of_two_targets(train, small, change):
    summary = train(change(small, top={"disp_method": "disp_vector"}))
    assert list(summary.forests) == ["reg_energy", "reg_disp", "class_gh"]
    assert summary.forests["reg_disp"].targets == ["disp_dx", "disp_dy"]
    assert len(summary.forests["reg_disp"].probe.answers[0]) == 2


def test_configuration_is_left_as_it_is(train, small):
    before = json.dumps(small.canonical(), sort_keys=True)
    train(small)
    assert json.dumps(small.canonical(), sort_keys=True) == before
    assert "HillasReconstructor_h_max" in feature_names(small, stereo=True)["reg_energy"]
    assert "HillasReconstructor_h_max" not in feature_names(small, stereo=False)["reg_energy"]


def test_node_follows_from_the_simulation(train, small):
    assert train(small, node=None).node == NODE


def test_importances_are_plotted(train, small):
    directory = train(small, plot_features=True).card.parent
    plots = sorted(p.name for p in directory.glob("*.png"))
    assert plots == sorted(f"{stem}_features_tel_001.png" for stem in STEMS)
    assert (directory / plots[0]).read_bytes().startswith(b"\x89PNG")


def test_progress_reaches_its_end(train, small):
    steps = []
    train(small, progress=lambda what, done, total: steps.append((what, done, total)))
    assert [done for _, done, _ in steps] == list(range(len(steps)))
    assert steps[-1][1] == steps[-1][2]


@pytest.mark.parametrize(
    ("n_gamma", "n_proton", "wanted", "ratio", "expected"),
    [
        (1000, 1000, 400, 1.0, (200, 200)),
        (1000, 1000, 400, 3.0, (300, 100)),
        (100, 1000, 1000, 1.0, (100, 100)),
        (1000, 60, 1000, 2.0, (120, 60)),
        (50, 1000, 900, 0.5, (50, 100)),
    ],
)
def test_mixture_keeps_the_ratio(n_gamma, n_proton, wanted, ratio, expected):
    assert mixing_numbers(n_gamma, n_proton, wanted, ratio) == expected


def test_features_follow_the_scaled_intensity(mc):
    events = read_dl1_events(mc["gamma_test"], (1,)).telescopes[1]
    plain, scaled = with_derived_features(events), with_derived_features(events, 1.1)
    name = "log_camera_frame_hillas_intensity"
    difference = scaled[name] - plain[name]
    np.testing.assert_allclose(difference[np.isfinite(difference)], np.log10(1.1))
    found = np.isfinite(plain[name])
    assert np.array_equal(plain[name][found], events[name][found])


def test_feature_matrix_is_what_forests_take():
    columns = {"a": np.array([1.0, 1e300, np.nan]), "b": np.array([2, 3, 4])}
    matrix = feature_matrix(columns, ("b", "a"))
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert matrix[0].tolist() == [2.0, 1.0]
    assert np.isfinite(matrix[1]).all()
    assert np.isnan(matrix[2, 1])


def test_events_are_selected_by_both_telescopes_in_stereo(mc, mc_config):
    about = {"telescope": 2, "gammas": True, "with_protons": True}
    sample = read_sample(mc["gamma_train"], mc_config, stereo=True, **about)
    both = read_dl1_events(mc["gamma_train"], (1, 2)).telescopes
    low = mc_config.event_selection.camera_frame_hillas_intensity[0]
    for events in both.values():
        mine = np.isin(events["event_id"], sample.columns["event_id"])
        assert mine.sum() == len(sample)
        assert (events["camera_frame_hillas_intensity"][mine] >= low).all()


def test_wrong_inputs_are_refused(mc, small, tmp_path):
    given = {"config": small, "telescope": 1, "stereo": False}
    with pytest.raises(ConfigError, match="no telescope 3"):
        train_forests(mc["gamma_train"], None, tmp_path, **(given | {"telescope": 3}))
    with pytest.raises(ConfigError, match="primaries"):
        train_forests(mc["proton_train"], mc["gamma_train"], tmp_path, **given)
    with pytest.raises(InputError, match=r"nothing.h5: this DL1 file cannot be read \(no such file\); check"):
        train_forests(tmp_path / "nothing.h5", None, tmp_path, **given)
    with pytest.raises(DataQualityError, match="too few"):
        train_forests(mc["nothing"], None, tmp_path, **given)
    assert not list(tmp_path.glob("*.json"))


def test_data_teach_nothing(product_21, small, tmp_path):
    with pytest.raises(InputError, match="no telescope 1|no simulation"):
        train_forests(product_21.path, None, tmp_path, config=small, telescope=1, stereo=False)


def test_least_energy_holds_for_training(mc, small, change, tmp_path):
    spec = replace(SPECS["gamma_test"], n_showers=300, energy_min_tev=1.0, seed=8)
    simulate_mc_dl1(spec, tmp_path / "g.h5", config=small, nsb_mhz=100)
    strict = change(small, analysis={"gamma_min_simulated_energy_tev": 5.0})
    about = {"telescope": 1, "stereo": False, "gammas": True, "with_protons": True}
    sample = read_sample(tmp_path / "g.h5", strict, **about)
    assert sample.columns["log_true_energy"].min() >= np.log10(5.0)
    assert sample.counts["below_minimal_energy"] > 0


def test_flat_forest_of_a_stored_file_answers_like_scikit_learn(models, mc, mc_config):
    directory = models / "models_stereo" / str(NODE)
    forest = joblib.load(directory / "class_gh_tel_001.sav")
    about = {"telescope": 1, "stereo": False, "gammas": True, "with_protons": False}
    sample = read_sample(mc["gamma_test"], mc_config, **about)
    inputs = feature_matrix(sample.columns, ["disp_norm"] * forest.n_features_in_)
    assert np.array_equal(FlatForest.of(forest).predict(inputs), forest.predict_proba(inputs))
