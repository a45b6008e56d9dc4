"""Tables copied by HDF5 itself are those that PyTables would have written."""

import os

import numpy as np
import pytest
import tables

from sst1m.io.dl1_tables import FILTERS, create_table
from sst1m.io.dl2_tables import write_table
from sst1m.io.hdf5_objects import (
    check_rows,
    children,
    copy_object,
    count_rows,
    is_in,
    memory_file,
    open_to_copy,
    read_rows,
)

MEANING = {"event_id": ("", "number of the event"), "energy": ("TeV", "its energy")}


def some_rows(number, seed=0):
    rows = np.empty(number, dtype=[("event_id", np.int64), ("energy", np.float64)])
    rows["event_id"] = np.arange(number)
    rows["energy"] = np.random.default_rng(seed).random(number)
    return rows


def attributes(node):
    return {name: node._v_attrs[name] for name in node._v_attrs._f_list("all")}


@pytest.fixture
def source(tmp_path):
    with tables.open_file(str(tmp_path / "source.h5"), "w", filters=FILTERS) as h5file:
        create_table(h5file, "/dl1/event/table", some_rows(0).dtype, MEANING).append(some_rows(3000))
        h5file.create_array("/dl1/event", "numbers", obj=np.arange(4))
    return tmp_path / "source.h5"


def test_a_copied_group_has_all_rows_and_attributes(source, tmp_path):
    with open_to_copy(source) as h5file, tables.open_file(str(tmp_path / "copy.h5"), "w") as target:
        copy_object(h5file, "/dl1/event", target, "/far/away/event")
    with tables.open_file(str(source)) as old, tables.open_file(str(tmp_path / "copy.h5")) as new:
        for name in ("table", "numbers"):
            before, after = old.get_node(f"/dl1/event/{name}"), new.get_node(f"/far/away/event/{name}")
            np.testing.assert_array_equal(before.read(), after.read())
            assert str(attributes(before)) == str(attributes(after))


def test_rows_are_those_that_pytables_reads(source):
    with open_to_copy(source) as h5file:
        assert count_rows(h5file, "/dl1/event/table") == 3000
        assert is_in(h5file, "/dl1/event/table") and not is_in(h5file, "/dl1/event/chair")
        assert not is_in(h5file, "/no/such/group")
        # also after PyTables has opened the table and its rows are in memory
        expected = h5file.get_node("/dl1/event/table").read()
        np.testing.assert_array_equal(read_rows(h5file, "/dl1/event/table"), expected)
        np.testing.assert_array_equal(expected, some_rows(3000))
        with pytest.raises(tables.NoSuchNodeError, match="chair"):
            read_rows(h5file, "/dl1/event/chair")


def test_a_lost_piece_is_no_row_of_zeros(tmp_path):
    """The index of a table may lose a piece; HDF5 then reads what was never written."""
    path = tmp_path / "lost.h5"
    rows = some_rows(5000)
    with tables.open_file(str(path), "w") as h5file:
        h5file.create_table("/", "table", obj=rows, chunkshape=1000)
    content = path.read_bytes()
    starts = [at for at in range(len(content)) if content.startswith(b"TREE", at)]
    index = next(at for at in starts if content[at + 4] == 1)
    assert content[index + 6] == 5  # of its entries
    path.write_bytes(content[: index + 6] + b"\x04" + content[index + 7 :])
    with tables.open_file(str(path)) as h5file:
        assert (h5file.root.table[-1000:]["energy"] == 0).all()
    with open_to_copy(path) as h5file:
        with pytest.raises(ValueError, match="1 pieces of /table are missing"):
            count_rows(h5file, "/table")
        with pytest.raises(ValueError, match="1 pieces of /table are missing"):
            read_rows(h5file, "/table")


def test_files_with_a_cache_of_chunks_are_refused(source, tmp_path):
    with tables.open_file(str(source)) as h5file, tables.open_file(str(tmp_path / "x.h5"), "w") as target:
        with pytest.raises(ValueError, match="open_to_copy"):
            copy_object(h5file, "/dl1/event/table", target)
        with pytest.raises(ValueError, match="open_to_copy"):
            read_rows(h5file, "/dl1/event/table")


def test_what_cannot_be_copied_is_an_error(source, tmp_path):
    with open_to_copy(source) as h5file, tables.open_file(str(tmp_path / "x.h5"), "w") as target:
        copy_object(h5file, "/dl1/event/table", target)
        with pytest.raises(tables.HDF5ExtError, match="H5Ocopy"):
            copy_object(h5file, "/dl1/event/table", target)
        with pytest.raises(tables.HDF5ExtError, match="H5Ocopy"):
            copy_object(h5file, "/dl1/event/chair", target)


def write_both(path, rows):
    with tables.open_file(str(path), "w", filters=FILTERS) as h5file:
        write_table(h5file, "/quick/table", rows, MEANING, prefix="x_")
        create_table(h5file, "/slow/table", rows.dtype, MEANING).append(rows)


def check_both(path, rows):
    with tables.open_file(str(path)) as h5file:
        quick, slow = h5file.get_node("/quick/table"), h5file.get_node("/slow/table")
        np.testing.assert_array_equal(quick.read(), rows)
        np.testing.assert_array_equal(slow.read(), rows)
        names = {name: value for name, value in attributes(quick).items() if not name.endswith("_NAME")}
        others = {name: value for name, value in attributes(slow).items() if not name.endswith("_NAME")}
        assert {name for name in others if "FIELD" not in name} <= set(names)
        assert all(str(names[name]) == str(value) for name, value in others.items() if name in names)


@pytest.mark.parametrize("lengths", [(0, 5, 0), (20_000, 3, 150_000)])
def test_tables_from_a_mould_are_those_that_pytables_makes(tmp_path, lengths):
    for number, length in enumerate(lengths):
        rows = some_rows(length, seed=number)
        write_both(tmp_path / f"{number}.h5", rows)
        check_both(tmp_path / f"{number}.h5", rows)


def test_a_forked_process_fills_moulds_of_its_own(tmp_path):
    write_both(tmp_path / "before.h5", some_rows(10))
    pid = os.fork()
    if pid == 0:
        write_both(tmp_path / "child.h5", some_rows(700, seed=1))
        os._exit(0)
    write_both(tmp_path / "parent.h5", some_rows(900, seed=2))
    assert os.waitpid(pid, 0)[1] == 0
    check_both(tmp_path / "child.h5", some_rows(700, seed=1))
    check_both(tmp_path / "parent.h5", some_rows(900, seed=2))
    assert memory_file().isopen


def test_a_listing_that_is_short_hides_nothing(source):
    """PyTables lists what it gets of a group; where the disk refuses a part, it says nothing."""
    with open_to_copy(source) as h5file:
        group = h5file.get_node("/dl1/event")
        assert children(h5file, "/dl1/event") == ["numbers", "table"]
        del group._v_leaves["table"]
        del group._v_children["table"]
        assert is_in(h5file, "/dl1/event/table") and not is_in(h5file, "/dl1/event/other/table")
        with pytest.raises(tables.HDF5ExtError, match="1 of 2 objects in /dl1/event"):
            check_rows(h5file, "/dl1/event")
