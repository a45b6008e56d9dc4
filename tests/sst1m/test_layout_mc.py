"""Paths of simulations: both directions agree, and names from outside never leave their directory."""

from itertools import product
from pathlib import Path

import pytest

from sst1m.errors import ConfigError, InputError
from sst1m.layout_mc import PARTICLES, ROLES, ProductionLayout, ShardName, irf_path, parse_irf_path
from sst1m.nodes import Node

NODE = Node(20, 180, 100)


def test_every_shard_has_a_path_of_its_own_that_says_what_it_is():
    layout = ProductionLayout(Path("/mc"), "demo")
    nodes = [NODE, Node(20, 180, 200), Node(40, 0, 100.5)]
    seen = set()
    for particle, node, role, index in product(PARTICLES, nodes, ROLES, (0, 7, 999_999)):
        path = layout.shard(particle, node, role, index)
        assert ShardName.parse(path.name) == ShardName(particle, node, role, index)
        assert path.is_relative_to(layout.root)
        seen.add(path)
    assert len(seen) == len(PARTICLES) * len(nodes) * len(ROLES) * 3


def test_the_paths_are_those_of_the_documentation():
    layout = ProductionLayout(Path("/mc"), "demo")
    name = "gamma_diffuse_ze20_az180_nsb100_train"
    base = "/mc/demo/dl1/gamma_diffuse/ze20_az180_nsb100/train"
    assert str(layout.shard("gamma_diffuse", NODE, "train", 3)) == f"{base}/shards/{name}_000003_dl1.h5"
    assert str(layout.merged("gamma_diffuse", NODE, "train")) == f"{base}/{name}_dl1.h5"
    assert str(layout.models(NODE, stereo=True)) == "/mc/demo/models_stereo/ze20_az180_nsb100"
    assert str(layout.cuts(NODE, "stereo", "efficiency")).endswith(
        "cuts/ze20_az180_nsb100/gammaness_cuts_efficiency_stereo.h5"
    )
    assert str(irf_path(Path("/irf"), "tel_001", "0_6", NODE, "0.75")) == (
        "/irf/data/sst1m_tel_021/0_6/bcf/ze20_az180_nsb100_gc0.75/SST1M_tel_021_Zen20deg_gcut0.75_irfs.fits"
    )


@pytest.mark.parametrize("setup", ["tel_001", "tel_002", "stereo"])
@pytest.mark.parametrize("tag", ["0.75", "energydep", "0.75_ec1", "energydep_ec4"])
def test_the_path_of_a_response_says_what_it_is(setup, tag):
    path = irf_path(Path("/irf"), setup, "0_12", Node(40, 90, 136.5), tag)
    data = {"tel_001": "tel_021", "tel_002": "tel_022", "stereo": "stereo"}[setup]
    assert parse_irf_path(path) == (data, "0_12", Node(40, 90, 136.5), tag)


@pytest.mark.parametrize(
    "change",
    [
        ("sst1m_stereo", "sst1m_tel_023"),
        ("0_6", "0.6"),
        ("bcf", "irf"),
        ("gc0.75", "gc0.70"),
        ("Zen20deg", "Zen40deg"),
    ],
)
def test_a_path_that_contradicts_itself_is_refused(change):
    path = str(irf_path(Path("/irf"), "stereo", "0_6", NODE, "0.75"))
    with pytest.raises((InputError, ConfigError)):
        parse_irf_path(Path(path.replace(*change)))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a..b", "x" * 64, "dé", "a b", "-x"])
def test_names_that_are_no_directory_are_refused(name):
    with pytest.raises(ConfigError, match="name"):
        ProductionLayout(Path("/mc"), name)


@pytest.mark.parametrize(
    "name",
    [
        "gamma_diffuse_ze20_az180_nsb100_train_3_dl1.h5",
        "muon_ze20_az180_nsb100_train_000003_dl1.h5",
        "gamma_diffuse_ze20.0_az180_nsb100_train_000003_dl1.h5",
        "gamma_diffuse_ze20_az180_nsb100_train_000003_dl2.h5",
    ],
)
def test_other_names_are_no_shards(name):
    with pytest.raises(InputError, match="shard"):
        ShardName.parse(name)


@pytest.mark.parametrize(
    ("version", "tag"), [("0.6", "0.75"), ("0_6", "0,75"), ("0_6", "../x"), ("", "0.75"), ("0_6", "0.75_ec5")]
)
def test_versions_and_tags_are_checked(version, tag):
    with pytest.raises(ConfigError):
        irf_path(Path("/irf"), "stereo", version, NODE, tag)
