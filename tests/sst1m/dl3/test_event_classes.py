"""Photon lists of one class of events: its events alone, with its responses, as gammapy reads them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from gammapy.data import DataStore

from sst1m.cli.dl2_dl3 import dl2_dl3
from sst1m.dl3.cuts import GlobalCut
from sst1m.errors import InputError, ModelMismatchError
from sst1m.io.dl2 import read_dl2, write_dl2
from sst1m.irf.gadf import read_irfs, write_irfs

EDGES = "a" * 64


@pytest.fixture
def classified(make_dl2: Callable, new_run: type, tmp_path: Path) -> Path:
    """Return a DL2 file of data whose events have the classes 0 to 4 in turn."""
    dl2 = make_dl2(tmp_path / "plain", new_run())
    events = read_dl2(dl2)
    table = events.table.copy()
    table["event_type"] = np.arange(len(events), dtype=np.int8) % 5
    info = dict(events.info) | {"event_classes": {"fingerprint": EDGES}}
    output = tmp_path / "dl2" / dl2.name
    output.parent.mkdir()
    write_dl2(output, replace(events, table=table, info=info), dl1=dl2)
    return output


def marked(tree: Path, fingerprint: str) -> Path:
    """Write down in all responses of a tree which edges their classes have."""
    for path in tree.rglob("*_irfs.fits"):
        write_irfs(replace(read_irfs(path), making={"CLASSES": fingerprint}), path)
    return tree


@pytest.fixture(scope="module")
def tree(write_irf_tree: Callable, config) -> Path:
    """Return responses of the classes 1 and 4 in one tree."""
    cuts = [GlobalCut.from_config(config, n) for n in (1, 4)]
    root, other = (marked(write_irf_tree(cut, (20, 30, 40)), EDGES) for cut in cuts)
    for path in other.rglob("*_irfs.fits"):
        target = root / path.relative_to(other)
        target.parent.mkdir()
        path.rename(target)
    return root


def test_each_class_gets_its_own_directory_that_gammapy_opens(
    classified: Path, tree: Path, project_root: Path, tmp_path: Path
):
    before = classified.read_bytes()
    result = CliRunner().invoke(
        dl2_dl3,
        [
            *("-d", str(classified.parent), "-i", str(tree), "-o", str(tmp_path / "dl3")),
            *("-c", str(project_root / "config" / "sst1m_data_config.json"), "--target-name", "Crab"),
            *("--event-classes", "1", "--event-classes", "4"),
        ],
    )
    assert result.exit_code == 0, result.exception
    assert classified.read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "dl3").iterdir()) == ["event_class_1", "event_class_4"]
    for number in (1, 4):
        store = DataStore.from_dir(tmp_path / "dl3" / f"event_class_{number}")
        (observation,) = store.get_observations(required_irf="full-enclosure")
        ids = observation.events.table["EVENT_ID"] - 1
        assert len(ids) > 3 and np.all(ids % 5 == number)
        (path,) = (tmp_path / "dl3" / f"event_class_{number}").glob("SST1M_*.fits")
        header = fits.getheader(path, "EVENTS")
        assert (header["EVCLASS"], header["GHTAG"]) == (number, f"0.75_ec{number}")
        assert fits.getheader(path, "EFFECTIVE AREA")["EVCLASS"] == number


def test_classes_that_do_not_belong_together_are_refused(
    classified: Path, tree: Path, export: Callable, config, write_irf_tree, cuts, irf_dir, tmp_path: Path
):
    first = GlobalCut.from_config(config, 1)
    request = {"cuts": first, "irfs": tree}
    plain = [tmp_path / "plain" / classified.name]
    with pytest.raises(InputError, match="the events have no classes"):
        export(plain, tmp_path / "dl3", **request)
    with pytest.raises(InputError, match=r"no responses of tel_021 with the gammaness tag 0\.75_ec2"):
        export([classified], tmp_path / "dl3", cuts=GlobalCut.from_config(config, 2), irfs=tree)
    with pytest.raises(InputError, match=r"gammaness tag 0\.75_ec1"):
        export([classified], tmp_path / "dl3", cuts=first, irfs=irf_dir)
    for path in (renamed := write_irf_tree(first, (20, 30, 40))).rglob("*_irfs.fits"):
        fourth = tree / str(path.relative_to(renamed)).replace("_ec1", "_ec4")
        path.write_bytes(fourth.read_bytes())
    with pytest.raises(ModelMismatchError, match="it has been renamed"):
        export([classified], tmp_path / "dl3", cuts=first, irfs=renamed)
    with pytest.raises(ModelMismatchError, match="divided into classes by other edges"):
        other = marked(write_irf_tree(first, (20, 30, 40)), "b" * 64)
        export([classified], tmp_path / "dl3", cuts=first, irfs=other)
    assert not (tmp_path / "dl3").exists()


def test_all_events_together_need_no_classes(classified: Path, export: Callable, tmp_path: Path):
    both = [
        export(files, tmp_path / name)
        for name, files in {"with": [classified], "without": [tmp_path / "plain" / classified.name]}.items()
    ]
    assert both[0].observations[0]["n_written"] == both[1].observations[0]["n_written"] > 20
