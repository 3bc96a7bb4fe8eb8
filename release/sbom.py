"""Write the software bill of materials (SBOM) of Haldane as installed here: CycloneDX 1.6, JSON, on standard output.

It lists the distribution and every package that it needs to run, with version, licence and who needs whom: the
dependencies that pyproject.toml names, and theirs, as their installed metadata says for this Python and platform.
The same packages give the same document.
"""

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
Needs = Mapping[str, tuple[str, ...]]
"""Package -> the packages that it needs."""


def sbom(project: Mapping[str, Any]) -> dict[str, Any]:
    """The document for the `[project]` table. Raises `PackageNotFoundError` if a package is not installed here."""
    required = [requirement for requirement in map(Requirement, project["dependencies"]) if _applies(requirement)]
    packages, needs = _installed(required)
    root = {
        **_component(project["name"], project["version"], "application"),
        "description": project["description"],
        "licenses": [{"expression": project["license"]}],
    }
    components = [_package(name, package) for name, package in sorted(packages.items())]
    refs = {component["name"]: component["bom-ref"] for component in components}
    needs = {project["name"]: _names(required), **needs}
    refs[project["name"]] = root["bom-ref"]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(sorted(refs.values())))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [
            {"ref": refs[name], "dependsOn": sorted(refs[other] for other in needed)}
            for name, needed in sorted(needs.items())
        ],
    }


def _installed(requirements: Iterable[Requirement]) -> tuple[dict[str, Distribution], Needs]:
    """The packages that fulfil these requirements, and those that these need in turn; and who needs whom."""
    packages: dict[str, Distribution] = {}
    needs: dict[str, set[str]] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        packages[name] = distribution(name)
        needed = list(_requirements(packages[name], extras))
        needs.setdefault(name, set()).update(_names(needed))
        waiting += needed
    return packages, {name: tuple(others - {name}) for name, others in needs.items()}


def _requirements(package: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What a package needs here, with these extras."""
    for text in package.requires or ():
        requirement = Requirement(text)
        if any(_applies(requirement, extra) for extra in ("", *extras)):
            yield requirement


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _names(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    return tuple({canonicalize_name(requirement.name) for requirement in requirements})


def _package(name: str, package: Distribution) -> dict[str, Any]:
    component = _component(name, package.version, "library")
    if licence := _licence(package.metadata):
        component["licenses"] = [licence]
    return component


def _component(name: str, version: str, kind: str) -> dict[str, Any]:
    url = f"pkg:pypi/{canonicalize_name(name)}@{version}"
    return {"type": kind, "bom-ref": url, "name": name, "version": version, "purl": url}


def _licence(metadata: PackageMetadata) -> dict[str, Any] | None:
    """What the metadata says of it: an SPDX expression (PEP 639), a name in one line, or its classifiers."""
    if expression := metadata.get("License-Expression"):
        return {"expression": expression}
    name = (metadata.get("License") or "").strip()
    if not re.fullmatch(r"[^\n]{1,100}", name) or name == "UNKNOWN":
        classifiers = metadata.get_all("Classifier") or []
        name = " or ".join(text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: "))
    return {"license": {"name": name}} if name else None


if __name__ == "__main__":
    try:
        document = sbom(tomllib.loads(PROJECT.read_text())["project"])
    except PackageNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed here: `make install`")
    json.dump(document, sys.stdout, indent=2)
    print()
