"""Configurations spoiled at random: read as they stand, or one error that names file, key and reason."""

import configparser
import copy
import csv
import io
import json
import math
import re
import signal
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sst1m.config import load_config
from sst1m.corrections import COLUMNS, read_corrections
from sst1m.errors import Sst1mError
from sst1m.monitoring.quality import read_limits
from sst1m.production.load import load_production
from sst1m.simulation.night_spec import NightSpec
from sst1m.simulation.schedule import plan_night
from sst1m.simulation.spoiled import WRONG_VALUES, edited, places, spoiled_text
from sst1m.sources import Source, read_sources
from submit.errors import SubmitError
from submit.site import load_site

CORRECTIONS = (
    ",".join(COLUMNS) + "\n"
    '21,2,Crab,W1,,,,"a blank in the name"\n22,7,,,83.6,22.0,,\n21,13,,,,,true,"clouds, and a door"\n'
)


def told_by_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8-sig"))


def told_by_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8-sig"))


def said(model) -> dict[str, Any]:
    """Return what a model holds, in the words of its file."""
    return model.model_dump(mode="json")


def rows_of(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    return [
        [cell.strip() for cell in row]
        for row in csv.reader([line for line in lines if not line.startswith("#")])
    ]


def corrections_said(path: Path) -> None:
    """Make sure that every row is there, with its numbers."""
    found, (header, *rows) = read_corrections(path), rows_of(path)
    assert len(found) == len(rows)
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        tel = {"1": 21, "2": 22}.get(cells["tel"], int(cells["tel"]))
        correction = found[tel, int(cells["run"])]
        assert correction.exclude == (cells.get("exclude", "").lower() in ("true", "yes", "1"))
        for name, value in (("ra", correction.ra_deg), ("dec", correction.dec_deg)):
            assert value == (float(cells[name]) if cells.get(name) else None)
        assert not correction.exclude or correction.reason


def sources_said(path: Path) -> None:
    """Make sure that every source is there, at its place."""
    found, (_, *rows) = read_sources(path), rows_of(path)
    assert [*found.sources] == [row[0] for row in rows]
    for name, ra, dec, *_ in rows:
        source = found.named(name)
        assert (source.ra_deg, source.dec_deg) == (float(ra), float(dec))
        assert 0 <= source.ra_deg < 360 and -90 <= source.dec_deg <= 90


@dataclass(frozen=True)
class Kind:
    """One kind of configuration: a good file, who reads it, and what the file says to somebody else."""

    file: str
    read: Callable[[Path], Any]
    told: Callable[[Path], dict[str, Any]] | None = None
    errors: type[Exception] = Sst1mError


KINDS = {
    "data": Kind("sst1m_data_config.json", lambda path: said(load_config(path)), told_by_json),
    "simulations": Kind("sst1m_mc_config.json", lambda path: said(load_config(path)), told_by_json),
    "production": Kind("productions/standard.toml", lambda path: said(load_production(path)), told_by_toml),
    "demo production": Kind("productions/demo.toml", lambda path: said(load_production(path)), told_by_toml),
    "site": Kind("sites/slurm.toml", lambda path: said(load_site(path)), told_by_toml, SubmitError),
    "local site": Kind("sites/local.toml", lambda path: said(load_site(path)), told_by_toml, SubmitError),
    "quality": Kind("quality.toml", lambda path: said(read_limits(path)), told_by_toml),
    "sources": Kind("sources.ecsv", sources_said),
    "corrections": Kind("corrections.ecsv", corrections_said),
}


def toml_text(document: dict[str, Any]) -> str:
    """Return a document as TOML with inline tables; what TOML cannot say is an error of the text."""
    return "\n".join(f"{_toml(key)} = {_toml(value)}" for key, value in document.items())


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "2024-03-04" if value is None else json.dumps(value)


def with_wrong_cell(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace one cell of a table."""
    lines = content.decode().splitlines()
    number = int(rng.choice([n for n, line in enumerate(lines) if line and not line.startswith("#")]))
    cells = next(csv.reader([lines[number]]))
    value = WRONG_VALUES[int(rng.integers(len(WRONG_VALUES)))]
    cells[int(rng.integers(len(cells)))] = json.dumps(value) if isinstance(value, dict | list) else str(value)
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    lines[number] = out.getvalue()
    return ("\n".join(lines) + "\n").encode(errors="surrogatepass")


def with_doubled_key(document: dict[str, Any], rng: np.random.Generator) -> str:
    """Return JSON in which one key stands twice, with another value."""
    document = copy.deepcopy(document)
    *path, key = list(places(document))[int(rng.integers(len(list(places(document)))))]
    parent: Any = document
    for step in path:
        parent = parent[step]
    if isinstance(parent, list):
        return with_doubled_key(document, rng)
    parent[f"{key}\0twin"] = WRONG_VALUES[int(rng.integers(len(WRONG_VALUES)))]
    return json.dumps(document).replace(r"\u0000twin", "")


def spoil(kind: Kind, good: Path, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return a way and what it makes of a good file."""
    content = good.read_bytes()
    if rng.random() < 0.5:
        return spoiled_text(content, rng)
    if kind.told is None:
        return "cell", with_wrong_cell(content, rng)
    document = kind.told(good)
    if good.suffix == ".json" and rng.random() < 0.2:
        return "key twice", with_doubled_key(document, rng).encode()
    way, document = edited(document, rng)
    text = json.dumps(document) if good.suffix == ".json" else toml_text(document)
    return way, text.encode(errors="surrogatepass")


def differences(told: object, held: object, where: str = "") -> list[str]:
    """Return where what was read is not what the file says; a model may hold more."""
    if isinstance(told, dict) and isinstance(held, dict):
        return [
            line
            for key, value in told.items()
            for line in differences(value, held.get(key, "nothing"), f"{where}.{key}")
        ]
    if isinstance(told, list) and isinstance(held, list) and len(told) == len(held):
        # The order of pixels, and of levels, has no meaning; they are sorted.
        told = sorted(told) if "bad_pixels" in where else told
        if "ImageCleanerSST" in where:
            told = sorted(told, key=lambda level: level["min_nsb_level"])
        return [
            line
            for number, (one, other) in enumerate(zip(told, held, strict=True))
            for line in differences(one, other, f"{where}[{number}]")
        ]
    same_type = isinstance(told, bool) == isinstance(held, bool)
    return [] if same_type and told == held else [f"{where}: {told!r} became {held!r}"]


def numbers(value: object):
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers(item)
    if isinstance(value, float):
        yield value


def problem_of(kind: Kind, path: Path) -> str:
    """Read a file as a command does; return ``refused`` or ``read``, or what is wrong with either."""
    try:
        held = kind.read(path)
    except kind.errors as error:
        text = str(error)
        if path.name not in text:
            return f"the error does not name the file: {text[:200]}"
        if not 5 < len(text) < 20_000 or not all(c.isprintable() or c == "\n" for c in text):
            return f"the error cannot be shown: {text[:200]!r}"
        return "refused"
    except Exception as error:  # noqa: BLE001 - to be reported with all others
        return f"{type(error).__name__}: {str(error)[:300]}"
    if kind.told is None:
        return "read"
    told = kind.told(path)
    told.pop("state_dir", None)
    if wrong := differences(told, held):
        return f"read as something else: {wrong[:3]}"
    return "read" if all(map(math.isfinite, numbers(held))) else "read with a number that is none"


@pytest.mark.torture
@pytest.mark.parametrize("name", KINDS)
def test_spoiled_files_are_read_as_they_stand_or_refused(name, project_root, tmp_path, dose, record_property):
    kind = KINDS[name]
    good = project_root / "config" / kind.file
    if name == "corrections":
        good = tmp_path / "good" / kind.file
        good.parent.mkdir()
        good.write_text(CORRECTIONS)
    assert problem_of(kind, good) == "read"
    path, ended, wrong = tmp_path / good.name, Counter(), []
    for number in range(dose(120, 3000)):
        way, content = spoil(kind, good, np.random.default_rng([13, number]))
        path.write_bytes(content)
        signal.alarm(60)
        found = problem_of(kind, path)
        signal.alarm(0)
        ended[found if found in ("read", "refused") else "wrong"] += 1
        if found not in ("read", "refused") or (way == "key twice" and found == "read"):
            wrong.append(f"{number} {way}: {found}")
    for end, count in sorted(ended.items()):
        record_property(end, count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    assert ended["refused"] > ended.total() / 4


NIGHT_VALUES = {
    "date": (date(2024, 3, 4), date.min, date.max),
    "source": (Source("Crab", 83.633, 22.014), Source("x", math.nan, 95.0), Source("x", 1e9, -math.inf)),
    "wobbles": (("W1", "W2"), (), ("",), ("W9", "../x"), ("W1",) * 1000),
    **dict.fromkeys(("n_runs", "seed"), (1, 4, 0, -1, 10**12)),
    **dict.fromkeys(
        ("flux", "run_seconds", "interval_minutes", "pedestal_hz", "background", "nsb_mhz", "wobble_deg"),
        (1.0, 20.0, 0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf),
    ),
}


@pytest.mark.torture
def test_nights_are_simulated_with_sound_values_only(dose, record_property):
    ended, wrong = Counter(), []
    for number in range(dose(100, 1500)):
        rng = np.random.default_rng([17, number])
        changed = rng.choice(list(NIGHT_VALUES), size=int(rng.integers(1, 4)), replace=False)
        values = {name: NIGHT_VALUES[name][int(rng.integers(len(NIGHT_VALUES[name])))] for name in changed}
        base = {"date": date(2024, 3, 4), "source": NIGHT_VALUES["source"][0]}
        signal.alarm(60)
        try:
            spec = NightSpec(**(base | values))
            groups = plan_night(spec)
            ended["planned"] += 1
            if not groups or not all(map(math.isfinite, numbers(vars(spec) | vars(spec.source)))):
                wrong.append(f"{number} {values}: planned")
        except Sst1mError:
            ended["refused"] += 1
        except Exception as error:  # noqa: BLE001 - to be reported with all others
            wrong.append(f"{number} {values}: {type(error).__name__}: {error}")
        signal.alarm(0)
    for end, count in sorted(ended.items()):
        record_property(end, count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    assert min(ended["planned"], ended["refused"]) > 0


def luigi_reads(path: Path) -> bool:
    """Whether luigi itself gets through the file: it reads it before anything of ours runs."""
    try:
        configparser.ConfigParser(interpolation=None).read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return False
    return True


@pytest.mark.torture
@pytest.mark.slow
def test_spoiled_luigi_cfg_makes_nothing_and_says_why(made_night, project_root, dose, record_property):
    text = (project_root / "luigi.cfg").read_text()
    for name in ("root_dir", "ana_dir", "config_file", "calibration_dir"):
        path = {"root_dir": made_night.raw, "ana_dir": made_night.ana}.get(name, made_night.config)
        text = re.sub(f"#{name} = .*", f"{name} = {path}", text)
    made_night.luigi_cfg.write_text(text)
    assert "no raw files of the night" in made_night.run().stderr
    ended, wrong = Counter(), []
    for number in range(dose(10, 300)):
        way, content = spoiled_text(text.encode(), np.random.default_rng([19, number]))
        made_night.luigi_cfg.write_bytes(content)
        done = made_night.run()
        if luigi_reads(made_night.luigi_cfg):
            ended["explained"] += 1
            sound = done.returncode in (20, 35, 40) and "Traceback" not in done.stderr and "[" in done.stderr
            sound |= "no raw files of the night" in done.stderr
            sound |= done.stderr.startswith("ERROR: luigi.cfg, [") and len(done.stderr.splitlines()) == 1
        else:
            ended["luigi's own words"] += 1
            sound = done.returncode == 1 and re.search("configparser\\.|UnicodeDecodeError", done.stderr)
        if not sound or made_night.products():
            wrong.append(f"{number} {way}: status {done.returncode}: {done.stderr[-600:]}")
    for end, count in sorted(ended.items()):
        record_property(end, count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:10]])
