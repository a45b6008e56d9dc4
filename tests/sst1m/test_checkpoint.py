"""A product is visible only when it is complete and valid, and a failed write says why and what to do."""

import errno
import os
import subprocess
import threading

import pytest
import tables

from sst1m.checkpoint import committed, explained_write_errors, held_lock, sweep_parts, write_atomically
from sst1m.errors import InputError, OutputError


def names(directory) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_product_appears_with_its_side_files_and_nothing_else(tmp_path):
    product = tmp_path / "deep" / "run_W1_dl1.h5"
    order = []

    def side_content() -> bytes:
        order.append("side")
        assert not product.exists()
        return b"log"

    with committed(
        product,
        validate=lambda path: order.append(path.read_text()),
        side_files={product.with_suffix(".log"): side_content},
    ) as part:
        assert part.parent == product.parent and part.name.startswith(".") and part.name.endswith(".part.h5")
        part.write_text("events")
        assert not product.exists()
    assert order == ["events", "side"]
    assert product.read_text() == "events"
    assert names(product.parent) == {"run_W1_dl1.h5", "run_W1_dl1.log"}


@pytest.mark.parametrize("where", ["writing", "validating", "side file"])
def test_an_error_leaves_nothing_and_keeps_the_old_product(tmp_path, where):
    product = tmp_path / "run_dl1.h5"
    product.write_text("old")

    def fail(_path=None):
        raise ValueError(where)

    with pytest.raises(ValueError, match=where):
        with committed(
            product,
            validate=fail if where == "validating" else None,
            side_files={tmp_path / "run_dl1.json": fail} if where == "side file" else None,
        ) as part:
            part.write_text("new")
            if where == "writing":
                fail()
    assert product.read_text() == "old"
    assert names(tmp_path) == {"run_dl1.h5"}


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="nothing was written"):
        with committed(tmp_path / "run_dl1.h5"):
            pass


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no right to write"),
        (errno.EFBIG, "may not grow"),
    ],
)
def test_failed_writes_name_file_reason_and_way_out(tmp_path, number, words):
    product = tmp_path / "run_dl1.h5"
    with pytest.raises(OutputError, match=f"run_dl1.h5: cannot be written: .*{words}"):
        with committed(product) as part:
            part.write_text("some")
            raise OSError(number, os.strerror(number), str(part))
    assert names(tmp_path) == set()


def test_an_error_about_another_file_is_not_taken_for_a_failed_write(tmp_path):
    with pytest.raises(PermissionError):
        with explained_write_errors(tmp_path / "run_dl1.h5"):
            raise PermissionError(errno.EACCES, "denied", "/calibration/file.h5")


def test_a_file_size_limit_is_explained(tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError, match="ulimit -f"):
            write_atomically(tmp_path / "table.ecsv", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == set()


def test_a_full_disk_is_recognised_behind_an_error_of_hdf5(tmp_path):
    import tables

    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        (place / "ballast").write_bytes(b"x" * 190_000)
        with pytest.raises(OutputError, match="the disk is full"), committed(place / "run_dl1.h5"):
            raise tables.HDF5ExtError("Problems appending the elements")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    with pytest.raises(tables.HDF5ExtError), committed(tmp_path / "run_dl1.h5"):
        raise tables.HDF5ExtError("not about the disk")


def test_only_the_remains_of_the_named_product_are_swept(tmp_path):
    for name in (
        ".run_W1_dl1.1-a.part.h5",
        ".run_W1_dl1.2-b.part.h5",
        ".run_W2_dl1.3-c.part.h5",
        "run_W1_dl1.h5",
    ):
        (tmp_path / name).touch()
    sweep_parts(tmp_path / "run_W1_dl1.h5", tmp_path / "absent" / "x.h5")
    assert names(tmp_path) == {".run_W2_dl1.3-c.part.h5", "run_W1_dl1.h5"}


def test_a_lock_is_free_when_its_holder_is_killed(tmp_path):
    lock, reader_writer = tmp_path / "locks" / "run.lock", os.pipe()
    pid = os.fork()
    if pid == 0:
        with held_lock(lock):
            os.write(reader_writer[1], b"held")
            threading.Event().wait()
    assert os.read(reader_writer[0], 4) == b"held"
    with held_lock(lock, wait=False) as held:
        assert not held
    waited = []
    os.kill(pid, 9)
    with held_lock(lock, on_wait=lambda: waited.append(True)) as held:
        assert held
    os.waitpid(pid, 0)


def test_text_replaced_atomically_is_old_or_new_for_every_reader(tmp_path):
    path, stop, seen = tmp_path / "manifest.ecsv", threading.Event(), set()
    write_atomically(path, b"a" * 10_000)

    def read() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for letter in (b"b", b"c") * 20:
        write_atomically(path, letter * 10_000)
    stop.set()
    reader.join()
    assert seen <= {letter * 10_000 for letter in (b"a", b"b", b"c")}


def test_what_the_system_said_to_hdf5_is_said_on(tmp_path):
    """A disk that refuses once and is well again afterwards is still the disk's fault, and not the file's."""
    path = tmp_path / "run_dl1.h5"
    trace = (
        'HDF5 error back trace\n  File "H5FDsec2.c", line 818, in H5FD__sec2_write\n    file write failed: '
        f"filename = '{tmp_path}/.run_dl1.17-ab.part.h5', file descriptor = 16, errno = 5, error message = "
        "'Input/output error', buf = 0x55"
    )
    with pytest.raises(OutputError, match="input/output error: check the disk"), explained_write_errors(path):
        raise tables.HDF5ExtError(trace)
    with pytest.raises(tables.HDF5ExtError), explained_write_errors(tmp_path / "other.h5"):
        raise tables.HDF5ExtError(trace)


@pytest.mark.parametrize("kind", [InputError, OSError])
def test_what_was_just_written_and_is_not_valid_is_the_fault_of_the_disk(tmp_path, kind):
    def refuse(_path):
        raise kind("there is no table")

    with (
        pytest.raises(OutputError, match="what was written is not complete .there is no table"),
        committed(tmp_path / "run_dl1.h5", validate=refuse) as part,
    ):
        part.write_bytes(b"events")
    assert names(tmp_path) == set()


def test_a_directory_that_cannot_be_looked_at_is_no_error_of_the_program(tmp_path):
    """PyTables says that it does not exist, without a number."""
    product = tmp_path / "gone" / "run_dl1.h5"
    with (
        pytest.raises(OutputError, match="run_dl1.h5: cannot be written: its directory was removed"),
        explained_write_errors(product),
    ):
        tables.open_file(str(product), "w")
