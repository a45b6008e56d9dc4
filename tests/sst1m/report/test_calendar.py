"""The page of all nights: states, links, and what nights add up to."""

import datetime
import importlib.util
import json
from pathlib import Path

import pytest
from gammapy.stats import WStatCountsStatistic

from sst1m.errors import InputError
from sst1m.layout import NightLayout
from sst1m.night_science import SciencePaths
from sst1m.report.calendar_page import calendar_is_current, render_calendar, write_calendar
from sst1m.report.night_page import night_page, render_night
from sst1m.report.night_view import NightView

_SPEC = importlib.util.spec_from_file_location("pages", Path(__file__).parents[2] / "pages.py")
pages = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(pages)

PATHS = SciencePaths(None, None, None, None, None, None, "interpolate")
#: Counts on and off (alpha 0.2) of four nights.
COUNTS = {4: (60, 100), 5: (45, 110), 7: (80, 120), 9: (12, 40)}


def signal(n_on: int, n_off: int, date: str, **more) -> dict:
    night = {"name": date, "flux_crab": 1.5, "error_low_crab": 0.2, "error_high_crab": 0.3}
    night["upper_limit_95_crab"] = None
    facts = {"target": "Crab", "setup": "stereo", "simulated": False, "status": "ok", "n_on": n_on}
    facts |= {
        "n_off": n_off,
        "alpha": 0.2,
        "livetime_h": 0.5,
        "excess": n_on - 0.2 * n_off,
        "excess_error": 9.0,
    }
    facts |= {"significance": 3.0, "significance_binomial": 3.0, "on_radius_deg": 0.2, "energy_min_tev": 1.0}
    facts |= {
        "flux": {},
        "theta2": {"status": "not made"},
        "light_curve": {"observations": [], "nights": [night]},
    }
    return facts | more


@pytest.fixture
def root(tmp_path):
    """Return an analysis root with four nights that have pages, one that has none, and one that is broken."""
    for day, (n_on, n_off) in COUNTS.items():
        layout = NightLayout(tmp_path, datetime.date(2024, 3, day))
        layout.root.mkdir()
        facts = night_page(NightView(layout, PATHS, list))
        date = facts["night"]
        facts["state"] |= {"complete": day != 5, "runs": {"21": counts(3), "22": counts(2, day == 5)}}
        facts["signals"] = [signal(n_on, n_off, date), signal(500, 10, date, simulated=True)]
        facts["signals"].append({"target": "M87", "setup": "cs1", "missing": "no photon lists"})
        (layout.report / "night.json").write_text(json.dumps(facts))
        (layout.report / "index.html").write_text(render_night(facts))
    other = NightLayout(tmp_path, datetime.date(2024, 4, 1))
    other.root.mkdir()
    (other.root / "manifest.ecsv").write_text("nonsense")
    (tmp_path / "20249999").mkdir()
    return tmp_path


def counts(done: int, bad: bool = False) -> dict[str, int]:
    return {"done": done, "skipped": 1, "quarantined": int(bad), "waiting": 0}


def test_every_night_has_its_state_and_its_link(root):
    facts = write_calendar(root)
    page = root / "calendar" / "index.html"
    assert pages.broken_links(page) == []
    content = pages.read(page)
    assert content.open == [] and content.unbalanced == []
    links = {target for target in content.links if target.startswith("../")}
    assert links == {f"../202403{day:02d}/report/index.html" for day in COUNTS}
    assert [night["night"] for night in facts["nights"]][-1] == "2024-04-01"
    text = " ".join("".join(content.text).split())
    assert "2 of 3" in text and "not complete" in text and "April 2024" in text
    assert "not readable" in text or "run NightReport --date 2024-04-01" in text


def test_significance_adds_up_night_by_night(root):
    (source,) = (s for s in write_calendar(root)["sources"] if not s["simulated"])
    assert source["nights"] == [f"2024-03-{day:02d}" for day in COUNTS]
    on = off = 0
    for position, (n_on, n_off) in enumerate(COUNTS.values()):
        on, off = on + n_on, off + n_off
        expected = WStatCountsStatistic(on, off, 0.2).sqrt_ts
        assert source["significance"][position] == pytest.approx(expected)
        assert source["excess"][position] == pytest.approx(on - 0.2 * off)
    assert source["livetime_h"] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert [point["flux_crab"] for point in source["flux"]] == [1.5] * 4


def test_simulations_stay_apart_from_data(root):
    sources = write_calendar(root)["sources"]
    assert [(s["target"], s["simulated"], s["n_on"][-1]) for s in sources] == [
        ("Crab", False, sum(on for on, _ in COUNTS.values())),
        ("Crab", True, 2000),
    ]


def test_the_page_is_a_function_of_its_json_and_is_known_to_be_current(root):
    assert not calendar_is_current(root)
    write_calendar(root)
    facts = json.loads((root / "calendar" / "calendar.json").read_text())
    assert render_calendar(facts) == (root / "calendar" / "index.html").read_text()
    assert calendar_is_current(root)
    with pytest.raises(InputError, match="schema"):
        render_calendar(facts | {"schema": {}})
    night = root / "20240304" / "report" / "night.json"
    night.write_text(night.read_text() + " ")
    assert not calendar_is_current(root)


def test_the_same_nights_give_the_same_calendar(root):
    first = write_calendar(root)
    assert write_calendar(root) | {"written": ""} == first | {"written": ""}, "remembered"
    (root / "calendar" / "calendar.json").unlink()
    assert write_calendar(root) | {"written": ""} == first | {"written": ""}, "read anew"


def test_a_root_without_nights(tmp_path):
    write_calendar(tmp_path)
    assert "there are no nights yet" in (tmp_path / "calendar" / "index.html").read_text()


def test_a_browser_shows_it_whole_on_a_telephone(root, tmp_path):
    write_calendar(root)
    opened = pages.open_page(root / "calendar" / "index.html", tmp_path)
    assert all(needed <= width for width, needed in opened.needed.items())
    assert opened.drawn and opened.messages == [] and "Crab" in opened.parts
