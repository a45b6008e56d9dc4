"""The catalogue of sources: positions, other names, and how to add one."""

import re

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import FK4, SkyCoord
from astropy.table import Table

from sst1m.errors import ConfigError, InputError
from sst1m.names import parse_target
from sst1m.sources import DEFAULT_SOURCES, Source, read_sources

HEAD = "name,ra,dec,aliases\nCrab,83.6,22.0,M1;Taurus A\n"


@pytest.fixture
def catalogue(tmp_path):
    def make(text: str):
        path = tmp_path / "sources.ecsv"
        path.write_text(text)
        return read_sources(path)

    return make


def test_every_name_can_stand_in_a_target_header():
    catalogue = read_sources()
    for name, source in catalogue.sources.items():
        target = parse_target(f"{name}_W1_{source.ra_deg:.5f}_{source.dec_deg:.5f}")
        assert (target.kind, target.name, target.wobble) == ("science", name, "W1")
        assert catalogue.named(name) is source


def test_positions_agree_with_the_names_that_carry_one():
    """1ES, PG, PKS and H name the position of 1950; LHAASO and HESS that of 2000."""
    coded = re.compile(r"(?:1ES|PG|PKS|H|LHAASOJ|HESSJ)(\d\d)(\d\d)([+-])(\d\d)(\d*)$")
    n_compared = 0
    for name, source in read_sources().sources.items():
        if (match := coded.match(name)) is None:
            continue
        position = SkyCoord(source.ra_deg * u.deg, source.dec_deg * u.deg)
        frame = "icrs" if "J" in name else FK4(equinox="B1950")
        there = position.transform_to(frame)
        hours, minutes, sign, degrees, rest = match.groups()
        fraction = int(rest) / (60 if len(rest) == 2 else 10) if rest else 0
        declination = (int(degrees) + fraction) * (1 if sign == "+" else -1)
        assert there.ra.deg == pytest.approx(15 * (int(hours) + int(minutes) / 60), abs=0.26), name
        assert there.dec.deg == pytest.approx(declination, abs=0.15 if rest else 1), name
        n_compared += 1
    assert n_compared > 10


def test_astropy_reads_it_too():
    table = Table.read(DEFAULT_SOURCES, format="ascii.ecsv")
    assert table["ra"].unit == table["dec"].unit == u.deg
    assert np.allclose(table["ra"], [source.ra_deg for source in read_sources().sources.values()])


@pytest.mark.parametrize("name", ["Crab", "crab", "M1", "m 1", "TaurusA", "taurus_a"])
def test_other_names_lead_to_the_same_source(catalogue, name):
    assert catalogue(HEAD).named(name) == Source("Crab", 83.6, 22.0)
    assert name in catalogue(HEAD)


def test_an_unknown_source_says_how_to_add_it(catalogue):
    with pytest.raises(InputError, match=r"no source named 'Carb'.*is it Crab.*'Carb,<ra>,<dec>,'") as error:
        catalogue(HEAD).named("Carb")
    assert "\n" not in str(error.value) and "sources.ecsv" in str(error.value)
    with pytest.raises(InputError, match=r"'NAME,<ra>,<dec>,'") as error:
        catalogue(HEAD).named("../../etc\n/passwd; rm")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("../x,1,2,", "cannot name a source"),
        ("cs1,1,2,", "the night directory needs this name"),
        ("A,360,2,", "is no position"),
        ("A,nan,2,", "is no position"),
        ("A,1,-91,", "is no position"),
        ("A,one,2,", "not two numbers"),
        ("A,1,2,crab", "line 3: 'crab' is also a name of Crab"),
        ("Crab,1,2,", "listed twice"),
        ("A,1,2", "3 values for 4 columns"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(catalogue, line, problem):
    with pytest.raises(ConfigError, match=re.escape(problem)):
        catalogue(f"{HEAD}{line}\n")


def test_other_columns_or_no_file_are_refused(catalogue, tmp_path):
    with pytest.raises(ConfigError, match="it needs name, ra, dec, aliases"):
        catalogue("name,dec,ra\nCrab,22,83\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sources(tmp_path / "absent.ecsv")
    assert catalogue("name,ra,dec\nCrab,83,22\n").named("Crab").ra_deg == 83
