"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Return the directory of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the directory of real SST-1M data, or skip where there is none."""
    for candidate in (os.environ.get("SST1M_DATA"), ROOT.parent / "shared" / "data"):
        if candidate and Path(candidate, "raw", "example_SST1M_20180822.fits.fz").is_file():
            return Path(candidate).resolve()
    pytest.skip("no real SST-1M data at hand: name their directory in SST1M_DATA")


@pytest.fixture(scope="session")
def real_raw_file(shared_data: Path) -> Path:
    """Return the real raw file of 2018-08-22: 32 events of telescope 22."""
    return shared_data / "raw" / "example_SST1M_20180822.fits.fz"
