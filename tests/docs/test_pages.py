"""README and docs/: links resolve, paths exist, lines are short, words are plain."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
WIDTH = 100
"""Characters of a line of prose, so that a diff can be read."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:controller|tests|docs|proto|envoy|core|store|xds|admin)/[\w./-]+)`")
IDIOMS = re.compile(
    r"\b(for ever|anew|as a rule|of (ours|theirs)|taken? back|takes back|somebody|nobody|(is|are) told|a void)\b",
    re.IGNORECASE,
)


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_relative_link_resolves(page: Path) -> None:
    """To a file or folder that is there and, in a page, to a heading that it has."""
    for target in LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), target
        assert not heading or heading in set(anchors(there)), target


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_path_that_is_named_exists(page: Path) -> None:
    """From the root of the repository, or from the package."""
    for path in PATH.findall(page.read_text()):
        assert (ROOT / path).exists() or (ROOT / "controller" / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_lines_of_prose_are_short(page: Path) -> None:
    """Outside of tables and code."""
    assert [f"{number}: {line}" for number, line in prose(page) if len(line) > WIDTH] == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_prose_is_in_plain_words(page: Path) -> None:
    """The words of Envoy, gRPC and SRE practice, and no idiom in their place."""
    found = [(number, line) for number, line in enumerate(page.read_text().splitlines(), 1) if IDIOMS.search(line)]
    assert found == []


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines that are neither of a table, nor of code, nor a definition of a link or an image alone."""
    code = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith(("|", "    ", "![")) and not re.match(r"\[\w+\]: ", line):
            yield number, line


def anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    for _, line in prose(page):
        if line.startswith("#"):
            text = re.sub(r"[`*]", "", line.lstrip("#").strip()).lower()
            yield re.sub(r"[^\w -]", "", text).replace(" ", "-")
