"""The walls between the houses, and the habits that keep the code readable."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSES = ("sst1m", "tasks", "submit")
FORBIDDEN = {
    "sst1m": {"luigi", "tasks", "submit", "tests"},
    "tasks": {"submit", "numpy", "numba", "tests"},
    "submit": {"sst1m", "tasks", "numpy", "tests"},
}
HEAVY = {"ctapipe", "gammapy", "pyirf", "sklearn", "numba", "protozfits", "tables", "pandas"}
LIMIT_FILE = 400
LIMIT_FUNCTION = 60


def _sources(house: str) -> list[Path]:
    return sorted((ROOT / house).rglob("*.py"))


def _trees():
    for house in HOUSES:
        for path in _sources(house):
            yield house, path, ast.parse(path.read_text(), str(path))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name.split(".")[0] for name in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.split(".")[0]]
    return []


def _functions(tree: ast.AST):
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_house_imports_through_a_wall():
    broken = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
        for house, path, tree in _trees()
        for node in ast.walk(tree)
        for name in _imported(node)
        if name in FORBIDDEN[house] or (name == "click" and house == "sst1m" and "cli" not in path.parts)
    ]
    assert not broken


def test_tasks_import_nothing_heavy_at_module_level():
    broken = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
        for house, path, tree in _trees()
        if house == "tasks"
        for node in tree.body
        for name in _imported(node)
        if name in HEAVY
    ]
    assert not broken


def test_importing_the_tasks_stays_light():
    code = "import sys, tasks; print(sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])))"
    run = subprocess.run(
        [sys.executable, "-c", code, *sorted(HEAVY)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_files_and_functions_stay_small():
    lengths, broken = [], []
    for _, path, tree in _trees():
        if (n_lines := len(path.read_text().splitlines())) > LIMIT_FILE:
            broken.append(f"{path.relative_to(ROOT)} has {n_lines} lines")
        for function in _functions(tree):
            length = function.end_lineno - function.lineno + 1
            if (doc := ast.get_docstring(function)) is not None:
                length -= len(doc.splitlines()) + 1
            lengths.append(length)
            if length > LIMIT_FUNCTION:
                broken.append(
                    f"{path.relative_to(ROOT)}:{function.lineno} {function.name} has {length} lines"
                )
    assert not broken
    assert statistics.median(lengths) <= 12


def test_library_code_neither_prints_nor_exits():
    broken = []
    for _, path, tree in _trees():
        if "cli" in (*path.parts, path.stem) or path.name == "__main__.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in {"print", "exit", "quit", "sys.exit", "os.system", "pickle.load", "pickle.loads"}:
                    broken.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {name}")
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                broken.append(f"{path.relative_to(ROOT)}:{node.lineno} catches everything")
    assert not broken


def test_every_error_carries_its_own_exit_code():
    from sst1m import errors

    classes = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(c, errors.Sst1mError) and c.exit_code > 0 for c in classes)


def test_public_functions_say_what_they_do():
    broken = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for _, path, tree in _trees()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not broken


@pytest.mark.parametrize("name", ["utils.py", "helpers.py", "misc.py"])
def test_no_drawer_for_odds_and_ends(name):
    assert not [p for house in HOUSES for p in _sources(house) if p.name == name]
