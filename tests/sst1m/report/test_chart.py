"""Charts: ticks that people read, series at their places, gaps where there is nothing."""

import re

import pytest

from sst1m.report.camera_map import camera_map, grid_map
from sst1m.report.chart import Axis, Series, chart
from sst1m.report.scale import Scale


def ticks(axis: Axis, *values: float, wanted: int = 5) -> list[str]:
    return [text for _, text in Scale(axis, values, 0.0, 100.0).ticks(wanted)]


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        (Axis("x"), (0, 100), ["0", "25", "50", "75", "100"]),
        (Axis("x", low=0.0), (3.1,), ["0", "1", "2", "3"]),
        (Axis("x", "log"), (0.5, 2e4), ["1", "10", "100", "1000", "10⁴"]),
        (Axis("x", "log"), (2, 30), ["2", "5", "10", "20"]),
        (Axis("x", "time"), (1709578800, 1709586000), ["19:00", "19:30", "20:00", "20:30", "21:00"]),
        (Axis("x", "time"), (1709510400, 1709942400), ["2024-03-04", "2024-03-06", "2024-03-08"]),
    ],
)
def test_ticks(axis, values, expected):
    assert ticks(axis, *values) == expected


def test_equal_values_and_none_have_a_scale():
    assert ticks(Axis("x"), 7.0)
    assert ticks(Axis("x"))
    assert "10" in ticks(Axis("x", "log"), 10.0)


@pytest.mark.parametrize(("kind", "value"), [("log", 0.0), ("log", -1.0), ("linear", float("nan"))])
def test_what_has_no_place_has_none(kind, value):
    assert Scale(Axis("x", kind), [1.0, 10.0], 0.0, 100.0).place(value) is None


def test_a_scale_is_monotonous():
    scale = Scale(Axis("x", "log", 1.0, 1000.0), [], 0.0, 300.0)
    assert [scale.place(value) for value in (1.0, 10.0, 1000.0)] == pytest.approx([0.0, 100.0, 300.0])


def paths(svg: str, name: str) -> list[str]:
    return re.findall(rf'<path d="([^"]*)" class="{name}">', svg)


def test_a_line_is_interrupted_where_there_is_no_number():
    svg = chart("t", Axis("x"), Axis("y"), [Series("line", [0, 1, 2, 3, 4], [1, 2, None, 2, 1])])
    assert paths(svg, "line")[0].count("M") == 2


def test_steps_follow_their_bins():
    svg = chart(
        "t", Axis("x", low=0.0, high=2.0), Axis("y", low=0.0, high=4.0), [Series("steps", [0, 1, 2], [4, 2])]
    )
    points = re.findall(r"[ML]([\d.]+),([\d.]+)", paths(svg, "line")[0])
    across, up = zip(*((float(x), float(y)) for x, y in points), strict=True)
    assert across == pytest.approx([58, 233, 233, 408]) and up[0] == up[1] == 10.0
    assert up[2] == pytest.approx(116.0)


def test_points_have_bars_and_titles_and_many_are_drawn_shortly():
    few = Series("points", [0, 1], [1, 2], "<b>", low=[0, 1], high=[2, 3], titles=["run 1", "run <2>"])
    svg = chart("t", Axis("x"), Axis("y"), [few])
    assert svg.count("<circle") == 2 and "run &lt;2&gt;" in svg and "<b>" not in svg
    many = chart("t", Axis("x"), Axis("y"), [Series("points", range(1000), range(1000))])
    assert "<circle" not in many and paths(many, "dots")[0].count("h0") == 1000


def test_a_chart_without_numbers_says_why():
    svg = chart("t", Axis("x"), Axis("y"), [Series("points", [1.0], [None])], nothing="no pedestals")
    assert "missing: </strong>no pedestals" in svg and "<svg" not in svg


def test_a_hot_pixel_is_marked_and_does_not_hide_the_others():
    x, y = [0, 24, 48, 72], [0, 0, 0, 0]
    values = [1.0, 2.0, 3.0, None]
    svg = camera_map("c", x, y, values, unit="ADC", marked={2: "noisy"})
    assert svg.count("h0") == 3 and "pixel 2: noisy" in svg
    grid = [(24 * (i % 20), 24 * (i // 20)) for i in range(400)]
    hot = camera_map("c", *zip(*grid, strict=True), [10.0 + i % 7 for i in range(399)] + [9e9], unit="ADC")
    assert len(re.findall("stroke=", hot)) >= 7, "colours span what most pixels have"
    assert "missing" in camera_map("c", x, y, [None] * 4, unit="ADC")


def test_a_map_of_counts_has_its_squares_in_place():
    svg = grid_map("g", [[0, 1], [2, 0]], reach_mm=480.0)
    assert svg.count("h138.00") == 2 and "M12.0,12.0" in svg and "M150.0,150.0" in svg
    assert "no events" in grid_map("g", [[0, 0], [0, 0]], reach_mm=480.0)


def test_a_single_night_has_its_date_and_no_minutes():
    night = 1_709_510_400.0  # 2024-03-04
    ticks = Scale(Axis("night", "date"), [night], 0, 400).ticks(5)
    assert [text for _, text in ticks] == ["2024-03-03", "2024-03-04", "2024-03-05"]
