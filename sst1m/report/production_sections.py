"""Sections of the page of a production that are about files: plan, samples, forests, responses."""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from .html import Html, details, joined, link, missing, number, state, table, tag
from .page import Section
from .production_facts import Facts

__all__ = [
    "forests_section",
    "irfs_section",
    "plan_section",
    "problems",
    "problems_section",
    "samples_section",
]

_MEGA = 1_000_000
#: So many of a list are shown.
_SHOWN = 20


def problems(facts: Facts) -> list[tuple[str, str, str]]:
    """Return all that is missing or failed as (kind, what, reason)."""
    found = []
    for sample in facts["samples"]:
        name = f"{sample['particle']} {sample['node']} {sample['role']}"
        if "missing" in sample:
            found.append(("sample", name, sample["missing"]))
        found += [("shard", failed["file"] or name, failed["reason"]) for failed in sample["failed"]]
    for entry in facts["forests"]:
        if "missing" in entry:
            kind = "stereo" if entry["stereo"] else "mono"
            found.append(
                ("forests", f"{entry['node']} telescope {entry['telescope']} {kind}", entry["missing"])
            )
    for part in ("performance", "irfs"):
        for entry in facts[part]:
            if "missing" in entry:
                found.append((part, f"{entry['node']} {entry['setup']}", entry["missing"]))
    return found


def problems_section(found: list[tuple[str, str, str]]) -> Section:
    """Say what is missing or failed, grouped by the reason."""
    if not found:
        return Section("Problems", tag("p", state("good", "none"), " All that was planned is there."))
    groups = Counter((kind, reason) for kind, _, reason in found)
    first = {(kind, reason): what for kind, what, reason in reversed(found)}
    names = {"performance": "performance", "irfs": "response"}
    rows = [
        (names.get(kind, kind), number(count), reason, first[kind, reason])
        for (kind, reason), count in groups.most_common(_SHOWN)
    ]
    more = len(groups) - len(rows)
    rest = [tag("p", f"and {more} more kinds of problem; see report.json")] if more else []
    body = joined([table(("What", "How many", "Reason", "For example"), rows, text_columns=4), *rest])
    return Section("Problems", body, "bad")


def plan_section(facts: Facts) -> Section:
    """Say what the production is."""
    plan, axes = facts["plan"], facts["plan"]["axes"]
    rows = [
        ("Zenith angles [deg]", _list(axes["zenith"])),
        ("Azimuths [deg]", _list(axes["azimuth"])),
        ("Night sky [MHz]", _list(axes["nsb"])),
        ("Set-ups", ", ".join(facts["setups"])),
        ("Gammaness cuts", ", ".join(plan["cuts"])),
        ("Responses", f"version {plan['irf_version']}"),
        ("Shards that may fail", f"{100 * plan['accepted_failures']:g} % of a sample"),
        ("Seed", plan["seed"]),
        ("Fingerprint", tag("code", facts["fingerprint"][:16])),
    ]
    beams = [
        (
            particle,
            *(_range(beam, key) for key in _BEAM),
            *(_size(beam.get(role)) for role in ("train", "test")),
        )
        for particle, beam in plan["particles"].items()
        if beam
    ]
    header = ("Particle", *_BEAM.values(), "train: shards × showers", "test: shards × showers")
    return Section(
        "What it is",
        joined(
            [
                table(("", ""), rows, text_columns=2),
                tag("h3", "What is thrown at each node"),
                table(header, beams),
                details("Software", table(("Package", "Version"), facts["software"].items(), text_columns=2)),
            ]
        ),
    )


_BEAM = {
    "energy_min": "from [TeV]",
    "energy_max": "to [TeV]",
    "index": "index",
    "scatter_radius": "radius [m]",
    "view_cone": "cone [deg]",
    "offset": "offset [deg]",
}


def _range(beam: Facts, key: str) -> Html:
    value = beam.get(key)
    return number(None) if value is None else Html(_list(value if isinstance(value, list) else [value]))


def _size(shards: Facts | None) -> Html:
    if not shards:
        return number(None)
    return joined([number(shards.get("shards")), " × ", number(shards.get("showers"))])


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{float(value):g}" for value in values)


def samples_section(facts: Facts) -> Section:
    """Count showers and events of all samples."""
    setups = facts["setups"]
    header = (
        *("Node", "Particle", "Role", "Shards", "Failed", "Thrown", "Triggered"),
        *("Tel. 1", "Tel. 2", *(f"DL2 {setup}" for setup in setups)),
    )
    rows, flag = [], ""
    for sample in facts["samples"]:
        flag = "warning" if sample["failed"] or "missing" in sample else flag
        rows.append((sample["node"], sample["particle"], sample["role"], *_sample_cells(sample, setups)))
    return Section("Samples", table(header, rows, text_columns=3), flag)


