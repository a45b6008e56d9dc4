"""Raw files that are broken in every way seen in real archives, made from a good one, for tests."""

from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from ..instrument import N_PIXELS, N_SAMPLES
from ..io.raw_header import read_raw_header
from ..io.rawfile import RawFile
from .raw_writer import RawWriter

__all__ = ["HOSTILE_TARGETS", "break_raw_file", "with_target"]

#: Values of TARGET that must never become a path, a command or a table of another shape.
HOSTILE_TARGETS = (
    "../../etc_W1_84.386_21.956",
    "/etc/passwd_W1_84.386_21.956",
    "..",
    ".hidden_W1_84.386_21.956",
    "$(touch x)_W1_84.386_21.956",
    "Crab;rm -rf x_W1_84.386_21.956",
    "Crab\\x00_W1_84.386_21.956",
    "report_W1_84.386_21.956",
    "Crab_W1_nan_inf",
    "Crab_W1_384.386_121.956",
    "Crab_W1_1e99_0",
    "_W1_84.386_21.956",
    "-rf_W1_84.386_21.956",
    "",
)

_CARD = 80


def _truncated(content: bytes, _: Path) -> bytes:
    return content[: len(content) * 3 // 5]


def _truncated_header(content: bytes, _: Path) -> bytes:
    return content[:4000]


def _bit_flipped(content: bytes, path: Path) -> bytes:
    events = read_raw_header(path).events
    place = (events.data_offset + events.end) // 2
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


def _zeroed(content: bytes, path: Path) -> bytes:
    events = read_raw_header(path).events
    place = (events.data_offset + events.end) // 2
    return content[:place] + bytes(64) + content[place + 64 :]


def _renamed_card(content: bytes, old: str, new: str) -> bytes:
    before, after = (f"{name:<8}= ".encode() for name in (old, new))
    if content.count(before) < 1:
        raise InputError(f"the raw file has no card {old} to be broken; write it in the style of 2023")
    return content.replace(before, after, 1)


def _without_sum(content: bytes) -> bytes:
    """Return the content without checksums of the events, which would give every change away."""
    start = content.index(b"EXTNAME = 'Events")
    head, tail = content[:start], content[start:]
    return head + _renamed_card(_renamed_card(tail, "DATASUM", "OLDSUM"), "CHECKSUM", "OLDCHECK")


def _missing_column(content: bytes, _: Path) -> bytes:
    samples, other = b"'hiGain_waveforms_samples'", b"'hiGain_waveforms_sampler'"
    return _without_sum(content).replace(samples, other, 1)


_WAYS: dict[str, Callable[[bytes, Path], bytes]] = {
    "empty": lambda content, _: b"",
    "truncated": _truncated,
    "truncated_header": _truncated_header,
    "too_long": lambda content, _: content + bytes(2880),
    "bit_flipped": _bit_flipped,
    "zeroed": _zeroed,
    "not_fits": lambda content, _: b"This is not a FITS file.\n" * 200,
    "no_events_table": lambda content, _: content.replace(b"= 'Events  '", b"= 'Evants  '", 1),
    "missing_column": _missing_column,
}


def break_raw_file(source: Path, destination: Path, way: str) -> Path:
    """
    Write a broken copy of a raw file.

    Parameters
    ----------
    source : Path
        A good raw file.
    destination : Path
        The broken one; its directory must exist. Under the name of another run or telescope it is also a
        renamed file.
    way : str
        ``empty``, ``truncated``, ``truncated_header``, ``too_long``, ``bit_flipped``, ``zeroed``,
        ``not_fits``, ``no_events_table``, ``missing_column``; or ``no_events`` and ``other_telescope``,
        which are valid files with nothing or the wrong thing in them.

    Raises
    ------
    InputError
        The source cannot be broken in this way.
    """
    if way in ("no_events", "other_telescope"):
        _rewritten(source, destination, way)
    elif way in _WAYS:
        destination.write_bytes(_WAYS[way](source.read_bytes(), source))
    else:
        raise InputError(f"{way!r} is no way to break a raw file; choose one of {', '.join(sorted(_WAYS))}")
    return destination


def _rewritten(source: Path, destination: Path, way: str) -> None:
    with RawFile(source) as raw:
        tel_id = raw.tel_id or 21
        if way == "other_telescope":
            tel_id = 43 - tel_id
        with RawWriter(destination, tel_id=tel_id, target=raw.header.target) as writer:
            for block in raw.blocks() if way == "other_telescope" else ():
                shape = (len(block), N_PIXELS, N_SAMPLES)
                samples = block.samples.reshape(shape)
                writer.append(samples, block.index, baseline=block.baseline, present=block.present)


def with_target(source: Path, destination: Path, target: str) -> Path:
    """
    Write a copy of a raw file with another TARGET in its header, checksums of the data staying valid.

    Parameters
    ----------
    source, destination : Path
        A good raw file and the copy; the directory must exist.
    target : str
        Anything; characters that a FITS header cannot hold are written as they are.

    Raises
    ------
    InputError
        The source has no TARGET.
    """
    content = source.read_bytes()
    start = content.find(b"TARGET  = ")
    if start < 0:
        raise InputError(f"{source}: has no TARGET to be replaced; write it in the style of 2023")
    value = target.replace("'", "''")
    card = f"TARGET  = '{value:<8}'".ljust(_CARD)[:_CARD].encode("latin-1")
    destination.write_bytes(content[:start] + card + content[start + _CARD :])
    return destination
