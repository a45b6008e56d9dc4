"""Small files spoiled at random, as disks, copies, editors and hands spoil them, for campaigns of tests."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = [
    "BYTE_WAYS",
    "TEXT_WAYS",
    "WRONG_VALUES",
    "edited",
    "flipped",
    "places",
    "spoiled_bytes",
    "spoiled_text",
]

_SECTOR = 512
_LONG = 10_000_000
_DEEP = 5_000
#: What a program, an editor or a hand might leave in the place of a value.
WRONG_VALUES = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, -(2**70), 10**400, 0.5, -1e-300, 1e308),
    *(
        float("nan"),
        float("inf"),
        -float("inf"),
        "",
        "x",
        "\0",
        "\ud800",
        "\u202e\u0661",
        "../../x",
        "1",
        "NaN",
    ),
    *([], {}, [None], [[]], [[float("nan")]], {"x": 1}, [1, 2, 3], "x" * 3000),
)


def flipped(content: bytes, rng: np.random.Generator, n_bits: int) -> bytes:
    """Return a content with some bits flipped."""
    changed = bytearray(content)
    for place in rng.integers(0, len(changed), n_bits) if changed else ():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _lost(content: bytes, rng: np.random.Generator) -> bytes:
    """Lose a sector, or a part of one, to zeros."""
    place = int(rng.integers(max(len(content), 1)))
    size = min(int(rng.choice([1, 16, _SECTOR])), len(content) - place)
    return content[:place] + bytes(size) + content[place + size :]


def _moved(content: bytes, rng: np.random.Generator) -> bytes:
    """Put a piece of the file into the place of another one."""
    size = int(rng.integers(1, max(2, min(_SECTOR, len(content)))))
    one, other = (int(rng.integers(max(1, len(content) - size))) for _ in range(2))
    return content[:one] + content[other : other + size] + content[one + size :]


def _shifted(content: bytes, rng: np.random.Generator) -> bytes:
    """Insert or leave out a few bytes."""
    place, size = int(rng.integers(max(len(content), 1))), int(rng.integers(1, 9))
    if rng.random() < 0.5:
        return content[:place] + rng.bytes(size) + content[place:]
    return content[:place] + content[place + size :]


_Way = Callable[[bytes, np.random.Generator], bytes]
#: Ways to spoil any file, by name.
BYTE_WAYS: dict[str, _Way] = {
    "bit": lambda content, rng: flipped(content, rng, 1),
    "bits": lambda content, rng: flipped(content, rng, int(rng.integers(2, 20))),
    "cut": lambda content, rng: content[: int(rng.integers(max(len(content), 1)))],
    "lost": _lost,
    "moved": _moved,
    "shifted": _shifted,
    "empty": lambda content, rng: b"",
}


def _lines(change: Callable[[list[bytes], int, int], None]) -> _Way:
    """Return a way that does something to two random lines."""

    def spoil(content: bytes, rng: np.random.Generator) -> bytes:
        lines = content.splitlines(keepends=True)
        if lines:
            change(lines, *(int(n) for n in rng.integers(0, len(lines), 2)))
        return b"".join(lines)

    return spoil


def _exchange(lines: list[bytes], one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


def _recoded(encoding: str) -> _Way:
    return lambda content, rng: content.decode("utf-8", errors="replace").encode(encoding, errors="replace")


def _with(*pieces: bytes) -> _Way:
    """Return a way that puts one of some pieces somewhere."""

    def spoil(content: bytes, rng: np.random.Generator) -> bytes:
        place = int(rng.integers(len(content) + 1))
        return content[:place] + pieces[int(rng.integers(len(pieces)))] + content[place:]

    return spoil


def _instead(*contents: bytes) -> _Way:
    return lambda content, rng: contents[int(rng.integers(len(contents)))]


#: Further ways to spoil a file of text, by name.
TEXT_WAYS: dict[str, _Way] = {
    "line lost": _lines(lambda lines, one, other: lines.__delitem__(one)),
    "line doubled": _lines(lambda lines, one, other: lines.insert(other, lines[one])),
    "lines exchanged": _lines(_exchange),
    "UTF-16": _recoded("utf-16"),
    "byte order mark": _recoded("utf-8-sig"),
    "line ends": lambda content, rng: content.replace(b"\n", b"\r\n" if rng.random() < 0.5 else b"\r"),
    "odd characters": _with(
        *(b"\0", b"\xff", b"\x1b[31m", "\u00e9".encode("latin-1"), "\u2028".encode(), "\u0661".encode())
    ),
    "nested": _instead(
        b"[" * _DEEP, b'{"a":' * _DEEP, b"a = " + b"[" * _DEEP, b"a" + b".a" * _DEEP + b" = 1"
    ),
    "one long word": _instead(
        b"x" * _LONG, b'"' + b"x" * _LONG + b'"', b"1" * _LONG, b"x = " + b"1" * _LONG, b"[" + b"x" * _LONG
    ),
    "something else": _instead(b"null", b"[]", b"0", b'"x"', b"{}", b"\x89PNG\r\n\x1a\n\0\0", b"\n\n \n"),
}


def spoiled_bytes(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return one of `BYTE_WAYS` and what it makes of a content."""
    way = str(rng.choice(list(BYTE_WAYS)))
    return way, BYTE_WAYS[way](content, rng)


def spoiled_text(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return one of `BYTE_WAYS` or `TEXT_WAYS` and what it makes of a content."""
    ways = BYTE_WAYS | TEXT_WAYS
    way = str(rng.choice(list(ways)))
    return way, ways[way](content, rng)


def places(document: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the values of a JSON document stand; of a long list only the first ones."""
    if isinstance(document, dict):
        items: Iterator[tuple[Any, Any]] = iter(document.items())
    else:
        items = enumerate(document[:3]) if isinstance(document, list) else iter(())
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def edited(document: dict[str, Any], rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """
    Return what was done to a JSON document, and the document with one value replaced, lost, added or moved.

    Parameters
    ----------
    document : dict
        Left as it is.
    rng : numpy.random.Generator
        Decides.
    """
    document = json.loads(json.dumps(document))
    known = list(places(document))
    *path, key = known[int(rng.integers(len(known)))]
    parent: Any = document
    for step in path:
        parent = parent[step]
    way = str(rng.choice(["value", "value", "value", "missing", "extra", "moved"]))
    if way == "value":
        parent[key] = WRONG_VALUES[int(rng.integers(len(WRONG_VALUES)))]
    elif way == "missing":
        del parent[key]
    elif isinstance(parent, list):
        parent.reverse()
    elif way == "extra":
        parent[f"{key}_"] = parent[key]
    else:
        other = str(rng.choice(list(parent)))
        parent[key], parent[other] = parent[other], parent[key]
    return way, document
