"""Nanoseconds TAI, and their way to every other scale."""

import calendar
import time

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from sst1m.times import (
    GADF_TIME_HEADER,
    WHITE_RABBIT_START_NS,
    camera_clock_to_tai,
    gadf_seconds_to_ns,
    ns_to_ctao_high_res,
    ns_to_gadf_seconds,
    ns_to_time,
    ns_to_utc_text,
    ns_to_utc_unix,
    tai_to_camera_clock,
    time_to_ns,
    utc_text_to_ns,
)

NS = 1_000_000_000
#: First event of SST1M1_20260121_0001.
GOLDEN = 1_769_015_262_383_583_536


def test_the_clock_of_a_real_event():
    assert ns_to_utc_text(GOLDEN, precision=9) == "2026-01-21T17:07:05.383583536"
    assert ns_to_utc_unix(np.array([GOLDEN]))[0] == pytest.approx(1769015225.3835835, abs=2e-6)
    assert ns_to_utc_text(GOLDEN) == "2026-01-21T17:07:05.384"


@pytest.mark.parametrize(
    ("utc", "leap_seconds"),
    [
        ("2018-08-23T00:00:01", 37),
        ("2016-12-31T23:59:59", 36),
        ("2017-01-01T00:00:00", 37),
        ("2015-06-30T23:59:59", 35),
        ("2015-07-01T00:00:00", 36),
        ("2025-01-15T20:00:00", 37),
    ],
)
def test_leap_seconds(utc, leap_seconds):
    posix = calendar.timegm(time.strptime(utc, "%Y-%m-%dT%H:%M:%S"))
    assert utc_text_to_ns(utc) == (posix + leap_seconds) * NS
    assert ns_to_utc_text(utc_text_to_ns(utc), precision=0) == utc


def test_the_leap_second_itself_has_a_place():
    before, itself, after = (
        utc_text_to_ns(text) for text in ("2016-12-31T23:59:59", "2016-12-31T23:59:60", "2017-01-01T00:00:00")
    )
    assert (itself - before, after - itself) == (NS, NS)
    assert ns_to_utc_text(itself, precision=0) == "2016-12-31T23:59:60"


def test_every_nanosecond_comes_back():
    rng = np.random.default_rng(0)
    for value in [0, 1, GOLDEN, GOLDEN + 1, *(int(v) for v in rng.integers(10**18, GOLDEN, 300))]:
        assert time_to_ns(ns_to_time(value)) == value
        if value >= 10**18:
            assert utc_text_to_ns(ns_to_utc_text(value, precision=9)) == value


def test_times_of_any_scale_come_in():
    moment = ns_to_time(GOLDEN)
    for scale in ("tai", "utc", "tt"):
        assert time_to_ns(getattr(moment, scale)) == GOLDEN


def test_arrays_are_exact_in_astropy():
    time_ns = GOLDEN + np.array([0, 1, 999_999_999, 86_400 * NS])
    times = ns_to_time(time_ns)
    assert times.scale == "tai"
    differences = (times - times[0]).to_value(u.ns)
    np.testing.assert_allclose(differences, time_ns - time_ns[0], atol=0.1)


def test_time_stamps_of_ctapipe():
    stamps = ns_to_ctao_high_res(np.array([GOLDEN, 5]))
    assert stamps.dtype == np.uint32
    assert stamps.tolist() == [[1_769_015_262, 4 * 383_583_536], [0, 20]]


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01T00:00:00", ""])
def test_other_texts_are_no_times(text):
    with pytest.raises(ValueError, match="."):
        utc_text_to_ns(text)


def test_the_clock_of_a_camera_counts_tai_since_white_rabbit():
    assert ns_to_utc_text(WHITE_RABBIT_START_NS) == "2023-09-25T00:00:00.000"
    clock = np.array([WHITE_RABBIT_START_NS, GOLDEN, 0])
    assert camera_clock_to_tai(clock).tolist() == clock.tolist()


def test_before_it_counted_utc():
    """2018-08-23T00:00:01.673508228 UTC, the first event of the real file."""
    clock = np.array([1_534_982_401_673_508_228, GOLDEN, WHITE_RABBIT_START_NS - 38 * NS])
    tai = camera_clock_to_tai(clock)
    assert (tai - clock).tolist() == [37 * NS, 0, 37 * NS]
    assert ns_to_utc_text(int(tai[0]), precision=9) == "2018-08-23T00:00:01.673508228"
    assert clock[0] == 1_534_982_401_673_508_228, "the input stays"


def test_seconds_of_photon_lists_are_those_of_their_header():
    """Read as FITS says, they give the same instant in TT and in UTC, to the resolution of a float64."""
    times = np.array([GOLDEN, utc_text_to_ns("2017-01-01T00:00:00"), utc_text_to_ns("2035-12-31T12:00:00")])
    seconds = ns_to_gadf_seconds(times)
    reference = Time(GADF_TIME_HEADER["MJDREFI"], format="mjd", scale="tt")
    read = reference + seconds * u.s
    assert np.abs((read - ns_to_time(times)).to_value(u.ns)).max() < 40
    assert read.utc.isot[1] == "2017-01-01T00:00:00.000"
    assert np.abs(gadf_seconds_to_ns(seconds) - times).max() < 40
    whole = np.array([-2.5, 0.0, 1.25])
    assert np.array_equal(ns_to_gadf_seconds(gadf_seconds_to_ns(whole)), whole)


#: Around leap seconds (and the second itself), midnights, White Rabbit's first day, and anywhere.
MOMENTS = st.sampled_from(["2015-07-01", "2017-01-01", "2024-03-05", "2023-09-25", "2000-01-01"]).flatmap(
    lambda day: st.integers(-3 * NS, 3 * NS).map(lambda rest: utc_text_to_ns(f"{day}T00:00:00") + rest)
) | st.integers(946_684_800 * NS, 2_000_000_000 * NS)


@settings(max_examples=200, deadline=None)
@given(time_ns=MOMENTS)
def test_no_way_through_another_scale_loses_a_nanosecond(time_ns):
    assert time_to_ns(ns_to_time(time_ns)) == time_ns
    assert time_to_ns(ns_to_time(time_ns).utc) == time_ns
    assert time_to_ns(ns_to_time(time_ns).tt) == time_ns
    assert utc_text_to_ns(ns_to_utc_text(time_ns, precision=9)) == time_ns


@settings(max_examples=200, deadline=None)
@given(time_ns=MOMENTS, step=st.integers(0, 10 * NS))
def test_time_never_runs_backwards_and_photon_lists_keep_the_microsecond(time_ns, step):
    both = np.array([time_ns, time_ns + step])
    seconds = ns_to_gadf_seconds(both)
    assert seconds[1] >= seconds[0]
    assert abs(int(gadf_seconds_to_ns(seconds)[0]) - time_ns) <= 500
    assert abs((seconds[1] - seconds[0]) - step / NS) < 1e-6


@settings(max_examples=200, deadline=None)
@given(time_ns=MOMENTS)
def test_the_clock_of_the_camera_is_read_as_it_was_set(time_ns):
    # within the second that the clock of 2023-09-25 jumps by, and in leap seconds, UTC is not unique
    clock = tai_to_camera_clock(np.array([time_ns]))
    back = int(camera_clock_to_tai(clock)[0])
    assert back == time_ns or abs(time_ns - WHITE_RABBIT_START_NS) < 60 * NS or abs(back - time_ns) == NS
