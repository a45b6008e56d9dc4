"""A product that was damaged after it was written is recognised by the JSON beside it."""

import errno
import json
import os

import pytest
import tables

from sst1m.checkpoint import committed
from sst1m.checksum import check_unchanged
from sst1m.errors import InputError, UnreadableError
from sst1m.io.damage import explained_damage


@pytest.fixture
def product(tmp_path):
    path = tmp_path / "run_dl1.h5"
    with committed(path, side_files={path.with_suffix(".json"): lambda: b'{"counts": {"n": 1}}'}) as part:
        part.write_bytes(bytes(range(256)) * 40_000)
    return path


def test_the_checksum_stands_in_the_provenance(product):
    record = json.loads(product.with_suffix(".json").read_text())
    assert record["counts"] == {"n": 1}
    assert record["file"]["size"] == product.stat().st_size == 10_240_000
    check_unchanged(product)


@pytest.mark.parametrize("place", [0, 5_000_000, 10_239_999])
def test_any_changed_bit_is_seen(product, place):
    content = bytearray(product.read_bytes())
    content[place] ^= 0x10
    product.write_bytes(content)
    with pytest.raises(InputError, match="damaged or changed later; delete it and run again"):
        check_unchanged(product)


def test_lost_and_added_bytes_are_seen(product):
    content = product.read_bytes()
    for changed in (content[:-1], content + b"\0", b""):
        product.write_bytes(changed)
        with pytest.raises(InputError, match=f"its {len(changed)} bytes are not the 10240000"):
            check_unchanged(product)


def test_without_a_checksum_there_is_nothing_to_compare(product):
    product.with_suffix(".json").write_text("{}")
    product.write_bytes(b"something else")
    check_unchanged(product)
    product.with_suffix(".json").unlink()
    check_unchanged(product)
    product.unlink()
    check_unchanged(product)


def test_a_product_without_provenance_does_not_inherit_that_of_another(product):
    with committed(product) as part:
        part.write_bytes(b"made anew")
    check_unchanged(product)
    assert not product.with_suffix(".json").exists()


def test_hdf5_never_meets_a_damaged_product(tmp_path):
    path = tmp_path / "run_dl1.h5"
    with committed(path, side_files={path.with_suffix(".json"): lambda: b"{}"}) as part:
        with tables.open_file(str(part), "w") as h5file:
            h5file.create_array("/", "numbers", obj=list(range(100)))
    with explained_damage(path, "DL1 file"), tables.open_file(str(path)) as h5file:
        assert h5file.root.numbers.nrows == 100
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(InputError, match="damaged or changed"), explained_damage(path, "DL1 file"):
        pytest.fail("it was opened")


def test_what_the_disk_refuses_is_not_taken_for_damage(product):
    with (
        pytest.raises(UnreadableError, match="run_dl1.h5: this DL1 file cannot be read .Stale file handle"),
        explained_damage(product, "DL1 file"),
    ):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(product))


def test_a_file_with_its_own_bytes_is_not_damaged_whatever_a_library_makes_of_it(product):
    """HDF5 tells of some reads that the disk refuses as of objects that are not there."""
    with (
        pytest.raises(UnreadableError, match="although it has the bytes that were written"),
        explained_damage(product, "DL1 file"),
    ):
        raise tables.NoSuchNodeError("there is no /dl1/event")


def test_without_a_checksum_a_lack_is_taken_for_damage(product):
    product.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="not a complete DL1 file") as caught:
        with explained_damage(product, "DL1 file"):
            raise tables.NoSuchNodeError("there is no /dl1/event")
    assert not isinstance(caught.value, UnreadableError)


def test_a_file_that_is_gone_is_not_damaged(tmp_path):
    path = tmp_path / "run_dl1.h5"
    with pytest.raises(UnreadableError, match="no such file"), explained_damage(path, "DL1 file"):
        tables.open_file(str(path))
