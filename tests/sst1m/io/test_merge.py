"""Files of a simulated sample in one: nothing lost, nothing twice, nothing that does not belong together."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tables
from ctapipe.io import EventSource, TableLoader
from ctapipe.io.hdf5merger import HDF5Merger

from sst1m.cli.merge import merge
from sst1m.config import config_from_dict
from sst1m.errors import InputError
from sst1m.io.dl1 import INFO_NODE, check_dl1
from sst1m.io.merge import merge_dl1
from sst1m.io.thrown import read_thrown
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

GAMMAS = ShowerSpec("gamma", 60, 2.0, 5.0, -2.0, 600, 70, 180, (0.0, 2.0), seed=1)


@pytest.fixture(scope="module")
def make_file(tmp_path_factory, project_root) -> Callable[..., Path]:
    """Return a function that simulates a DL1 file."""
    document = json.loads((project_root / "config" / "sst1m_mc_demo_config.json").read_text())

    def make(spec: ShowerSpec = GAMMAS, obs_id: int = 1, images: str = "none", nsb: float = 100) -> Path:
        config = config_from_dict(document | {"DataWriter": {"write_images": images}})
        path = tmp_path_factory.mktemp("file") / f"run{obs_id}_dl1.h5"
        simulate_mc_dl1(spec, path, config=config, nsb_mhz=nsb, obs_id=obs_id)
        return path

    return make


@pytest.fixture(scope="module")
def files(make_file) -> list[Path]:
    """Two files with events, between them one without any, of the same spectrum."""
    no_trigger = make_file(replace(GAMMAS, n_showers=1, seed=1_000), 2)
    assert check_dl1(no_trigger)["n_events"] == 0
    return [make_file(GAMMAS, 1), no_trigger, make_file(replace(GAMMAS, seed=2), 3)]


@pytest.fixture(scope="module")
def merged(files, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("merged") / "merged.h5"
    merge_dl1(files, output)
    return output


@pytest.fixture(scope="module")
def with_images(make_file) -> list[Path]:
    return [make_file(replace(GAMMAS, seed=10 + i), 10 + i, images="all") for i in range(2)]


@pytest.fixture(scope="module")
def merged_images(with_images, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("merged") / "merged.h5"
    merge_dl1(with_images, output)
    return output


def leaves(path: Path) -> dict[str, np.ndarray]:
    with tables.open_file(path) as h5file:
        return {node._v_pathname: node.read() for node in h5file.walk_nodes("/", "Leaf")}


def edit(source: Path, target: Path, change: Callable[[tables.File], None]) -> Path:
    shutil.copy(source, target)
    with tables.open_file(target, "a") as h5file:
        change(h5file)
    return target


def change_info(**values) -> Callable[[tables.File], None]:
    def change(h5file: tables.File) -> None:
        info = json.loads(bytes(h5file.get_node(INFO_NODE).read()).decode()) | values
        h5file.remove_node(INFO_NODE)
        h5file.create_array("/sst1m", "info", obj=np.bytes_(json.dumps(info).encode()))

    return change


def test_every_table_is_the_sum_of_its_parts(files, merged):
    info, parts, whole = check_dl1(merged), [leaves(path) for path in files], leaves(merged)
    assert whole.keys() == parts[0].keys()
    for where, rows in whole.items():
        if where == INFO_NODE:
            continue
        if where == "/dl1/service/image_statistics":
            assert rows["counts"].tolist() == sum(part[where]["counts"] for part in parts).tolist()
        elif where.startswith("/configuration/instrument"):
            assert rows.tobytes() == parts[0][where].tobytes()
        else:
            assert rows.tobytes() == b"".join(part[where].tobytes() for part in parts), where
    assert info["merged"]["files"] == [path.name for path in files]
    assert info["n_thrown"] == read_thrown(merged).n_showers == 121


def test_merging_merged_files_changes_nothing(files, merged, tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    merge_dl1(files[:2], first)
    merge_dl1([first, files[2]], second)
    ours, theirs = leaves(merged), leaves(second)
    different = [w for w in ours if w != INFO_NODE and ours[w].tobytes() != theirs[w].tobytes()]
    assert different == []
    assert check_dl1(second)["n_events"] == check_dl1(merged)["n_events"]


def test_agrees_with_ctapipe_where_that_has_the_tables(with_images, merged_images, tmp_path):
    theirs = tmp_path / "theirs.h5"
    with HDF5Merger(theirs) as merger:
        for path in with_images:
            merger(path)
    left, right = leaves(merged_images), leaves(theirs)
    missing = {name for name in left if name not in right}
    assert missing and all(name.startswith("/sst1m") for name in missing)
    for name, rows in right.items():
        # It numbers the cameras in the order of a set.
        if not name.startswith("/configuration/instrument"):
            assert left[name].tobytes() == rows.tobytes(), name


def test_ctapipe_reads_the_result(merged_images):
    info = check_dl1(merged_images)
    with EventSource(merged_images, focal_length_choice="EFFECTIVE") as source:
        assert sum(1 for _ in source) == info["n_events"] > 10
    with TableLoader(merged_images) as loader:
        events = loader.read_telescope_events([1], simulated=True, dl1_images=True)
    assert len(events) == info["n_telescope_events"]["1"]
    assert np.all(np.isfinite(events["true_energy"]))


def test_images_can_be_left_out(with_images, tmp_path):
    output = tmp_path / "merged.h5"
    info = merge_dl1(with_images, output, skip_images=True)
    assert check_dl1(output)["n_images"] == info["n_images"] == {}
    names = leaves(output)
    assert not [name for name in names if name.startswith("/dl1/event/telescope/images")]
    true_images = names["/simulation/event/telescope/images/tel_001"]
    assert "true_image" not in true_images.dtype.names and np.all(true_images["true_image_sum"] >= 0)
    with tables.open_file(output) as h5file:
        assert h5file.root._v_attrs["CTA PRODUCT DATA LEVELS"] == "DL1_PARAMETERS"
    with TableLoader(output) as loader:
        assert len(loader.read_telescope_events([1], dl1_images=False)) == info["n_telescope_events"]["1"]


def test_the_same_file_twice_is_refused(files, tmp_path):
    other = tmp_path / "copy_dl1.h5"
    shutil.copy(files[0], other)
    with pytest.raises(InputError, match="both hold event"):
        merge_dl1([files[0], other], tmp_path / "merged.h5")
    no_events = tmp_path / "no_events_dl1.h5"
    shutil.copy(files[1], no_events)
    with pytest.raises(InputError, match="both hold (run|event)"):
        merge_dl1([files[1], no_events], tmp_path / "merged.h5")


def test_what_does_not_belong_together_is_refused_by_name(files, make_file, tmp_path):
    cases = {
        "night sky differs": make_file(GAMMAS, 7, nsb=200),
        "showers of different kinds": make_file(replace(GAMMAS, energy_max_tev=6.0), 8),
        "configuration of the analysis differs": edit(
            files[2], tmp_path / "other_config_dl1.h5", change_info(config_fingerprint="another")
        ),
        "is a file of data": edit(files[2], tmp_path / "data_dl1.h5", change_info(simulated=False)),
    }
    for words, path in cases.items():
        with pytest.raises(InputError) as caught:
            merge_dl1([files[0], path], tmp_path / "merged.h5")
        assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_file_with_an_event_twice_or_without_truth_is_refused(files, tmp_path):
    def twice(h5file: tables.File) -> None:
        table = h5file.get_node("/dl1/event/subarray/trigger")
        table.modify_column(1, 2, colname="event_id", column=table.col("event_id")[:1])

    def lost(h5file: tables.File) -> None:
        h5file.get_node("/simulation/event/subarray/shower").remove_rows(0, 1)

    for change, words in ((twice, "more than once"), (lost, "the truth of")):
        path = edit(files[0], tmp_path / f"{change.__name__}_dl1.h5", change)
        with pytest.raises(InputError, match=words):
            merge_dl1([path], tmp_path / "merged.h5")


def test_broken_files_end_the_merge_or_are_left_out_and_named(files, tmp_path):
    broken = tmp_path / "broken_dl1.h5"
    broken.write_bytes(files[0].read_bytes()[:20_000])
    with pytest.raises(InputError, match="broken_dl1.h5"):
        merge_dl1([broken, files[2]], tmp_path / "merged.h5")
    info = merge_dl1([broken, files[2]], tmp_path / "merged.h5", skip_broken=True)
    assert [record["file"] for record in info["merged"]["skipped"]] == ["broken_dl1.h5"]
    assert info["merged"]["files"] == [files[2].name]
    with pytest.raises(InputError, match="no file to merge, 1 are broken"):
        merge_dl1([broken], tmp_path / "merged.h5", skip_broken=True)


def test_numbers_are_never_cut_to_fit(files, tmp_path):
    # a spectral index written as an integer in the first file must not turn -2.5 of the second into -2
    def as_integer(h5file: tables.File) -> None:
        table = h5file.get_node("/configuration/simulation/run")
        rows, attributes = table.read(), {name: table.attrs[name] for name in table.attrs._f_list("user")}
        kinds = [(n, np.int64 if n == "spectral_index" else rows.dtype[n]) for n in rows.dtype.names]
        table.remove()
        made = h5file.create_table("/configuration/simulation", "run", obj=rows.astype(kinds))
        for name, value in attributes.items():
            made.attrs[name] = value

    first = edit(files[0], tmp_path / "integer_dl1.h5", as_integer)
    with pytest.raises(InputError, match="columns of /configuration/simulation/run"):
        merge_dl1([first, files[2]], tmp_path / "merged.h5")
    merge_dl1([files[2], first], tmp_path / "merged.h5")
    assert leaves(tmp_path / "merged.h5")["/configuration/simulation/run"]["spectral_index"].tolist() == [
        -2,
        -2,
    ]


def test_the_command_merges_a_directory(files, tmp_path, cli):
    for path in files[:2]:
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / "broken_dl1.h5").write_bytes(b"nothing")
    output = tmp_path / "all.h5"
    arguments = ["-d", str(tmp_path), "-o", str(output), "--pattern", "*_dl1.h5"]
    with pytest.raises(InputError, match="broken_dl1.h5"):
        cli(merge, arguments)
    assert not output.exists()
    result = cli(merge, [*arguments, "--skip-broken", "--skip-images"])
    assert "2 files" in result.output and "of 61 showers" in result.output
    assert check_dl1(output)["n_thrown"] == 61
    with pytest.raises(Exception, match="--overwrite"):
        cli(merge, [*arguments, "--skip-broken"])
    arguments = ["-d", str(tmp_path), "-o", str(output), "--pattern", "run1_*", "--overwrite"]
    assert "1 files, " in cli(merge, arguments).output
    with pytest.raises(InputError, match="no file matches"):
        cli(merge, ["-d", str(tmp_path), "-o", str(tmp_path / "x.h5"), "--pattern", "*.hdf"])


@pytest.fixture
def cli():
    from click.testing import CliRunner

    return lambda command, arguments: CliRunner().invoke(command, arguments, catch_exceptions=False)
