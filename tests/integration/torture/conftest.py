"""How much of each campaign is done, and what it found: a table at the end."""

import os

import pytest

#: `make torture` sets it; without it campaigns are short, as part of the tests.
LONG = os.environ.get("SST1M_TORTURE") == "long"


@pytest.fixture(scope="session")
def dose():
    """Return the length of a campaign: the second one in the long form."""
    return lambda short, long: long if LONG else short


def pytest_terminal_summary(terminalreporter):
    """Print what campaigns recorded of themselves."""
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
            terminalreporter.write_line(f"{name:<60} {key:<32} {value}")
