"""Tests that need a program which is not a Python package: skipped where it is missing, but not in CI."""

import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


def program_missing(item: pytest.Item) -> str:
    """Why this test cannot run: the program that its marker `requires` names is not on the PATH. Empty if it can."""
    for marker in item.iter_markers("requires"):
        if not any(map(shutil.which, marker.args)):
            return f"none of {', '.join(marker.args)} is installed" if marker.args[1:] else f"no {marker.args[0]} here"
    return ""


def in_ci() -> bool:
    """Whether this is a run of CI, which must skip no test for want of a program."""
    return os.environ.get("CI", "").lower() in ("1", "true")
