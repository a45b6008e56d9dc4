"""How many showers were thrown: headers and histograms are compared, and known errors repaired."""

import shutil
from pathlib import Path

import pytest
import tables

from sst1m.errors import InputError
from sst1m.io.thrown import read_thrown
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

SPEC = ShowerSpec("proton", 10, 1.0, 2.0, -2.5, 333, 70, 180, (0.0, 4.0), seed=5)


@pytest.fixture(scope="module")
def proton_file(tmp_path_factory, project_root) -> Path:
    from sst1m.config import load_config

    path = tmp_path_factory.mktemp("thrown") / "dl1.h5"
    config = load_config(project_root / "config" / "sst1m_mc_demo_config.json")
    simulate_mc_dl1(SPEC, path, config=config, nsb_mhz=100)
    return path


@pytest.fixture
def changed(proton_file, tmp_path):
    """Return a function: the file with other numbers in its header and histogram."""

    def change(*, n_entries: int | None = None, rows: int = 1, **header) -> Path:
        path = tmp_path / "changed.h5"
        shutil.copy(proton_file, path)
        with tables.open_file(path, "a") as h5file:
            run = h5file.get_node("/configuration/simulation/run")
            for name, value in header.items():
                run.modify_column(colname=name, column=[value])
            histogram = h5file.get_node("/simulation/service/shower_distribution")
            if n_entries is not None:
                histogram.modify_column(colname="n_entries", column=[n_entries])
            for _ in range(rows - 1):
                run.append(run.read())
            if rows == 0:
                run.truncate(0)
        return path

    return change


def test_what_was_thrown_is_read_with_its_units(proton_file):
    thrown = read_thrown(proton_file)
    assert thrown.n_showers == 10
    assert (thrown.energy_min_tev, thrown.energy_max_tev, thrown.spectral_index) == (1.0, 2.0, -2.5)
    assert (thrown.max_impact_m, thrown.viewcone_min_deg, thrown.viewcone_max_deg) == (333.0, 0.0, 4.0)


def test_reused_showers_count_each_time(changed):
    assert read_thrown(changed(shower_reuse=20, n_entries=200)).n_showers == 200


def test_a_wrong_number_of_uses_in_the_header_is_repaired_from_the_histogram(changed):
    # CORSIKA writes 20 uses at most
    assert read_thrown(changed(shower_reuse=20, n_entries=500)).n_showers == 500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_entries": 195, "shower_reuse": 20}, "no whole number of uses"),
        ({"n_entries": 0}, "no whole number of uses"),
        ({"n_entries": -1}, "no histogram of its showers"),
        ({"rows": 2}, "more than once"),
        ({"rows": 0}, "names no simulated run"),
        ({"obs_id": 99}, "run 99 has no histogram"),
    ],
)
def test_disagreement_is_refused_by_name(changed, change, words):
    path = changed(**change)
    with pytest.raises(InputError) as caught:
        read_thrown(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_files_that_do_not_say_it_are_refused(tmp_path):
    empty = tmp_path / "empty.h5"
    tables.open_file(empty, "w").close()
    with pytest.raises(InputError, match="does not say what was thrown"):
        read_thrown(empty)
    (tmp_path / "text.h5").write_text("text")
    for name in ("text.h5", "nothing.h5"):
        with pytest.raises(InputError, match=name):
            read_thrown(tmp_path / name)
