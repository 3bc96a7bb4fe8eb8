"""The pages about faults are held to the suite."""

import re
from pathlib import Path

import pytest

from tests.support.pages import exists

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["faults.md", "track-record.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    """By its file, its class and its name."""
    named = set(re.findall(r"(tests/[\w/]+\.py)((?:::\w+)*)", (ROOT / "docs" / page).read_text()))
    assert named
    missing = [path + name for path, name in named if not exists(ROOT / path, name.split("::")[1:])]
    assert missing == []


def test_every_row_of_the_fault_matrix_has_its_tests_or_a_reason() -> None:
    """Thirty-three rows, in order."""
    rows = rows_of("The fault matrix")
    assert [int(number) for number, _ in rows] == list(range(1, 34))
    assert [n for n, text in rows if "tests/" not in text and "not applicable" not in text] == []


def test_every_promise_says_where_it_is_checked() -> None:
    """Sixteen of them, in order; what is named is in the model or in its proxies."""
    rows = rows_of("What must always hold")
    assert [int(number) for number, _ in rows] == list(range(1, 17))
    code = "".join(path.read_text() for path in (ROOT / "tests" / "model").rglob("*.py"))
    code += (ROOT / "tests" / "xds" / "proxies.py").read_text()
    for _, text in rows:
        named = re.findall(r"`(?:[\w/]+\.py::)?(?:\w+\.)?(\w+)`", text)
        assert named, text
        assert [name for name in named if f"def {name}(" not in code and f"class {name}" not in code] == []


def rows_of(heading: str) -> list[tuple[str, str]]:
    """The numbered rows of the table below that heading."""
    section = (ROOT / "docs" / "faults.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (\d+) \| (.*) \|$", section, re.M)
