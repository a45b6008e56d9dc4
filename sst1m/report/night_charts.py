"""Sections of the page of a night with charts of what the telescopes recorded."""

from collections.abc import Sequence
from typing import Any

from .camera_map import camera_map, grid_map
from .chart import Axis, Series, chart
from .html import Html, joined, missing, number, table, tag
from .page import Section, figures

__all__ = [
    "TIME",
    "cameras_section",
    "images_section",
    "pointing_section",
    "rates_section",
    "sky_section",
]

Facts = dict[str, Any]

TIME = Axis("time (UTC)", "time")
_TEL_COLOURS = {"21": 0, "22": 1}
_MOON, _SUN, _TARGETS = 4, 5, 2


def _present(facts: Facts) -> dict[str, Facts]:
    return {tel: found for tel, found in facts["telescopes"].items() if "missing" not in found}


def _absences(facts: Facts) -> list[Html]:
    """Say once why a telescope has no numbers, and which of its files could not be read."""
    found = [
        missing(telescope["missing"]) for telescope in facts["telescopes"].values() if "missing" in telescope
    ]
    for telescope in _present(facts).values():
        found += [missing(reason) for reason in dict.fromkeys(telescope["unread"].values())]
    return found


def _flag(parts: Sequence[object]) -> str:
    return "warning" if parts else ""


def _titles(part: Facts, tel: str) -> list[str]:
    return [f"tel {tel} run {run}" for run in part["run"]]


def _series(facts: Facts, name: str, column: str) -> list[Series]:
    """Return one quantity against time for each telescope that has it."""
    return [
        Series(
            "points",
            found[name]["time_utc_s"],
            found[name][column],
            f"telescope {tel}",
            _TEL_COLOURS[tel],
            titles=_titles(found[name], tel),
        )
        for tel, found in _present(facts).items()
        if "missing" not in found[name]
    ]


def rates_section(facts: Facts) -> Section:
    """Show rates of triggers and of images against time, for both telescopes."""
    absent = _absences(facts)
    triggers = []
    for tel, found in _present(facts).items():
        rates = found["rates"]
        if "missing" in rates:
            continue
        value, error = rates["trigger_hz"], rates["trigger_error_hz"]
        triggers.append(
            Series(
                "points",
                rates["time_utc_s"],
                value,
                f"telescope {tel}",
                _TEL_COLOURS[tel],
                low=[v - e for v, e in zip(value, error, strict=True)],
                high=[v + e for v, e in zip(value, error, strict=True)],
                titles=_titles(rates, tel),
            )
        )
    rate = Axis("events per second", low=0.0)
    drawn = figures(
        chart("Triggers, without pedestals", TIME, rate, triggers, caption="Bins of about 10 s."),
        chart("Images that survive cleaning", TIME, rate, _series(facts, "rates", "image_hz")),
    )
    return Section("Rates", joined([*absent, drawn]), _flag(absent))


def sky_section(facts: Facts) -> Section:
    """Show the level of the night sky beside Moon and Sun."""
    absent = _absences(facts)
    level = chart(
        "Night sky",
        TIME,
        Axis("photo-electrons [MHz per pixel]"),
        _series(facts, "night_sky", "mhz"),
        caption="From the fluctuation of the median pixel in interleaved pedestals.",
        nothing="no pedestals were recorded",
    )
    sky = facts["sky"]
    if "missing" in sky:
        return Section("Night sky, Moon and Sun", joined([*absent, figures(level), missing(sky["missing"])]))
    drawn = figures(level, _altitudes(sky), _distances(sky))
    highest = max(sky["moon_alt_deg"])
    words = "below the horizon all the time" if highest < 0 else f"up to {highest:.0f}° high"
    text = tag("p", f"The Moon is {100 * sky['moon_illuminated']:.0f} % illuminated and {words}.")
    return Section("Night sky, Moon and Sun", joined([*absent, text, drawn]), _flag(absent))


def _altitudes(sky: Facts) -> Html:
    times = sky["time_utc_s"]
    lines = [
        Series("line", times, sky["moon_alt_deg"], "Moon", _MOON),
        Series("line", times, sky["sun_alt_deg"], "Sun", _SUN, dashed=True),
    ]
    for position, (name, target) in enumerate(sky["targets"].items()):
        lines.append(Series("line", times, target["alt_deg"], name, _TARGETS + 4 * (position % 2)))
    horizon = Series("rule", [], [0.0])
    return chart("Altitudes", TIME, Axis("altitude [deg]", high=90.0), [horizon, *lines])


def _distances(sky: Facts) -> Html:
    lines = [
        Series("line", sky["time_utc_s"], target["moon_deg"], name, _TARGETS + 4 * (position % 2))
        for position, (name, target) in enumerate(sky["targets"].items())
    ]
    nothing = "the catalogue of sources knows none of the targets"
    return chart("Distance of the Moon", TIME, Axis("angle to the target [deg]"), lines, nothing=nothing)


