"""The file of a production: what loads, what is refused and in which words."""

import copy
import tomllib
from pathlib import Path

import pytest

from sst1m.errors import ConfigError
from sst1m.production.find import find_production
from sst1m.production.load import load_production, production_from_dict

SHIPPED = Path(__file__).parents[3] / "config" / "productions"
#: What a site's own command must get.
COMMAND = {"kind": "command", "command": ["simulate", "{seed}", "{obs_id}", "{output}"]}


@pytest.fixture
def demo() -> dict:
    return tomllib.loads((SHIPPED / "demo.toml").read_text())


def changed(document: dict, changes: dict[str, object]) -> dict:
    """Return the document with values by dotted key; None removes."""
    document = copy.deepcopy(document)
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = document
        for section in sections:
            place = place[section]
        if value is None:
            del place[name]
        else:
            place[name] = value
    return document


@pytest.mark.parametrize("name", ["demo", "standard"])
def test_shipped_productions_load(name):
    production = load_production(SHIPPED / f"{name}.toml")
    assert len(production.axes.nodes) == {"demo": 4, "standard": 48}[name]
    assert production.canonical()["irf_version"] == "0_1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sede": 3, "seed": None}, ["sede: unknown key; did you mean 'seed'?", "seed: missing"]),
        ({"particles.muon": {}}, ["particles.muon: unknown key", "proton_diffuse"]),
        ({"axes.zenith": [20, 20]}, ["axes.zenith: 20 is listed twice"]),
        ({"axes.nsb": [-1]}, ["axes.nsb[0]: found -1", "greater than 0"]),
        ({"axes.nsb": [123.45678]}, ["more digits"]),
        ({"axes.zenith": [20, 70]}, ["axes.zenith: the simulator reaches 65 deg"]),
        ({"source.kind": "corsika"}, ["'simulator', 'files', 'command'"]),
        ({"source": {}}, ["source.kind: missing"]),
        ({"particles.gamma_diffuse.index": None}, ["particles.gamma_diffuse: index missing"]),
        ({"particles.gamma_diffuse.index": -1}, ["index -1 cannot be integrated"]),
        ({"particles.gamma_diffuse.scatter_radius": [1, 2, 3]}, ["3 values for 2 zenith angles"]),
        ({"particles.gamma_diffuse.energy_min": 200}, ["energy_min 200 is not below energy_max 100"]),
        ({"particles.gamma_diffuse.energy_min": 0.01}, ["the simulator begins at 0.05 TeV"]),
        ({"particles.gamma_diffuse.train": {"shards": 1}}, ["gamma_diffuse.train.showers: missing"]),
        ({"particles.gamma_point.view_cone": 2}, ["particles.gamma_point.view_cone: unknown key"]),
        ({"particles.gamma_point.test": None}, ["neither train nor test"]),
        ({"particles": {}}, ["at least one"]),
        ({"particles.proton_diffuse.train.shards": 10**6}, ["at most 999999"]),
        ({"setups": ["mono", "mono"]}, ["setups: 'mono' is listed twice"]),
        ({"accepted_failures": 2}, ["accepted_failures: found 2"]),
        ({"irf_version": "0.1"}, ["irf_version", "0.1"]),
        ({"seed": 900}, ["seed: found 900"]),
        ({"seed": "1"}, ['seed: found "1"', "integer"]),
        ({"source": COMMAND | {"command": ["x", "{output}"]}}, ["{seed} and {obs_id}"]),
        ({"source": COMMAND | {"command": ["x", "{seed}", "{obs_id}"]}}, ["give {output}"]),
        ({"source": COMMAND | {"command": ["{seed}", "{obs_id}", "{output}"]}}, ["the program itself"]),
        ({"source": COMMAND | {"command": ["x", "{output.__class__}"]}}, ["{output.__class__} is not known"]),
        ({"source": COMMAND | {"command": ["x", "{output!r}"]}}, ["a plain form"]),
        ({"source": COMMAND | {"command": ["x", "{output"]}}, ["brace"]),
    ],
)
def test_what_is_wrong_is_said_with_its_key(demo, changes, words):
    with pytest.raises(ConfigError) as caught:
        production_from_dict(changed(demo, changes), "demo.toml")
    assert str(caught.value).startswith("demo.toml: ")
    for word in words:
        assert word in str(caught.value)


