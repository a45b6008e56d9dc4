"""The configuration: what loads, what is refused and in which words, what the fingerprint sees."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sst1m.config import (
    ABSENT,
    DataConfig,
    McConfig,
    config_from_dict,
    describe_config,
    diff_configs,
    key_table,
    load_config,
)
from sst1m.errors import ConfigError

ROOT = Path(__file__).parents[3]
DATA_FILE = ROOT / "config" / "sst1m_data_config.json"
MC_FILE = ROOT / "config" / "sst1m_mc_config.json"


@pytest.fixture
def data() -> dict:
    return json.loads(DATA_FILE.read_text())


@pytest.fixture
def mc() -> dict:
    return json.loads(MC_FILE.read_text())


def put(document: dict, key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        document = document[section]
    document[name] = value


def refusal(document: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        config_from_dict(document, "night.json")
    return str(caught.value)


def mc_of_today(mc: dict) -> dict:
    """The values in which the MC file in use differs from ours."""
    put(mc, "analysis.global_gammaness_cut", 0.6)
    put(mc, "analysis.gamma_efficiency", 0.6)
    put(mc, "event_selection.camera_frame_hillas_intensity", [0, 1000000])
    put(mc, "event_selection.leakage_intensity_width_2", [0, 1])
    mc["particle_classification_features"] = mc["particle_classification_features"][:12]
    mc["analysis"]["n_training_events"] = 7e5
    del mc["DataWriter"]
    return mc


def test_file_in_use_loads_unchanged(shared_data):
    config = load_config(shared_data / "config" / "sst1mpipe_data_config.json")
    assert isinstance(config, DataConfig) and config.kind == "data"
    assert config.analysis.n_training_events == 500000
    assert config.NsbCalibrator.intensity_correction.of(22) == 1.0
    assert config.DataWriter.write_images == "all"
    assert [item.key for item in diff_configs(config, load_config(DATA_FILE))] == [
        "analysis.n_training_events"
    ]


def test_mc_file_in_use_loads_and_its_disagreements_are_seen(mc):
    today = config_from_dict(mc_of_today(mc))
    assert isinstance(today, McConfig) and today.kind == "mc"
    differences = {item.key: item for item in diff_configs(load_config(DATA_FILE), today, shared_only=True)}
    assert set(differences) == {
        "analysis.global_gammaness_cut",
        "analysis.gamma_efficiency",
        "event_selection.camera_frame_hillas_intensity",
        "event_selection.leakage_intensity_width_2",
        "particle_classification_features",
    }
    assert (
        differences["analysis.gamma_efficiency"].left,
        differences["analysis.gamma_efficiency"].right,
    ) == (0.7, 0.6)


def test_our_two_files_agree_where_both_have_a_say():
    ours, simulated = load_config(DATA_FILE), load_config(MC_FILE)
    assert diff_configs(ours, simulated, shared_only=True) == []
    only_one = {item.key: item for item in diff_configs(ours, simulated)}
    assert only_one["analysis.theta2_efficiency"].left is ABSENT
    assert only_one["stereo.event_matching_method"].right is ABSENT


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "analysis.gamma_efficiency",
            1.4,
            "analysis.gamma_efficiency: found 1.4; allowed: number, > 0, <= 1",
        ),
        ("analysis.off_regions", True, "analysis.off_regions: found true"),
        ("analysis.observation_time_h", True, "analysis.observation_time_h: found true"),
        ("analysis.observation_time_h", "50", 'found "50"'),
        ("analysis.n_energy_bins", 20.5, "allowed: whole number, >= 2"),
        ("analysis.n_energy_bins", 1, "allowed: whole number, >= 2"),
        ("analysis.log_energy_min_tev", 3, "log_energy_min_tev 3 is not below log_energy_max_tev 3"),
        ("analysis.bad_pixels.tel_021", [3, 1296], "analysis.bad_pixels.tel_021[1]: found 1296"),
        ("analysis.bad_pixels.tel_021", [3, 4, 3], "pixel 3 is listed twice"),
        ("analysis.stereo_reco_weights", "hillas", "'hillas' is not a usable column"),
        ("event_selection.camera_frame_hillas_width", [-1, 2], "camera_frame_hillas_width[0]: found -1"),
        ("event_selection.camera_frame_hillas_width", [3, 2], "the lower limit 3 is above the upper limit 2"),
        (
            "event_selection.leakage_intensity_width_2",
            [0],
            "event_selection.leakage_intensity_width_2[1]: missing",
        ),
        ("CameraCalibrator.image_extractor_type", "LocalPeak", 'allowed: "LocalPeakWindowSum"'),
        (
            "CameraCalibrator.LocalPeakWindowSum.window_width",
            -7,
            "found -7; allowed: whole number, >= 1, <= 50",
        ),
        ("CameraCalibrator.LocalPeakWindowSum.window_shift", 7, "would not contain the peak"),
        ("NsbCalibrator.apply_pixelwise_Vdrop_correction", True, "are both true; choose one"),
        ("NsbCalibrator.intensity_correction.tel_022", 0, "found 0; allowed: number, > 0"),
        ("ImageProcessor.image_cleaner_type", "MARS", '"ImageCleanerSST" or "TailcutsImageCleaner"'),
        ("ImageProcessor.use_telescope_frame", True, "allowed: false"),
        (
            "ImageProcessor.TailcutsImageCleaner.picture_threshold_pe",
            [["id", 21, 8]],
            "needs each of [21, 22] once",
        ),
        ("DataWriter.write_images", "some", '"none" or "cleaned" or "all"'),
        (
            "stereo.event_matching_method",
            "Closest",
            '"SlidingWindow" or "WhiteRabbitClosest" or "SWATEventIDs"',
        ),
        ("stereo.SlidingWindow.offset_search.time_step", 1.0, "gives 0.02 offsets"),
        ("random_forest_regressor_args.n_jobs", 0, "n_jobs is 0"),
        ("random_forest_regressor_args.random_state", None, "random_state: found null"),
        ("random_forest_classifier_args.criterion", "squared_error", '"gini" or "entropy" or "log_loss"'),
        ("energy_regression_features", ["true_energy"], "'true_energy' is not a usable column"),
        ("energy_regression_features", ["log_reco_energy"], "'log_reco_energy' is not a usable column"),
        (
            "disp_regression_features",
            ["camera_frame_hillas_widht"],
            "did you mean 'camera_frame_hillas_width'?",
        ),
        ("disp_regression_features", [], "not empty"),
        ("disp_method", "disp", '"disp_norm_sign" or "disp_vector"'),
        ("telescope_calibration.tel_021", "", "allowed: text, not empty or null"),
        (
            "mean_charge_to_nsb_rate.tel_021",
            [{"mean_charge_bin_low": 0, "nsb_rate": "lo"}],
            "give 'low', 'med'",
        ),
        ("telescope_equivalent_focal_length.tel_021", 10**400, "allowed: a finite number"),
    ],
)
def test_impossible_values_are_refused_in_clear_words(data, key, value, words):
    put(data, key, value)
    message = refusal(data)
    assert message.startswith("night.json: ") and words in message
    assert "\n" not in message


def test_a_selection_of_one_limit_is_refused_once(data):
    data["event_selection"]["leakage_intensity_width_2"] = [0, 0.7, 1]
    assert "found [0, 0.7, 1]" in refusal(data)


def test_cleaning_levels(data):
    levels = data["ImageProcessor"]["ImageCleanerSST"]["telescope_defaults"]["tel_021"]
    levels.reverse()
    assert config_from_dict(data).fingerprint() == load_config(DATA_FILE).fingerprint()
    levels[0]["boundary_threshold_pe"] = 9
    assert (
        "telescope_defaults.tel_021[0]: boundary_threshold_pe 9 is above picture_threshold_pe 8"
        in refusal(data)
    )
    levels[0]["boundary_threshold_pe"] = 4
    levels[1]["min_nsb_level"] = 1
    assert "one level must begin at 0" in refusal(data)


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('true')",
        "parameters.__class__ > 0",
        "open('x')",
        "(lambda: 1)() > 0",
        "hillas > 1",
        "1 >",
    ],
)
def test_quality_criteria_are_no_programs(data, condition):
    data["ShowerProcessor"]["HillasReconstructor"]["StereoQualityQuery"]["quality_criteria"] = [
        ["bad", condition]
    ]
    assert "quality_criteria[0][1]" in refusal(data)


def test_misspelt_and_misplaced_keys_get_a_hint(data):
    data["analysis"]["gama_efficiency"] = data["analysis"].pop("gamma_efficiency")
    data["analysis"]["n_bins_migration"] = 51
    data["telescope_coords"]["tel_22"] = data["telescope_coords"].pop("tel_022")
    data["off_regions"] = 5
    message = refusal(data)
    assert "analysis.gama_efficiency: unknown key; did you mean 'gamma_efficiency'?" in message
    assert "analysis.gamma_efficiency: missing; allowed: number, > 0, <= 1" in message
    assert (
        "analysis.n_bins_migration: unknown key; it belongs to a configuration of the other kind" in message
    )
    assert "telescope_coords.tel_22: unknown key; did you mean 'tel_022'?" in message
    assert "off_regions: unknown key; did you mean 'analysis.off_regions'?" in message
    assert message.startswith("night.json: 6 problems\n")


def test_telescope_keys_decide_the_kind(data):
    data["analysis"]["bad_pixels"]["tel_001"] = []
    assert "telescope keys of data and of MC" in refusal(data)
    assert "has no telescope keys" in refusal({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON, line 1 column 1"),
        ("{'a': 1}", "is not JSON, line 1 column 2"),
        ("[1, 2]", "holds a JSON list"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested deeper than 20 levels"),
        ('{"a":' * 100000, "is not a usable JSON configuration"),
        ('{"a": ' + "9" * 5000 + "}", "is not a usable JSON configuration"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, words):
    path = tmp_path / "night.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(path)
    assert len(str(caught.value)) < 400


def test_missing_file_directory_and_binary(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="is a directory"):
        load_config(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load_config(tmp_path / "binary.json")


def test_repeated_keys_and_numbers_outside_json(tmp_path):
    text = DATA_FILE.read_text()
    text = text.replace('"off_regions": 5,', '"off_regions": 5, "off_regions": 4,')
    text = text.replace('"global_theta_cut": 0.2', '"global_theta_cut": NaN')
    text = text.replace('"observation_time_h": 50', '"observation_time_h": 1e999')
    path = tmp_path / "night.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: 3 problems\n")
    assert "analysis.off_regions: stands more than once" in message
    assert "analysis.global_theta_cut: found NaN; allowed: a finite number" in message
    assert "analysis.observation_time_h: found Infinity; allowed: a finite number" in message


def test_a_loaded_configuration_cannot_be_changed():
    config = load_config(DATA_FILE)
    with pytest.raises(ValidationError, match="frozen"):
        config.analysis.off_regions = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.DataWriter = None
    assert isinstance(config.energy_regression_features, tuple)
    config.canonical()["analysis"]["off_regions"] = 99
    assert config.analysis.off_regions == 5
    features = config.mono_features(config.disp_regression_features)
    assert (
        "HillasReconstructor_h_max" not in features
        and len(config.disp_regression_features) == len(features) + 2
    )


def test_telescopes_are_never_translated_in_silence():
    config = load_config(DATA_FILE)
    with pytest.raises(KeyError):
        config.analysis.bad_pixels.of(1)
    assert set(config.telescope_coords.by_telescope()) == {21, 22}


def test_fingerprint_ignores_spelling(tmp_path, data):
    reference = load_config(DATA_FILE)
    data["analysis"]["observation_time_h"] = 50.0
    data["analysis"]["n_training_events"] = 7e5
    data["analysis"]["log_energy_min_tev"] = -1.0
    data["telescope_coords"] = dict(reversed(data["telescope_coords"].items()))
    data["random_forest_regressor_args"]["n_jobs"] = 3
    del data["DataWriter"]
    path = tmp_path / "other.json"
    path.write_text(json.dumps(dict(reversed(data.items())), indent=7))
    other = load_config(path)
    assert other.fingerprint() == reference.fingerprint()
    assert other.path == path and len(other.fingerprint()) == 64
    assert [item.key for item in diff_configs(reference, other)] == ["random_forest_regressor_args.n_jobs"]


def leaf_keys(document: object, key: tuple = ()) -> list[tuple]:
    if isinstance(document, dict):
        return [leaf for name, item in document.items() for leaf in leaf_keys(item, (*key, name))]
    return [key]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_changed_value_changes_the_fingerprint_or_is_refused(draw):
    """No key is without effect: whatever value changes is refused or seen."""
    document = json.loads(DATA_FILE.read_text())
    key = draw.draw(st.sampled_from([k for k in leaf_keys(document) if k[-1] not in ("n_jobs", "verbose")]))
    changed = copy.deepcopy(document)
    here = changed
    for part in key[:-1]:
        here = here[part]
    value = here[key[-1]]
    if isinstance(value, bool):
        here[key[-1]] = not value
    elif isinstance(value, int | float):
        here[key[-1]] = value + 1
    elif isinstance(value, str):
        here[key[-1]] = f"{value}_x"
    elif isinstance(value, list) and value:
        here[key[-1]] = value[:-1]
    else:
        return
    try:
        config = config_from_dict(changed)
    except ConfigError:
        return
    reference = config_from_dict(document)
    assert config.fingerprint() != reference.fingerprint()
    assert len(diff_configs(reference, config)) == 1


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([None, True, -1, 1e308, "", "x", [], {}, [[]], {"x": 1}, float("nan")]))
def test_any_garbage_ends_in_a_config_error(draw, garbage):
    document = json.loads(MC_FILE.read_text())
    key = draw.draw(st.sampled_from(leaf_keys(document)))
    for depth in range(1, len(key)):
        changed = copy.deepcopy(document)
        here = changed
        for part in key[:depth]:
            here = here[part]
        here[key[depth]] = garbage
        try:
            config_from_dict(changed)
        except ConfigError as error:
            assert key[depth] in str(error) or "telescope keys" in str(error) or depth == 0


def test_every_key_is_described_and_documented():
    text = (ROOT / "docs" / "configuration.md").read_text()
    for model in (DataConfig, McConfig):
        assert key_table(model) in text, "docs/configuration.md: renew its tables with 'sst1m config keys'"
        for row in describe_config(model):
            assert row.allowed and row.default and row.meaning, row.key
    documented = {row.key for row in describe_config(DataConfig)}
    in_file = {".".join(key) for key in leaf_keys(json.loads(DATA_FILE.read_text()))}
    assert in_file <= documented
