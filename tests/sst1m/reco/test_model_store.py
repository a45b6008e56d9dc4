"""Forests that are not what they should be are refused by name, and nothing else is ever loaded."""

import json
import pickle
import shutil
from pathlib import Path

import joblib
import pytest

from sst1m.errors import InputError, ModelMismatchError
from sst1m.nodes import Node
from sst1m.reco import model_store
from sst1m.reco.model_store import ModelStore, model_telescope

from .conftest import NODE


@pytest.fixture
def copy(models, tmp_path):
    """Return a directory of mono models that a test may spoil."""
    shutil.copytree(models / "models_mono", tmp_path / "models")
    return tmp_path / "models"


def _edit_card(directory: Path, change) -> None:
    path = directory / str(NODE) / "card_tel_001.json"
    card = json.loads(path.read_text())
    change(card)
    # Not what its checksum is for: somebody made this card so.
    card.pop("checksum")
    path.write_text(json.dumps(card))


def _refused(directory: Path, match: str, error=ModelMismatchError) -> None:
    with pytest.raises(error, match=match) as caught:
        ModelStore(directory, stereo=False).load(NODE, (1,))
    assert "\n" not in str(caught.value)


def test_loaded_once_in_a_process(stores, models):
    first = stores[False].load(NODE, (1, 2))
    again = ModelStore(models / "models_mono", stereo=False).load(NODE, (2, 1))
    assert first.telescopes[1] is again.telescopes[1]
    assert first.telescopes[2] is again.telescopes[2]


def test_directory_of_a_node_is_a_store_as_well(models):
    store = ModelStore(models / "models_mono" / str(NODE), stereo=False)
    assert list(store.nodes()) == [NODE]
    assert store.load(NODE, (1,)).telescopes[1].card.telescope == 1


def test_memory_holds_only_so_many(stores, monkeypatch):
    monkeypatch.setattr(model_store, "_CACHE_SIZE", 1)
    stores[False].load(NODE, (1, 2))
    assert len(model_store._CACHE) == 1


def test_telescopes_of_data_use_the_models_of_simulations():
    assert [model_telescope(t) for t in (1, 2, 21, 22)] == [1, 2, 1, 2]


def test_nearest_node(stores):
    choice = stores[False].nearest(Node(25, 10, 300))
    # azimuth and night sky cannot be chosen by, as there is only one of each
    assert choice.node == NODE
    assert 0 < choice.distance < 1
    with pytest.raises(ModelMismatchError, match="models_mono.*steps away"):
        stores[False].nearest(Node(60, 180, 100))


def test_changed_file_is_refused(copy):
    path = copy / str(NODE) / "reg_energy_tel_001.sav"
    forest = joblib.load(path)
    joblib.dump(forest, path, compress=1)
    _refused(copy, "reg_energy_tel_001.sav.*sha256")


def test_code_in_a_model_file_is_not_run(copy, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (copy / str(NODE) / "reg_energy_tel_001.sav").write_bytes(pickle.dumps(Evil()))
    _refused(copy, "sha256")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["reg_energy_tel_001.sav", "card_tel_001.json"])
def test_link_out_of_the_directory_is_refused(copy, tmp_path, name):
    inside, outside = copy / str(NODE) / name, tmp_path / "elsewhere"
    inside.rename(outside)
    inside.symlink_to(outside)
    _refused(copy, "outside the directory of models")


def test_path_in_a_card_cannot_leave_the_directory(copy, models):
    def change(card):
        card["forests"]["reg_energy"]["file"] = str(
            models / "models_mono" / str(NODE) / "reg_energy_tel_001.sav"
        )

    _edit_card(copy, change)
    _refused(copy, "outside the directory of models")


def test_missing_file_or_card_is_named(copy):
    (copy / str(NODE) / "reg_energy_tel_001.sav").unlink()
    _refused(copy, "reg_energy_tel_001.sav.*cannot be read", InputError)
    (copy / str(NODE) / "card_tel_001.json").unlink()
    _refused(copy, "card_tel_001.json.*no model card", InputError)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda card: card.update(telescope=2),
            "models of telescope 2, wanted are mono models of telescope 1",
        ),
        (lambda card: card.update(stereo=True), "stereo models"),
        (lambda card: card["libraries"].update({"scikit-learn": "0.24.1"}), "scikit-learn 0.24.1"),
        (lambda card: card.update(format=99), "not a model card"),
        (lambda card: card.pop("node"), "not a model card"),
        (lambda card: card["forests"]["reg_energy"]["features"].append("x"), "takes 10 features.*names 11"),
        (lambda card: card["forests"]["class_gh"].update(classes=[0, 1]), r"classes are \[0, 101\]"),
        (lambda card: card["forests"]["class_gh"].update(classes=None), "RandomForestClassifier, not a"),
        (lambda card: card["forests"]["reg_energy"]["targets"].append("y"), "1 outputs, the card names 2"),
        (
            lambda card: card["forests"]["reg_energy"]["probe"]["answers"][3].__setitem__(0, 7.0),
            "answers differ",
        ),
    ],
)
def test_card_that_does_not_fit_is_refused(copy, change, match):
    _edit_card(copy, change)
    _refused(copy, match)


@pytest.mark.parametrize(
    ("top", "match"),
    [
        ({"energy_regression_features": ("camera_frame_hillas_width",)}, "reg_energy.*only the models have"),
        ({"disp_method": "disp_vector"}, "disp_method disp_norm_sign"),
    ],
)
def test_other_features_than_the_configuration_names_are_refused(stores, mc_config, change, top, match):
    models = stores[False].load(NODE, (1,))
    models.check_config(mc_config)
    with pytest.raises(ModelMismatchError, match=match):
        models.check_config(change(mc_config, top=top))


def test_order_of_features_counts(stores, mc_config, change):
    turned = tuple(reversed(mc_config.energy_regression_features))
    with pytest.raises(ModelMismatchError, match="another order"):
        stores[True].load(NODE, (1,)).check_config(
            change(mc_config, top={"energy_regression_features": turned})
        )


def test_models_without_protons_are_refused_by_name(copy, mc_config):
    _edit_card(copy, lambda card: card["forests"].pop("class_gh"))
    models = ModelStore(copy, stereo=False).load(NODE, (1,))
    with pytest.raises(ModelMismatchError, match="lack class_gh .trained without protons"):
        models.check_config(mc_config)


def test_no_directory_no_node(stores, tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        ModelStore(tmp_path / "nothing", stereo=False)
    with pytest.raises(
        ModelMismatchError, match="no models of ze40_az180_nsb100; there are: ze20_az180_nsb100"
    ):
        stores[False].load(Node(40, 180, 100), (1,))
    (tmp_path / "lost+found").mkdir()
    assert ModelStore(tmp_path, stereo=False).nodes() == {}