def test_all_problems_are_said_at_once(demo):
    wrong = {"seed": "a", "axes.zenith": [20, 20], "particles.gamma_diffuse.view_cone": -1}
    with pytest.raises(ConfigError, match="3 problems"):
        production_from_dict(changed(demo, wrong))


def test_files_bring_their_own_spectrum(demo):
    files = {"kind": "files", "pattern": "/data/{particle}/{node}/{role}/*.simtel.zst"}
    particles = {"gamma_diffuse": {"train": {}, "test": {}}}
    production = production_from_dict(demo | {"source": files, "particles": particles})
    assert not production.source.throws
    assert production.thrown_energies("gamma_diffuse") is None
    with pytest.raises(ConfigError, match="leave out energy_min"):
        production_from_dict(demo | {"source": files})


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("/data/{particle}/{role}/*.simtel.zst", "gives the same files"),
        ("/data/{particle}/{node}/*.simtel.zst", "gives the same files"),
        ("data/{particle}/{node}/{role}/*.simtel.zst", "not absolute"),
        ("/data/{particle}/{node}/{role}/*", "names neither"),
        ("/data/{particel}/{node}/{role}/*.h5", "{particel} is not known"),
        ("/data/{particle}/{node:d}/{role}/*.h5", "source.pattern"),
    ],
)
def test_patterns_that_cannot_work_are_refused(demo, pattern, word):
    particles = {"gamma_diffuse": {"train": {}, "test": {}}}
    source = {"kind": "files", "pattern": pattern}
    with pytest.raises(ConfigError) as caught:
        production_from_dict(demo | {"source": source, "particles": particles})
    assert word in str(caught.value)


def test_words_of_the_site_stand_in_the_pattern(demo):
    source = {
        "kind": "files",
        "pattern": "/data/{particle}/ze{zenith:g}_{nsb}_{azimuth:03d}/run{role}_{shard:05d}.simtel.gz",
        "particle": {"gamma_diffuse": "gammas"},
        "role": {"train": "a", "test": "b"},
    }
    particles = {"gamma_diffuse": {"train": {"shards": 2}, "test": {"shards": 1}}}
    production = production_from_dict(demo | {"source": source, "particles": particles})
    path = production.source.path("gamma_diffuse", "test", production.axes.nodes[1], 7)
    assert path == "/data/gammas/ze20_200_180/runb_00007.simtel.gz"


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("accepted_failures", 0.5, True),
        ("cuts", ["global"], True),
        ("setups", ["stereo"], True),
        ("irf_version", "3_4", True),
        ("seed", 2, False),
        ("axes.nsb", [100, 300], False),
        ("particles.gamma_diffuse.view_cone", 2.5, False),
    ],
)
def test_the_fingerprint_sees_what_existing_products_depend_on(demo, key, value, same):
    before, after = production_from_dict(demo), production_from_dict(changed(demo, {key: value}))
    assert (before.fingerprint() == after.fingerprint()) is same


def test_files_that_are_no_production_end_in_one_line(tmp_path):
    broken = tmp_path / "x.toml"
    broken.write_text("seed = \n")
    for path, word in ((broken, "not toml"), (tmp_path / "y.toml", "no such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError) as caught:
            load_production(path)
        assert word in str(caught.value).lower() and "\n" not in str(caught.value)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_production(broken)


def test_a_production_is_found_by_name_or_path(tmp_path):
    assert find_production("demo", (tmp_path, SHIPPED)) == SHIPPED / "demo.toml"
    assert find_production(str(SHIPPED / "demo.toml"), ()) == SHIPPED / "demo.toml"
    with pytest.raises(ConfigError, match="did you mean demo"):
        find_production("deno", (SHIPPED,))
    with pytest.raises(ConfigError, match="no such file"):
        find_production(str(tmp_path / "demo.toml"), (SHIPPED,))


def test_all_nodes_share_the_energies_of_the_widest():
    production = load_production(SHIPPED / "standard.toml")
    least, largest = production.thrown_energies("gamma_diffuse")
    each = [production.thrown("gamma_diffuse", zenith) for zenith in production.axes.zenith]
    assert len({thrown.energy_min_tev for thrown in each}) > 1
    assert (least, largest) == (0.2, 300)
