"""Lets the campaigns on failing disks import what they share; the tests are no package."""

import importlib.util
import sys
from pathlib import Path

if "storage" not in sys.modules:
    _SPEC = importlib.util.spec_from_file_location("storage", Path(__file__).with_name("storage.py"))
    sys.modules["storage"] = importlib.util.module_from_spec(_SPEC)
    _SPEC.loader.exec_module(sys.modules["storage"])
