"""What the pipeline remembers of a night, damaged at random: no run is lost, and nothing is claimed."""

import json
import shutil
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sst1m.json_object import json_object, sealed
from sst1m.manifest import read_manifest
from sst1m.simulation.spoiled import edited, spoiled_text

CUT = b"nothing of a raw file"


@dataclass
class Finished:
    """A night that was processed once, what it was like then, and a copy of its analysis root."""

    night: object
    status: int
    copy: Path

    def __post_init__(self) -> None:
        self.states = self.present_states()
        self.records = {path.name: json_object(path.read_text()) for path in self.products(".json")}
        self.tables = {path.name: path for path in (self.copy / "20240304").glob("*/cs*/dl1/*_dl1.h5")}
        self.facts = json.loads((self.night.layout.report / "night.json").read_text())

    def present_states(self) -> dict[str, str]:
        manifest = read_manifest(self.night.layout.manifest)
        return {f"{row.tel}:{row.file}": row.state for row in manifest.rows} if manifest else {}

    def products(self, suffix: str = ".h5") -> list[Path]:
        return [path.with_suffix(suffix) for path in self.night.products()]

    def restore(self) -> None:
        shutil.rmtree(self.night.ana)
        shutil.copytree(self.copy, self.night.ana)

    def state_files(self) -> list[Path]:
        """Return everything below the analysis root but products, locks, pictures and corrections."""
        found = (path for path in sorted(self.night.ana.rglob("*")) if path.is_file() and path.stat().st_size)
        no_state = (".h5", ".lock", ".png", ".fits")
        return [path for path in found if path.suffix not in no_state and path.name != "corrections.ecsv"]


def finish(night, warm, status):
    command = warm(night)
    assert command.wait() == status, command.text()
    copy = night.base / "finished"
    shutil.copytree(night.ana, copy)
    return Finished(night, status, copy)


@pytest.fixture(scope="module")
def nights(make_night, warm):
    """Return a night that is complete, and one with a run in quarantine, one skipped and one that failed."""
    complete, troubled = make_night(), make_night()
    for night in (complete, troubled):
        for tel_id, run in ((21, 1), (21, 2), (22, 1)):
            night.add(tel_id, run)
    complete.layout.root.mkdir(parents=True)
    complete.layout.corrections.write_text("tel,run,exclude,reason\n21,2,true,clouds\n")
    troubled.add(22, 3, content=CUT * 1000)
    troubled.add(22, 5, target="dark")
    return finish(complete, warm, 0), finish(troubled, warm, 30)


def spoil(path: Path, rng: np.random.Generator) -> str:
    """Damage a file; return how. Some JSON is edited as a hand does it, with or without its checksum."""
    if path.suffix == ".json" and rng.random() < 0.4:
        way, document = edited(json.loads(path.read_text()), rng)
        own = rng.random() < 0.5 and "checksum" in document
        document = sealed(document) if own else {k: v for k, v in document.items() if k != "checksum"}
        path.write_text(json.dumps(document))
        return f"edited, {way}"
    way, content = spoiled_text(path.read_bytes(), rng)
    path.write_bytes(content)
    return way


def problems_of(finished, status, text, *, by_hand):
    """Yield what is wrong after the command has worked on a damaged memory."""
    if "Traceback" in text or "unexpected" in text:
        yield "a traceback"
    if status == 35:
        if "analysis.json" not in text or not any(word in text for word in ("restore", "choose")):
            yield "refused without a reason and a way out"
        return
    if status != finished.status:
        yield f"status {status} and not {finished.status}"
    states = finished.present_states()
    if states != finished.states:
        yield f"states {states}"
    if {path.name for path in finished.products()} != finished.tables.keys():
        yield "products are missing"
    record = json_object(finished.night.layout.record.read_text())
    if record["complete"] is not (finished.status == 0) and not by_hand:
        yield "the record does not tell the truth"
    facts = json_object((finished.night.layout.report / "night.json").read_text())
    if facts["state"]["runs"] != finished.facts["state"]["runs"] and not by_hand:
        yield f"the page counts {facts['state']['runs']}"


def different_numbers(finished, damaged, differing_tables):
    """Yield what products and the JSON beside them say otherwise than before."""
    for path in finished.products():
        if tables := differing_tables(path, finished.tables[path.name]):
            yield f"{path.name}: other {tables}"
        if damaged == path.with_suffix(".json"):
            continue
        counts = json_object(path.with_suffix(".json").read_text())["counts"]
        if counts != finished.records[path.with_suffix(".json").name]["counts"]:
            yield f"{path.name}: other counts"


@pytest.mark.slow
@pytest.mark.torture
def test_damaged_memory_costs_no_run_and_claims_nothing(
    nights, warm, dose, record_property, differing_tables
):
    ended, wrong = Counter(), []
    for number in range(dose(14, 160)):
        rng = np.random.default_rng([23, number])
        finished = nights[number % 2]
        finished.restore()
        files = finished.state_files()
        path = files[int(rng.integers(len(files)))]
        way, lost = spoil(path, rng), None
        if rng.random() < 0.4:
            lost = finished.products()[int(rng.integers(len(finished.products())))]
            lost.unlink()
        command = warm(finished.night, before=lambda: signal.alarm(120))
        status, text = command.wait(), command.text()
        command.output.unlink()
        by_hand = way.startswith("edited")
        found = list(problems_of(finished, status, text, by_hand=by_hand))
        if status != 35 and not found:
            found = list(different_numbers(finished, path, differing_tables))
        name = path.name if path.parent.name != "dl1" else f"beside DL1: {path.suffix}"
        ended[name, "refused" if status == 35 else "healed" if lost or text else "quiet"] += 1
        wrong += [f"{number} {path.relative_to(finished.night.ana)}, {way}: {line}\n{text}" for line in found]
        if status == 35:
            path.unlink()
            again = warm(finished.night)
            if again.wait() != finished.status:
                wrong.append(f"{number}: not healed by removing {path.name}: {again.text()}")
            again.output.unlink()
    for (name, end), count in sorted(ended.items()):
        record_property(f"{name}: {end}", count)
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:12]])
