"""Raw names and TARGET headers: what is read, what is refused, and that nothing hostile names a file."""

import datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sst1m.errors import OutputError, RawFileError
from sst1m.layout import NightLayout
from sst1m.names import RawName, parse_target, shown, target_name_problem

NIGHT = NightLayout(Path("/data/analysis"), datetime.date(2024, 3, 4))


def test_a_raw_name_tells_telescope_night_and_run():
    name = RawName.parse("SST1M2_20240304_0012.fits.fz")
    assert (name.tel, name.tel_id, name.date, name.run) == (2, 22, datetime.date(2024, 3, 4), 12)
    assert name.obs_id == 202403040012
    assert str(name) == "SST1M2_20240304_0012.fits.fz"


@given(st.sampled_from([1, 2]), st.dates(), st.integers(0, 9999))
def test_raw_names_survive_the_way_to_text_and_back(tel, date, run):
    if date.year >= 1000:
        assert RawName.parse(str(RawName(tel, date, run))) == RawName(tel, date, run)


@pytest.mark.parametrize(
    "name",
    [
        "SST1M3_20240304_0012.fits.fz",
        "SST1M1_20240231_0012.fits.fz",
        "SST1M1_20240304_012.fits.fz",
        "SST1M1_20240304_00012.fits.fz",
        "SST1M1_20240304_0012.fits",
        "SST1M1_20240304_0012.fits.fz\n",
        "sst1m1_20240304_0012.fits.fz",
        "SST1M1_20240304_001².fits.fz",
        "../SST1M1_20240304_0012.fits.fz",
        "",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(RawFileError, match="not a raw name"):
        RawName.parse(name)


@pytest.mark.parametrize(
    ("header", "name", "wobble", "ra", "dec"),
    [
        ("Crab_W1_84.386_21.956", "Crab", "W1", 84.386, 21.956),
        ("Crab,W2,82.881,22.083", "Crab", "W2", 82.881, 22.083),
        ("CrabW1,84.4,21.96", "CrabW1", "W1", 84.4, 21.96),
        ("Crab_W1,84.4,21.96", "Crab", "W1", 84.4, 21.96),
        ("Mrk 421, W12, 166.1, +38.2", "Mrk421", "W12", 166.1, 38.2),
        ("PKS_2155-304_W2_329.7_-30.2", "PKS_2155-304", "W2", 329.7, -30.2),
        ("1ES_1959+650_W1_300.0_65.1", "1ES_1959+650", "W1", 300.0, 65.1),
        ("1ES_1959+650,W1,300.0,65.1", "1ES_1959+650", "W1", 300.0, 65.1),
        ("3C_273_187.3_2.05", "3C_273", "UNDEF", 187.3, 2.05),
        ("W51,290.9,14.1", "W51", "UNDEF", 290.9, 14.1),
        ("W51,W1,290.9,14.1", "W51", "W1", 290.9, 14.1),
        ("GW170817_197.45_-23.38", "GW170817", "UNDEF", 197.45, -23.38),
        ("Crab_W1234_84.4_21.9", "Crab_W1234", "UNDEF", 84.4, 21.9),
        ("Crab,W0,0,-90", "Crab", "W0", 0.0, -90.0),
    ],
)
def test_target_headers_of_all_kinds_are_read(header, name, wobble, ra, dec):
    target = parse_target(header)
    assert (target.name, target.wobble, target.ra_deg, target.dec_deg) == (name, wobble, ra, dec)
    assert (target.kind, target.reason) == ("science", "")


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("dark", "dark"),
        ("DARK", "dark"),
        ("drak", "dark"),
        ("Dark_20240304", "dark"),
        ("Transition", "transition"),
        ("TRANSITION,0,0", "transition"),
        ("BIAS", "test"),
        ("WRtest", "test"),
        ("UNKNOWN", "unknown"),
    ],
)
def test_headers_that_are_no_observation_have_their_kind_and_a_reason(header, kind):
    target = parse_target(header)
    assert target.kind == kind
    assert target.name == ""
    assert header in target.reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Crab", "no coordinates"),
        ("Crab_W1", "no coordinates"),
        ("Crab,W1,360,21", "outside [0, 360)"),
        ("Crab,W1,-1,21", "outside [0, 360)"),
        ("Crab,W1,84,90.5", "outside [-90, 90]"),
        ("Crab,W1,1e9,21", "outside [0, 360)"),
    ],
)
def test_a_valid_name_without_valid_pointing_waits_for_the_operator(header, reason):
    target = parse_target(header)
    assert (target.kind, target.name, target.ra_deg, target.dec_deg) == ("science", "Crab", None, None)
    assert reason in target.reason


