"""Models with damaged, exchanged or smuggled files: refused by name, or the very models; no code runs."""

import hashlib
import json
import os
import pickle
import shutil
import signal
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from sst1m.errors import Sst1mError
from sst1m.isolation import run_isolated
from sst1m.nodes import Node
from sst1m.reco.misdirection import MisdirectionCard
from sst1m.reco.model_store import ModelStore, forget_models
from sst1m.simulation.spoiled import edited, flipped, places, spoiled_bytes

from .conftest import NODE

CARD = "card_tel_001.json"
OTHER_NODE = Node(40, 180, 100)


class _Smuggled:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


class Spoiler:
    """Spoils a directory of models in one of many ways; the same number spoils it in the same way."""

    def __init__(self, good: Path, stereo: Path, trace: Path) -> None:
        self.good, self.stereo, self.trace = good, stereo, trace

    def spoil(self, directory: Path, number: int) -> str:
        """Change one thing; return its name."""
        way = list(WAYS)[number % len(WAYS)]
        WAYS[way](self, directory, np.random.default_rng([7, number]))
        return way

    def any_file(self, directory, rng):
        return directory / str(rng.choice(sorted(path.name for path in directory.iterdir())))

    def forest(self, directory, rng):
        return directory / str(rng.choice(sorted(path.name for path in directory.glob("*.sav"))))

    def bits(self, directory, rng, card):
        path = directory / CARD if card else self.forest(directory, rng)
        path.write_bytes(flipped(path.read_bytes(), rng, int(rng.integers(1, 9))))

    def bytes_of_any(self, directory, rng):
        path = self.any_file(directory, rng)
        _, content = spoiled_bytes(path.read_bytes(), rng)
        path.write_bytes(content)

    def edit(self, directory, rng, checksum):
        """Edit the card as a hand does, or as a program that makes its checksum anew."""
        card = json.loads((directory / CARD).read_text())
        own = card.pop("checksum")
        _, card = edited(card, rng)
        (directory / CARD).write_text(json.dumps(card if not checksum else card | {"checksum": own}))

    def exchange(self, directory, rng):
        """Give a forest the name of another one; of the same telescope, the other one, or stereo."""
        one = self.forest(directory, rng)
        other = self.forest(self.stereo if rng.random() < 0.5 else directory, rng)
        shutil.copyfile(other, directory / "other.part")
        os.replace(directory / "other.part", one)

    def exchange_card(self, directory, rng):
        """Put the card of the other telescope, of stereo, or of another node in the place of the card."""
        other = int(rng.integers(3))
        if other == 2:
            shutil.copyfile(directory / CARD, directory.parent / str(OTHER_NODE) / CARD)
            return
        shutil.copyfile((directory / "card_tel_002.json", self.stereo / CARD)[other], directory / CARD)

    def smuggle(self, directory, rng):
        path = self.forest(directory, rng)
        path.write_bytes(pickle.dumps(_Smuggled(self.trace), protocol=int(rng.integers(6))))

    def lead_out(self, directory, rng):
        """Let the card name code outside, by ``..``, an absolute path, a link, or a circle of links."""
        code = pickle.dumps(_Smuggled(self.trace))
        outside = directory.parents[1] / "outside.sav"
        outside.write_bytes(code)
        card = json.loads((directory / CARD).read_text())
        entry = card["forests"][str(rng.choice(sorted(card["forests"])))]
        link = directory / "link.sav"
        link.symlink_to(outside if rng.random() < 0.8 else link)
        names = ("../../outside.sav", str(outside), "link.sav", "./link.sav", "link.sav/../../../outside.sav")
        entry |= {"file": str(rng.choice(names)), "sha256": hashlib.sha256(code).hexdigest()}
        card.pop("checksum")
        (directory / CARD).write_text(json.dumps(card))

    def no_file(self, directory, rng):
        """Remove a file, or put something else than a file in its place."""
        path = self.any_file(directory, rng)
        path.unlink()
        way = int(rng.integers(3))
        if way == 1:
            path.mkdir()
        elif way == 2:
            path.symlink_to(path)

    def nested(self, directory, rng):
        deep = 10 ** int(rng.integers(2, 6))
        (directory / CARD).write_text(str(rng.choice(["[", '{"a":', '{"forests":['])) * deep)


WAYS = {
    "bits of a forest": lambda s, d, rng: s.bits(d, rng, card=False),
    "bits of the card": lambda s, d, rng: s.bits(d, rng, card=True),
    "bytes": Spoiler.bytes_of_any,
    "card edited": lambda s, d, rng: s.edit(d, rng, checksum=True),
    "card edited without checksum": lambda s, d, rng: s.edit(d, rng, checksum=False),
    "forests exchanged": Spoiler.exchange,
    "cards exchanged": Spoiler.exchange_card,
    "code in a forest": Spoiler.smuggle,
    "path out of the directory": Spoiler.lead_out,
    "no file": Spoiler.no_file,
    "nested": Spoiler.nested,
}