def cameras_section(facts: Facts) -> Section:
    """Show pedestals of all pixels, and which pixels stand out."""
    parts, maps, rows = _absences(facts), [], []
    for tel, found in _present(facts).items():
        camera = found["camera"]
        if "missing" in camera:
            parts.append(missing(f"telescope {tel}: {camera['missing']}"))
            continue
        kinds = ("replaced", "noisy", "quiet")
        marked = {pixel: kind for kind in kinds for pixel in camera[kind] or ()}
        place = camera["x_mm"], camera["y_mm"]
        mean = f"Telescope {tel}: pedestals"
        maps.append(camera_map(mean, *place, camera["pedestal_adc"], unit="ADC", marked=marked))
        std = f"Telescope {tel}: fluctuation"
        maps.append(camera_map(std, *place, camera["std_adc"], unit="ADC", marked=marked))
        whys = {
            "quiet": f"fluctuation below {camera['quiet_below_adc']:g} ADC",
            "noisy": f"fluctuation above {camera['noisy_above_adc']:g} ADC",
            "replaced": "bad by configuration or calibration",
        }
        rows += [(f"Telescope {tel}", kind, why, *_pixels(camera[kind])) for kind, why in whys.items()]
    flag = _flag(parts)
    if maps:
        parts.append(figures(*maps, small=True))
    if rows:
        header = ("Telescope", "Pixels", "Why", "Number", "Which")
        text = (
            "Rings mark pixels that hardly fluctuate (dead, or without high voltage) or far too much; thin "
            "ones mark those that are replaced by their neighbours, by configuration or calibration."
        )
        parts += [tag("p", text), table(header, rows, text_columns=5)]
    return Section("Cameras", joined(parts), flag)


def _pixels(pixels: Sequence[int] | None) -> tuple[object, object]:
    if pixels is None:
        return number(None), "missing: the DL1 files do not say which"
    shown = ", ".join(map(str, pixels[:40])) + (", ..." if len(pixels) > 40 else "")
    return number(len(pixels)), tag("span", shown or "–", class_="pixels")


def pointing_section(facts: Facts) -> Section:
    """Show where the telescopes pointed, beside the target."""
    parts = _absences(facts)
    flag = _flag(parts)
    tracks = _series(facts, "pointing", "alt_deg")
    sky = facts["sky"]
    if "missing" not in sky:
        for position, (name, target) in enumerate(sky["targets"].items()):
            colour = _TARGETS + 4 * (position % 2)
            tracks.insert(0, Series("line", sky["time_utc_s"], target["alt_deg"], name, colour))
    nothing = "no DL1 file says where its telescope pointed"
    drawn = [chart("Altitude of the optical axis", TIME, Axis("altitude [deg]"), tracks, nothing=nothing)]
    drawn += [_around(name, target, facts["runs"]) for name, target in facts["targets"].items()]
    return Section("Pointing", joined([*parts, figures(*drawn)]), flag)


def _around(name: str, target: Facts | None, runs: Sequence[Facts]) -> Html:
    """Return the pointings of all runs on a target, relative to it."""
    from math import cos, radians

    title = f"Optical axis around {name}"
    if target is None:
        return tag(
            "figure", tag("p", title, class_="title"), missing("the catalogue of sources does not know it")
        )
    series = [Series("points", [0.0], [0.0], name, _TARGETS)]
    for tel, colour in _TEL_COLOURS.items():
        own = [r for r in runs if r["target"] == name and str(r["tel"]) == tel and r["ra"] is not None]
        across = [
            ((r["ra"] - target["ra_deg"] + 180) % 360 - 180) * cos(radians(target["dec_deg"])) for r in own
        ]
        up = [r["dec"] - target["dec_deg"] for r in own]
        titles = [f"tel {tel} run {r['run']} {r['wobble']}" for r in own]
        series.append(Series("points", across, up, f"telescope {tel}", colour, titles=titles))
    reach = 1.2 * max([abs(value) for one in series for value in (*one.x, *one.y)] + [0.1])
    x = Axis("right ascension × cos(dec) [deg]", low=-reach, high=reach)
    y = Axis("declination [deg]", low=-reach, high=reach)
    return chart(title, x, y, series, caption="As the headers or corrections.ecsv say.")


def images_section(facts: Facts) -> Section:
    """Show image parameters beside those of simulated protons."""
    parts = _absences(facts)
    present, expected = _present(facts), facts["expected"]
    reasons = dict.fromkeys(part["missing"] for part in expected.values() if "missing" in part)
    parts += [missing(f"band of the simulations: {reason}") for reason in reasons if present]
    flag = _flag(parts)
    drawn = [_distribution(bins, quantity, present, expected) for quantity, bins in facts["bins"].items()]
    reach = facts["cog_reach_mm"]
    drawn += [
        grid_map(f"Telescope {tel}: centres of gravity", found["cog"], reach_mm=reach)
        for tel, found in present.items()
    ]
    nodes = {tel: part["nodes"] for tel, part in expected.items() if "missing" not in part and tel in present}
    words = "; ".join(f"telescope {tel}: {', '.join(names)}" for tel, names in nodes.items())
    text = (
        [tag("p", f"Bands: simulated protons and helium with the spectrum of DAMPE at {words}.")]
        if words
        else []
    )
    return Section("Image parameters", joined([*parts, *text, figures(*drawn)]), flag)


def _distribution(bins: Facts, quantity: str, present: dict[str, Facts], expected: Facts) -> Html:
    """Return the distribution of one quantity in both telescopes, each with its band."""
    edges = bins["edges"]
    bands, lines = [], []
    for tel, found in present.items():
        counts, colour = found["images"][quantity], _TEL_COLOURS[tel]
        total = sum(counts) or 1
        lines.append(Series("steps", edges, [n / total for n in counts], f"telescope {tel}", colour))
        if "missing" not in expected[tel]:
            band = expected[tel]["quantities"][quantity]
            label = f"simulated {tel}"
            bands.append(Series("band", edges, (), label, colour, low=band["low"], high=band["high"]))
    x = Axis(f"{bins['name']} [{bins['unit']}]", "log" if bins["log"] else "linear", edges[0], edges[-1])
    y = Axis("fraction of images", low=0.0)
    return chart(bins["name"].capitalize(), x, y, [*bands, *lines], nothing="no images")
