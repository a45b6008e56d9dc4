"""
Photon lists and productions on a disk that fails, or that tells old news.

Runs below ``test_storage_faults.py`` only, with the libraries preloaded.
"""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from storage import ERRORS, Campaign, Fault, View, check_words, load_neighbour, under

from sst1m.nodes import Node
from sst1m.sources import DEFAULT_SOURCES

if "stale_view" not in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("runs below test_storage_faults.py", allow_module_level=True)

INTEGRATION = Path(__file__).parents[1]
productions = load_neighbour(INTEGRATION / "test_production.py")
photon_lists = load_neighbour(INTEGRATION / "test_photon_lists.py")
make_production = productions.make_production

#: What differs from the production of the other tests: all set-ups, near to the sky of the made-up night.
CHANGES = (
    ('setups = ["stereo"]', 'setups = ["mono", "stereo"]'),
    ("zenith = [20]", "zenith = [45]"),
    ("azimuth = [180]", "azimuth = [250]"),
    ("nsb = [100]", "nsb = [200]"),
    ("energy_min = 1.5\nenergy_max = 8", "energy_min = 4\nenergy_max = 20"),
)
#: What is taken away from a finished night, so that it is made again: by level, below its target.
NIGHT_LEVELS = {
    "pairs": ("stereo",),
    "dl2": ("cs?/dl2", "cs?/dl3*"),
    "stereo dl2": ("stereo/dl2", "stereo/dl3*"),
    "dl3": ("*/dl3",),
    "dl3_eff": ("*/dl3_eff",),
}
#: The same of a finished production, below its site, by the stage to which it is then taken.
PRODUCTION_STAGES = (
    ("dl1", "mc/tiny/dl1/gamma_diffuse/*/train"),
    ("dl1", "mc/tiny/dl1/*/*/*/*.h5"),
    ("models", "mc/tiny/models_*/*/*tel_002*"),
    ("dl2", "mc/tiny/dl2/proton_diffuse"),
    ("irfs", "mc/tiny/cuts/*/*stereo*", "irf/data/sst1m_stereo"),
    ("report", "mc/tiny/performance/*/stereo", "mc/tiny/interpolation_check.*", "mc/tiny/report"),
)
#: Files that may look absent, by parts of their names.
NIGHT_FILES = (
    "_dl1.h5",
    "_dl2.h5",
    "coincidences",
    "obs-index",
    "hdu-index",
    "_dl3.fits",
    ".json",
    "manifest",
)
SITE_FILES = (".sav", "card_tel", "_irfs.fits", "gammaness_cuts", "ze45")
PRODUCTION_FILES = ("_dl1.h5", "_dl2.h5", ".sav", "card_tel", "_irfs.fits", "gammaness", ".json", "summary")
NODE = Node(45, 250, 200)
ABSENCES = (errno.ENOENT, errno.ESTALE, errno.EACCES, errno.EIO)


@pytest.fixture(scope="module")
def production(make_production):
    """Return a production that was made on a good disk."""
    made = new_production(make_production)
    status, text = made.run()
    assert status == 0, text
    return made


def new_production(make_production):
    made = make_production()
    text = made.file.read_text()
    for old, new in CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    made.file.write_text(text)
    return made


def new_night(make_night, production):
    """Return a night with one run of each telescope on one target, to be taken to photon lists."""
    night = make_night()
    models = production.layout.root
    night.more_site, night.until = (
        {
            "irf_dir": production.irf_dir,
            "mono_model_dir": models / "models_mono",
            "stereo_model_dir": models / "models_stereo",
            "eff_cut_dir_mono": models / "cuts",
            "eff_cut_dir_stereo": models / "cuts",
            "sources_file": DEFAULT_SOURCES,
        },
        (),
    )
    lines = "\n".join(f"{key} = {path}" for key, path in night.more_site.items())
    night.configure(site=lines, night="irf_method = nearest")
    values = json.loads(night.config.read_text())
    values["analysis"]["global_gammaness_cut"] = productions.ANALYSIS["global_gammaness_cut"]
    night.config.write_text(json.dumps(values))
    night.add(21, 1)
    night.add(22, 1)
    return night


def start_night(warm, night):
    def run(before=None):
        command = warm(night, "--night-irf-method", "nearest", before=before)
        return command.wait(), command.text()

    return run


