"""An update of the code must not leave kernels behind that were compiled from the old one."""

import os
import subprocess
import sys
import time

import pytest

from sst1m.kernel_cache import discard_stale_kernels

CALLEE = "from numba import njit\n\n@njit\ndef inner(x):\n    return x + {}\n"
CALLER = """
from numba import njit

from .callee import inner


@njit(cache=True)
def outer(x):
    return inner(x)
"""


@pytest.fixture
def package(tmp_path):
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "callee.py").write_text(CALLEE.format(1))
    (package / "caller.py").write_text(CALLER)
    return package


def run(package):
    code = "import sys; sys.dont_write_bytecode = True; from pkg.caller import outer; print(outer(1))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=package.parent, capture_output=True, text=True, env=environment
    )
    return int(result.stdout)


def test_a_change_in_a_called_function_discards_the_kernel(package):
    assert discard_stale_kernels(package) and not discard_stale_kernels(package)
    assert run(package) == 2
    assert list(package.rglob("*.nbi"))
    time.sleep(0.01)
    (package / "callee.py").write_text(CALLEE.format(10))
    # without the guard numba answers with the old function; if it ever learns better, the guard can go
    assert run(package) == 2
    assert discard_stale_kernels(package)
    assert not list(package.rglob("*.nb[ic]"))
    assert run(package) == 11


def test_a_package_that_cannot_be_written_is_left_alone(package):
    (package / "__pycache__").write_text("a file where the directory should be")
    assert discard_stale_kernels(package)


def test_a_change_that_no_kernel_sees_keeps_the_kernels(package):
    (package / "page.py").write_text("TITLE = 'night'\n")
    discard_stale_kernels(package)
    run(package)
    (package / "page.py").write_text("TITLE = 'another night'\n")
    assert not discard_stale_kernels(package)
    assert list(package.rglob("*.nbi"))


def test_a_constant_of_another_module_counts_as_code_of_the_kernel(package):
    (package / "constants.py").write_text("OFFSET = 1\n")
    text = (package / "callee.py").read_text()
    (package / "callee.py").write_text("from .constants import OFFSET\n" + text)
    discard_stale_kernels(package)
    run(package)
    (package / "constants.py").write_text("OFFSET = 20\n")
    assert discard_stale_kernels(package)
    assert not list(package.rglob("*.nbi"))