HOSTILE = [
    "../../etc/passwd,W1,84.4,21.9",
    "..,W1,84.4,21.9",
    "a..b,W1,84.4,21.9",
    "/abs,W1,84.4,21.9",
    "Crab;rm -rf ~,W1,84.4,21.9",
    "$(reboot),W1,84.4,21.9",
    "`id`,W1,84.4,21.9",
    "Crab'\"W1,84.4,21.9",
    "Crab\nW1,84.4,21.9",
    "Crab\x00,W1,84.4,21.9",
    "Crab\x1b[2J,W1,84.4,21.9",
    "Crab\tX,W1,84.4,21.9",
    ".hidden,W1,84.4,21.9",
    "-rf,W1,84.4,21.9",
    "C" * 300 + ",W1,84.4,21.9",
    "Сrab,W1,84.4,21.9",  # a Cyrillic letter
    "Crab\u202e,W1,84.4,21.9",
    "Crab\uff0f..,W1,84.4,21.9",
    "quarantine,W1,84.4,21.9",
    "Report,W1,84.4,21.9",
    "Crab,W1,nan,21.9",
    "Crab,W1,84.4,inf",
    "Crab,W1,8_4.4,21.9",
    "Crab,W1,٨٤,21.9",
    ",W1,84.4,21.9",
    "",
    "   ",
]


@pytest.mark.parametrize("header", HOSTILE)
def test_hostile_headers_give_no_name_but_a_printable_reason(header):
    target = parse_target(header)
    assert (target.kind, target.name) == ("unknown", "")
    assert target.reason.isascii() and target.reason.isprintable()
    assert len(target.reason) < 300


@given(
    st.one_of(
        st.text(max_size=400), st.from_regex(r"[\w./+-]{1,20}[,_](W\d[,_])?-?\d+[,_]-?\d+", fullmatch=True)
    )
)
@example("Crab,W1,84.4,21.9")
def test_whatever_the_header_says_the_path_stays_below_the_night(header):
    target = parse_target(header)
    if not target.name:
        assert target.kind != "science" and target.reason
        return
    path = NIGHT.dl1_path(RawName(1, NIGHT.date, 1), target.name, target.wobble)
    assert path.parent.parent.parent.parent == NIGHT.root
    assert ".." not in path.parts
    assert NIGHT.parse_dl1_path(path).target == target.name
    assert target.ra_deg is None or (0 <= target.ra_deg < 360 and -90 <= target.dec_deg <= 90)


@given(st.text(max_size=200))
def test_text_from_outside_is_shown_on_one_short_line(text):
    line = shown(text)
    assert line.isascii() and line.isprintable() and "\n" not in line
    assert len(line) <= 60 * 10 + 2


def test_no_layout_path_is_made_of_a_name_that_breaks_the_rules():
    for header in HOSTILE:
        name = header.split(",")[0]
        if target_name_problem(name):
            with pytest.raises(OutputError, match="no product path"):
                NIGHT.dl1_path(RawName(1, NIGHT.date, 1), name)
    with pytest.raises(OutputError, match="wobble"):
        NIGHT.dl1_path(RawName(1, NIGHT.date, 1), "Crab", "W1/..")
