"""A night needs no network: coordinates and times come from packaged tables."""

import subprocess

import pytest

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def cut_off(tmp_path):
    """Return what runs a command without network, as far as this machine permits, and its environment."""
    # Neither a cache of earlier downloads nor a way out.
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: NOWHERE for name in ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")}
    environment |= {name.upper(): NOWHERE for name in environment}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    prefix = ("unshare", "--net")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        prefix = ()
    return prefix, environment


def test_a_night_runs_without_network_and_gives_the_same_tables(make_night, warm, cut_off, differing_tables):
    prefix, environment = cut_off
    night, reference = make_night(), make_night()
    for each in (night, reference):
        each.add(21, 1)
    result = night.run(prefix=prefix, **environment)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr and "retr" not in result.stderr.lower()
    assert warm(reference).wait() == 0
    (product,), (expected,) = night.products(), reference.products()
    assert differing_tables(product, expected) == []