def _sample_cells(sample: Facts, setups: list[str]) -> list[object]:
    failed = number(len(sample["failed"]))
    if sample["failed"]:
        failed = state("bad", failed)
    wanted = sample["shards_wanted"]
    if "missing" in sample:
        # Its reason stands among the problems; here the row must keep its columns.
        return [state("warning", "missing"), failed, *[number(None)] * (4 + len(setups))]
    of = f" of {wanted}" if wanted else ""
    telescopes = sample["by_telescope"]
    return [
        joined([number(sample["shards_used"]), of]),
        failed,
        number(sample["thrown"]),
        number(sample["triggered"]),
        *(number(telescopes.get(tel)) for tel in ("1", "2")),
        *(number(sample["reconstructed"].get(setup)) for setup in setups),
    ]


def forests_section(facts: Facts) -> Section:
    """Say how large and how fast the forests are, and what they look at."""
    header = ("Node", "For", "Forests", "Size [MB]", "Slowest [events/s]")
    rows, flag = [], ""
    for entry in facts["forests"]:
        if "missing" in entry:
            flag = "warning"
            absent = state("warning", f"missing: {entry['missing']}")
            rows.append((entry["node"], _purpose(entry), absent, number(None), number(None)))
        else:
            rows.append((entry["node"], _purpose(entry), *_sums(entry["forests"].values())))
    trained = [entry for entry in facts["forests"] if "forests" in entry]
    nodes = [node for node in facts["nodes"] if any(entry["node"] == node for entry in trained)]
    parts = [details(node, *_forests_of(node, trained)) for node in nodes]
    return Section("Forests", joined([table(header, rows, text_columns=3), *parts]), flag)


def _purpose(entry: Facts) -> str:
    return f"tel. {entry['telescope']} {'stereo' if entry['stereo'] else 'mono'}"


def _sums(forests: Collection[Facts]) -> tuple[object, ...]:
    sizes = [forest["size"] for forest in forests if "size" in forest]
    speeds = [forest["events_per_second"] for forest in forests if "events_per_second" in forest]
    return (
        len(forests),
        number(sum(sizes) / _MEGA if sizes else None),
        number(round(min(speeds)) if speeds else None),
    )


def _forests_of(node: str, trained: Iterable[Facts]) -> list[Html]:
    """Return the forests of one node with all that is known of them."""
    header = ("Forest", "For", "Trees", "Nodes", "Depth", "Size [MB]", "Events/s", "Trained on")
    rows, charts = [], []
    for entry in trained:
        if entry["node"] != node:
            continue
        for name, forest in entry["forests"].items():
            rows.append((name, _purpose(entry), *_forest_cells(forest)))
            if forest.get("importances"):
                charts.append(_importances(f"{name}, {_purpose(entry)}", forest))
    nothing = [missing("the cards of the forests say nothing about the importance of features")]
    return [table(header, rows, text_columns=2), tag("h3", "Importance of features"), *(charts or nothing)]


def _forest_cells(forest: Facts) -> list[object]:
    size = forest.get("size")
    trained = ", ".join(
        f"{count:,} {kind}".replace(",", "\u202f") for kind, count in (forest.get("n_events") or {}).items()
    )
    return [
        number(forest.get("n_trees")),
        number(forest.get("n_nodes")),
        number(forest.get("max_depth")),
        number(None if size is None else size / _MEGA),
        number(None if (speed := forest.get("events_per_second")) is None else round(speed)),
        trained,
    ]


def _importances(title: str, forest: Facts) -> Html:
    pairs = sorted(zip(forest["importances"], forest["features"], strict=False), reverse=True)
    largest = max((value for value, _ in pairs), default=0) or 1
    bars = [
        tag(
            "div",
            tag("span", name),
            tag("i", style=f"width: {100 * value / largest:.1f}%"),
            tag("span", f"{value:.3f}"),
            class_="bar",
        )
        for value, name in pairs
    ]
    return details(title, *bars)


def irfs_section(facts: Facts) -> Section:
    """List the responses."""
    rows, flag = [], ""
    for entry in facts["irfs"]:
        if "missing" in entry:
            flag = "warning"
            rows.append((entry["node"], entry["setup"], state("warning", f"missing: {entry['missing']}")))
        for irf in entry.get("files", ()):
            flag = "warning" if "missing" in irf else flag
            name = link(PurePosixPath(irf["path"]).name, irf["path"])
            rows.append((entry["node"], entry["setup"], name, *_irf_cells(irf)))
    header = ("Node", "Set-up", "File", "Cut", "Energies [TeV]", "Size [MB]")
    padded = [(*row, *[number(None)] * (len(header) - len(row))) for row in rows]
    return Section("Instrument responses", table(header, padded, text_columns=3), flag)


def _irf_cells(irf: Facts) -> list[object]:
    if "missing" in irf:
        return [state("bad", f"missing: {irf['missing']}")]
    limits = [irf.get(f"energy_{end}_tev") for end in ("min", "max")]
    energies = "" if None in limits else f"{limits[0]:.3g} to {limits[1]:.3g}"
    return [irf["tag"], energies, number(irf["size"] / _MEGA)]
