"""Counts and what they say, against published numbers."""

import logging
import warnings

import pytest
from scipy.stats import poisson

from sst1m.errors import ConfigError
from sst1m.quicklook.counts import OnOffCounts, combined
from sst1m.quicklook.flux import crab_flux, flux_from_counts
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.quiet import gammapy_in_the_log
from sst1m.quicklook.regions import positions_that_fit


@pytest.mark.parametrize(
    ("n_on", "n_off", "alpha", "li_ma", "binomial"),
    [
        # Cousins, Linnemann & Tucker 2008, table 1
        (4, 5, 0.2, 1.95, 1.66),
        (498426, 493434, 1.0, 5.01, 5.01),
    ],
)
def test_published_significances(n_on, n_off, alpha, li_ma, binomial):
    counts = OnOffCounts(n_on, n_off, alpha)
    assert counts.significance == pytest.approx(li_ma, abs=0.02)
    assert counts.binomial_significance == pytest.approx(binomial, abs=0.02)


def test_without_off_counts_only_the_exact_chance_is_known():
    counts = OnOffCounts(14, 0, 1 / 9)
    assert (counts.status, counts.significance) == ("no off counts", None)
    # the chance that all 14 fall into one region of ten
    assert counts.binomial_significance == pytest.approx(7.65, abs=0.01)
    assert counts.background_known
    assert not OnOffCounts(1, 0, 1.0).background_known
    assert OnOffCounts(1, 0, 1.0).to_dict()["excess"] is None
    assert flux_from_counts(OnOffCounts(1, 0, 1.0), 3.0).norm is None


def test_observations_with_different_off_regions_add_up():
    parts = OnOffCounts(100, 80, 1 / 11), OnOffCounts(50, 60, 1 / 3)
    total = combined(parts, [10.0, 20.0])
    assert (total.n_on, total.n_off) == (150, 140)
    assert total.background == pytest.approx(80 / 11 + 60 / 3)
    empty = combined([OnOffCounts(1, 0, 0.1), OnOffCounts(0, 0, 0.4)], [3.0, 1.0])
    assert empty.alpha == pytest.approx(0.175)


def test_flux_is_excess_over_expectation():
    found = flux_from_counts(OnOffCounts(120, 100, 0.2), 50.0)
    assert found.norm == pytest.approx(2.0)
    assert found.norm_limit is None
    assert found.norm_high == pytest.approx((120 + 0.04 * 100) ** 0.5 / 50, rel=0.05)
    limit = flux_from_counts(OnOffCounts(10, 50, 0.2), 10.0).norm_limit
    # so few counts are 20 times rarer with such a source than without any
    assert poisson.cdf(10, 10 + 10 * limit) / poisson.cdf(10, 10) == pytest.approx(0.05)
    # nothing seen: no more than three are expected
    assert flux_from_counts(OnOffCounts(0, 0, 0.1), 1.0).norm_limit == pytest.approx(2.996, abs=0.01)
    assert flux_from_counts(OnOffCounts(3, 5, 0.2), 0.0).reason == "no exposure"


def test_crab_is_that_of_the_simulations():
    assert crab_flux((1.0, 1e6)) == pytest.approx(2.83e-11 / 1.62, rel=1e-3)


def test_off_positions_keep_their_distance():
    assert positions_that_fit(0.7, 0.4) == 5
    assert positions_that_fit(0.5, 0.8) == 2
    assert positions_that_fit(0.5, 1.01) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"energy_min_tev": 10, "energy_max_tev": 1},
        {"energy_min_tev": float("nan")},
        {"on_radius_deg": 0.0},
        {"bins_per_decade": 0},
        {"max_offset_deg": -1.0},
        {"spectrum": "broken"},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        QuicklookOptions(**wrong)


def test_what_gammapy_says_goes_to_the_log(caplog, capsys):
    caplog.set_level(logging.INFO, "sst1m")
    with gammapy_in_the_log():
        logging.getLogger("gammapy.makers").warning("no region found")
        warnings.warn("about to change", DeprecationWarning, stacklevel=1)
    assert [record.name for record in caplog.records] == ["sst1m.quicklook.gammapy"] * 2
    assert "gammapy.makers: no region found" in caplog.text
    assert "about to change" in caplog.text
    assert capsys.readouterr().err == ""
