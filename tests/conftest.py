"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: `make torture` sets it; without it campaigns are short, as part of the tests.
LONG = os.environ.get("SST1M_TORTURE") == "long"


@pytest.fixture(scope="session")
def dose():
    """Return what chooses the length of a campaign: the second number in the long form."""
    return lambda short, long: long if LONG else short


def pytest_terminal_summary(terminalreporter):
    """Print what campaigns have recorded of themselves."""
    rows = [
        (report.nodeid.split("::")[-1], key, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for key, value in report.user_properties
    ]
    if rows and LONG:
        terminalreporter.section("what the campaigns did")
        for name, key, value in sorted(rows):
            terminalreporter.write_line(f"{name:<62} {key:<36} {value}")


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
