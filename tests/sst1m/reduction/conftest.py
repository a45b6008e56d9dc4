"""Comparison of products."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tables


def _all_tables(path: Path) -> dict:
    with tables.open_file(str(path)) as h5:
        return {node._v_pathname: node.read() for node in h5.walk_nodes("/", "Table")}


@pytest.fixture(scope="session")
def assert_same_tables() -> Callable[[Path, Path], None]:
    """Return a function that compares all tables of two files, bit by bit."""

    def compare(path: Path, expected_path: Path) -> None:
        found, expected = _all_tables(path), _all_tables(expected_path)
        assert found.keys() == expected.keys()
        different = [name for name in expected if expected[name].tobytes() != found[name].tobytes()]
        assert different == []

    return compare
