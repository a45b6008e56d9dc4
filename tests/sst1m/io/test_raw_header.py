"""Headers of raw files, and the check that a file is whole."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from sst1m.errors import InputError, RawFileError
from sst1m.io.fits_header import data_sum
from sst1m.io.raw_header import read_raw_header, verify_raw_file


def test_header_of_a_real_file(real_raw_file):
    header = read_raw_header(real_raw_file)
    assert header.n_events == 32
    assert header.target is None
    assert header.telescope_hint is None
    assert header.t_start_ns == 1534982401_673508228
    assert header.t_stop_ns == 1534982401_867646916
    assert header.size == header.expected_size == real_raw_file.stat().st_size
    assert header.datasum == 1031358986
    assert header.cards["PBFHEAD"] == "DataModel.CameraEvent"
    assert header.cards["ZRATIO"] == pytest.approx(3.23163294792175)


def test_all_cards_agree_with_astropy(real_raw_file):
    ours = read_raw_header(real_raw_file).cards
    with fits.open(real_raw_file, disable_image_compression=True) as hdus:
        theirs = hdus[1].header
        assert {key: theirs[key] for key in ours} == ours


def test_header_is_read_within_milliseconds(real_raw_file):
    read_raw_header(real_raw_file)
    start = time.perf_counter()
    for _ in range(100):
        read_raw_header(real_raw_file)
    assert (time.perf_counter() - start) / 100 < 0.01


def test_header_of_a_written_file(tmp_path, make_raw_file):
    path = tmp_path / "SST1M2_20240304_0012.fits.fz"
    events = make_raw_file(path, target="Crab_W1_84.386_21.956", tel_id=22, with_config=True)
    header = verify_raw_file(path)
    assert header.telescope_hint == 22
    assert header.target == "Crab_W1_84.386_21.956"
    assert (header.t_start_ns, header.t_stop_ns) == (events.index.time_ns[0], events.index.time_ns[-1])
    assert [hdu.name for hdu in header.hdus] == ["", "DigicamConfig", "Events"]


def test_strings_with_quotes_survive(tmp_path, make_raw_file):
    path = tmp_path / "run.fits.fz"
    make_raw_file(path, target="Barnard's / star")
    assert read_raw_header(path).target == "Barnard's / star"
    assert fits.getheader(path, 1)["TARGET"] == "Barnard's / star"


def test_real_file_is_whole(real_raw_file):
    assert verify_raw_file(real_raw_file) == read_raw_header(real_raw_file)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 2880, (1 << 20) + 5])
def test_checksum_agrees_with_a_sum_of_words(tmp_path, size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    path = tmp_path / "data"
    path.write_bytes(data.tobytes())
    words = np.concatenate([data, np.zeros(-size % 4, dtype=np.uint8)]).view(">u4")
    total = sum(int(word) for word in words)
    with path.open("rb") as file:
        assert data_sum(file, 0, size) == (total % 0xFFFFFFFF or (0xFFFFFFFF if total else 0))


def test_missing_checksum_is_allowed_and_visible(tmp_path, make_raw_file):
    path = tmp_path / "run.fits.fz"
    make_raw_file(path)
    path.write_bytes(path.read_bytes().replace(b"DATASUM ", b"NOSUM   "))
    assert verify_raw_file(path).datasum is None


def test_changed_header_is_found_when_asked_for(tmp_path, make_raw_file, real_raw_file):
    path = tmp_path / "run.fits.fz"
    make_raw_file(path, target="Crab_W1_84.4_22.0")
    verify_raw_file(path, headers=True)
    verify_raw_file(real_raw_file, headers=True)
    path.write_bytes(path.read_bytes().replace(b"Crab_W1", b"Crab_W2"))
    verify_raw_file(path)
    with pytest.raises(RawFileError, match="does not agree with its CHECKSUM"):
        verify_raw_file(path, headers=True)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("n_axes", [1000, 2**47])
def test_a_number_of_axes_that_cannot_be_is_refused_at_once(tmp_path, make_raw_file, n_axes):
    """A damaged count sent the reader through all of them."""
    path = tmp_path / "run.fits.fz"
    make_raw_file(path)
    head, events = path.read_bytes().split(b"XTENSION", 1)
    count = f"NAXIS   = {n_axes:>20}".encode()
    path.write_bytes(head + b"XTENSION" + re.sub(rb"NAXIS   = {20}2", count, events, count=1))
    with pytest.raises(RawFileError, match=f"NAXIS = {n_axes}, not a count"):
        read_raw_header(path)


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    if kind == "one bit":
        place = len(data) // 2
        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    elif kind == "zeros":
        data = data[:100_000] + bytes(64) + data[100_064:]
    elif kind == "longer":
        data += bytes(2880)
    elif kind == "empty":
        data = b""
    elif kind == "text":
        data = b"git-lfs pointer, not a FITS file" * 10
    else:
        data = data[: int(len(data) * float(kind))]
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("0.001", "truncated inside a FITS header"),
        ("0.05", "truncated: "),
        ("0.5", "truncated: "),
        ("0.95", "truncated: "),
        ("one bit", "checksum of 'Events'"),
        ("zeros", "checksum of 'Events'"),
        ("longer", "longer than its headers say"),
        ("empty", "the file is empty"),
        ("text", "not a FITS file"),
    ],
)
def test_damage_is_found_and_named(tmp_path, make_raw_file, kind, reason):
    path = tmp_path / "run.fits.fz"
    make_raw_file(path)
    size = path.stat().st_size
    damage(path, kind)
    with pytest.raises(RawFileError) as caught:
        verify_raw_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert "; copy" in message or "; wait" in message or "; check" in message
    if reason == "truncated: ":
        assert str(size) in message
        assert str(path.stat().st_size) in message


def test_directory_and_missing_file_are_explained(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        read_raw_header(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_raw_header(tmp_path / "run.fits.fz")


def test_fits_file_without_events_is_refused(tmp_path):
    path = tmp_path / "aux.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([], name="DRIVESYSTEM")]).writeto(path)
    with pytest.raises(RawFileError, match="no table 'Events' .found 'DRIVESYSTEM'."):
        read_raw_header(path)


def test_events_table_that_is_not_zfits_is_refused(tmp_path, make_raw_file):
    path = tmp_path / "run.fits.fz"
    make_raw_file(path, 1)
    path.write_bytes(
        path.read_bytes().replace(b"ZTABLE  =                    T", b"ZTABLE  =                    F")
    )
    with pytest.raises(RawFileError, match="not a compressed zfits table"):
        read_raw_header(path)