@pytest.fixture(scope="module")
def finished(make_night, warm, production):
    """Return a night with its photon lists."""
    night = new_night(make_night, production)
    status, text = start_night(warm, night)()
    assert status == 0, text
    return night


def remove(base: Path, patterns: tuple[str, ...]) -> None:
    for path in [path for pattern in patterns for path in base.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def night_without(level: str, make_night, production, finished):
    """Return a night that is finished but for a level."""
    night = new_night(make_night, production)
    shutil.copytree(finished.ana, night.ana)
    remove(night.layout.root / "Crab", NIGHT_LEVELS[level])
    return night


def made_of(night) -> dict[str, Path]:
    """Return all products of a night after DL1."""
    files = (path for path in night.layout.root.glob("Crab/**/*") if not path.name.startswith("."))
    products = (path for path in files if path.suffix in (".h5", ".fits", ".gz"))
    return {str(path.relative_to(night.ana)): path for path in products}


def different(ours: dict[str, Path], theirs: dict[str, Path]) -> list[str]:
    """Return the products that one has and the other has not, or that differ."""
    missing = sorted(ours.keys() ^ theirs.keys())
    compared = [name for name in ours if Path(name).suffix in (".h5", ".fits", ".sav")]
    return missing or [name for name in compared if content(name, ours) != content(name, theirs)]


def content(name: str, products: dict[str, Path]) -> dict[str, bytes]:
    """Return the numbers of a product, without the place at which it was made."""
    return {
        key: re.sub(rb'"/[^"]*/site/', b'"', value)
        for key, value in productions.content(products[name]).items()
    }


class Operations:
    """How many operations a step takes in a place; counted when it is first asked for, on a good disk."""

    def __init__(self, make, run, places) -> None:
        self.make, self.run, self.places = make, run, places
        self.known: dict[tuple, int] = {}

    def fault(self, site, step, mode: str, rng) -> Fault:
        """Return a fault at any operation of the step, mostly in the first of its places."""
        index = int(rng.choice([0, 0, *range(1, len(self.places(site)))]))
        if (step, index) not in self.known:
            other = self.make(step)
            outcome = under(Fault(self.places(other)[index], 0, "count"), other.base, self.run(other, step))
            assert outcome.status == 0, outcome.what
            self.known[step, index] = max(outcome.n_counted, 1)
        number = int(rng.integers(1, self.known[step, index] + 1))
        return Fault(self.places(site)[index], number, mode, int(rng.choice(ERRORS)))


def night_view(kind: str, night, production, rng) -> View:
    """Return what is told wrongly of the products of a night, or of what they are made by."""
    number = int(rng.choice([1, 2, 4, 10, 100_000]))
    if kind == "absent":
        return View(night.ana, number, kind, str(rng.choice(NIGHT_FILES)), int(rng.choice(ABSENCES)))
    if kind == "absent from the site":
        return View(production.base, number, "absent", str(rng.choice(SITE_FILES)), int(rng.choice(ABSENCES)))
    setup, level = str(rng.choice(["cs1", "cs2"])), str(rng.choice(["dl1", "dl2"]))
    directory = night.layout.root / "Crab" / setup / level
    if kind == "hidden":
        return View(directory, number, kind, "SST1M")
    if kind == "vanish":
        return View(directory, int(rng.integers(1, 6)), kind, ".h5")
    return View(night.base, 1000, "slow")


def put_back(base: Path, fault: Fault | View) -> None:
    """Put back a file that was taken away, unless it has been made again."""
    away = base / "operations.away"
    if away.exists() and not list(fault.where.glob("SST1M*.h5")):
        tel = fault.where.parent.name[-1]
        stem = f"SST1M{tel}_20240304_0001_W1_dl1"
        away.rename(fault.where / f"{stem}{'_dl2' if fault.where.name == 'dl2' else ''}.h5")


def check_night(night, finished, outcome) -> None:
    """Check that what is visible is complete, that nothing is in quarantine, and that success is one."""
    photon_lists.look(night)
    assert not list(night.layout.root.glob("quarantine/*")), outcome.what
    if outcome.status == 0 and not (night.base / "operations.away").exists():
        assert made_of(night).keys() == made_of(finished).keys(), outcome.what


def test_photon_lists_on_a_failing_disk(finished, production, make_night, warm, dose):
    rng, campaign = np.random.default_rng(20240306), Campaign()
    kinds = (
        "once", "hidden", "absent", "rest", "once", "absent from the site", "once", "vanish", "rest", "slow",
    )  # fmt: skip
    operations = Operations(
        lambda level: night_without(level, make_night, production, finished),
        lambda night, _level: start_night(warm, night),
        lambda night: (night.ana, production.layout.root, production.irf_dir),
    )
    for case in range(dose(4, 80)):
        kind, level = kinds[case % len(kinds)], str(rng.choice(list(NIGHT_LEVELS)))

        def one_case(kind=kind, level=level) -> str:
            night = night_without(level, make_night, production, finished)
            if kind in ("once", "rest"):
                fault = operations.fault(night, level, kind, rng)
            else:
                fault = night_view(kind, night, production, rng)
            outcome = under(fault, night.base, start_night(warm, night))
            check_words(outcome, met=outcome.n_counted >= (fault.number if kind in ("once", "rest") else 1))
            check_night(night, finished, outcome)
            put_back(night.base, fault)
            status, text = start_night(warm, night)()
            assert status == 0, f"{level}: {outcome.what}\n--- healed:\n{text}"
            assert different(made_of(night), made_of(finished)) == [], f"{level}: {outcome.what}"
            assert json.loads(night.layout.record.read_text())["complete"] is True, outcome.what
            assert not [path for path in night.ana.rglob("*") if ".part" in path.name], outcome.what
            return f"photon lists, {kind}: status {outcome.status}"

        campaign.case(one_case)
    campaign.close()


def production_without(patterns: tuple[str, ...], make_production, production):
    """Return a production that is finished but for some of its products."""
    made = new_production(make_production)
    shutil.copytree(production.layout.root, made.layout.root)
    shutil.copytree(production.irf_dir, made.irf_dir)
    remove(made.base, patterns)
    made.layout.record.unlink()
    return made


def production_view(kind: str, made, rng) -> View:
    """Return what is told wrongly of the files of a production."""
    number = int(rng.choice([1, 2, 4, 10, 100_000]))
    if kind == "hidden":
        return View(made.layout.shards("gamma_diffuse", NODE, "train"), number, kind, "_000001_")
    return View(made.base, number, "absent", str(rng.choice(PRODUCTION_FILES)), int(rng.choice(ABSENCES)))


def test_a_production_on_a_failing_disk(production, make_production, dose):
    rng, campaign = np.random.default_rng(20240307), Campaign()
    kinds = ("once", "once", "rest", "absent", "once", "once", "hidden")
    operations = Operations(
        lambda step: production_without(step[1:], make_production, production),
        lambda made, step: lambda before: made.run("--until", step[0], before=before),
        lambda made: (made.layout.mc_dir, made.irf_dir),
    )
    for case in range(dose(2, 70)):
        kind = kinds[case % len(kinds)]
        step = PRODUCTION_STAGES[(case + 3) % len(PRODUCTION_STAGES)]

        def one_case(kind=kind, step=step) -> str:
            until, *patterns = step
            made = production_without(patterns, make_production, production)
            if kind in ("once", "rest"):
                fault = operations.fault(made, step, kind, rng)
            else:
                fault = production_view(kind, made, rng)
            outcome = under(fault, made.base, lambda before: made.run("--until", until, before=before))
            check_words(outcome, met=outcome.n_counted >= (fault.number if kind in ("once", "rest") else 1))
            productions.assert_valid(made)
            assert not list(made.layout.root.rglob("failed/*.json")), outcome.what
            if outcome.status == 0:
                assert made.products().keys() == production.products().keys(), outcome.what
            status, text = made.run("--until", until)
            assert status == 0, f"{until}: {outcome.what}\n--- healed:\n{text}"
            assert different(made.products(), production.products()) == [], f"{until}: {outcome.what}"
            assert json.loads(made.layout.record.read_text())["complete"] is True, outcome.what
            assert not [path for path in made.base.rglob("*") if ".part" in path.name], outcome.what
            return f"production, {kind}: status {outcome.status}"

        campaign.case(one_case)
    campaign.close()