@pytest.fixture
def mono(models, tmp_path):
    """Return a function that makes a directory of mono models: one node, and one that waits for its card."""

    def make() -> Path:
        shutil.rmtree(tmp_path / "models", ignore_errors=True)
        (tmp_path / "models" / str(OTHER_NODE)).mkdir(parents=True)
        shutil.copytree(models / "models_mono" / str(NODE), tmp_path / "models" / str(NODE))
        for path in (tmp_path / "models" / str(NODE)).glob("*tel_001*.sav"):
            (tmp_path / "models" / str(OTHER_NODE) / path.name).symlink_to(path)
        return tmp_path / "models"

    return make


def content_of(models):
    """Return all that answers depend on, and all that pages show of the models."""
    forests = {
        (tel, stem): [array.tobytes() for array in vars(forest).values() if array is not None]
        for tel, one in models.telescopes.items()
        for stem, forest in one.forests.items()
    }
    return forests, {tel: asdict(one.card) for tel, one in models.telescopes.items()}


def load(directory, config):
    signal.alarm(60)
    forget_models()
    store = ModelStore(directory, stereo=False)
    nodes = store.nodes()
    models = store.load(OTHER_NODE if OTHER_NODE in nodes else NODE, (1, 2))
    models.check_config(config)
    return content_of(models)


@pytest.mark.torture
def test_damaged_models_are_refused_or_the_same(mono, models, mc_config, tmp_path, dose, record_property):
    good = load(mono(), mc_config)
    signal.alarm(0)
    trace = tmp_path / "smuggled code has run"
    spoiler = Spoiler(models / "models_mono" / str(NODE), models / "models_stereo" / str(NODE), trace)
    ended, wrong = Counter(), []
    for number in range(dose(110, 3000)):
        directory = mono()
        way = spoiler.spoil(directory / str(NODE), number)
        try:
            found = run_isolated(load, directory, mc_config, subject=str(directory))
        except Sst1mError as error:
            ended[way, "refused"] += 1
            if str(directory) not in str(error) or "crashed" in str(error) or "\n" in str(error):
                wrong.append(f"{number} {way}: {error}")
            continue
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            wrong.append(f"{number} {way}: {type(error).__name__}: {error}")
            continue
        ended[way, "same"] += 1
        if not same_models(found, good, edited_by_hand=way.endswith("without checksum")):
            wrong.append(f"{number} {way}: other models")
    assert not trace.exists()
    for (way, end), count in sorted(ended.items()):
        record_property(f"{way}: {end}", count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:25]])
    assert {
        "code in a forest",
        "path out of the directory",
        "cards exchanged",
        "no file",
        "nested",
    }.isdisjoint(way for way, end in ended if end == "same")


def same_models(found, good, *, edited_by_hand):
    """Whether forests and cards are equal; of a card edited by hand, whether what answers depend on is."""
    (forests, cards), (good_forests, good_cards) = found, good
    if not edited_by_hand:
        return forests == good_forests and cards == good_cards
    deciding = ("telescope", "stereo", "node")
    return forests == good_forests and all(
        cards[tel][name] == good_cards[tel][name] for tel in good_cards for name in deciding
    )


def test_each_change_of_a_card_is_seen(models):
    path = models / "models_mono" / str(NODE) / CARD
    card = json.loads(path.read_text())
    assert len(list(places(card))) > 100
    for *parents, key in places(card):
        document = json.loads(path.read_text())
        inner = document
        for name in parents:
            inner = inner[name]
        inner[key] = "x" if inner[key] != "x" else "y"
        other = path.with_name("changed.json")
        other.write_text(json.dumps(document))
        with pytest.raises(Sst1mError, match="changed.json is not a model card"):
            type(ModelStore(path.parent, stereo=False).load(NODE, (1,)).telescopes[1].card).read(other)
        other.unlink()


def test_misdirection_cards_are_read_as_strictly(tmp_path):
    path = tmp_path / "card_misdirection_tel_001.json"
    card = MisdirectionCard("tel_001", str(NODE), "0" * 64, {"1": "0" * 64}, {}, {"numpy": "2"})
    path.write_bytes(card.to_json())
    assert MisdirectionCard.read(path)[0] == card
    content = json.loads(path.read_text())
    del content["checksum"]
    for key, value in (("models", []), ("node", 5), ("forests", {"reg_misdirection": {}}), ("more", 1)):
        path.write_text(json.dumps(content | {key: value}))
        with pytest.raises(Sst1mError, match=path.name):
            MisdirectionCard.read(path)
