"""Tables whose rows are proved by tests: every row has its tests, and every proof has its row."""

from itertools import groupby
from pathlib import Path

import pytest

from docs.proofs import DOCS, PAGES, BadProofs, fill, proofs, rows

WITHOUT = {"bad-input 35", "xds-rule 33", "xds-rule 48"}
"""The rows that no test proves: what they are about is not there."""

PAGE = """\
<!-- proofs: fault -->
| # | fault | tests |
|---|---|---|
| 1 | a \\| b | |
| 2, 3 | more | old |
| 4 | TLS | none: there is none |
<!-- end of proofs -->
"""
TESTS = """\
import pytest
pytestmark = [pytest.mark.envoy, pytest.mark.proves("fault 1")]

class TestMore:
    @pytest.mark.soak
    @pytest.mark.proves("fault 1", "fault 2")
    async def test_it(self): ...
"""


def pages() -> dict[str, str]:
    return {name: (DOCS / name).read_text() for name in PAGES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `tests` with one module that has proofs."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_one.py").write_text(TESTS)
    return folder


def test_the_pages_name_the_tests_that_there_are() -> None:
    """What is on the pages is what the markers say."""
    assert fill(pages(), proofs()) == pages()


def test_rows_are_numbered_in_order_and_only_these_have_no_test() -> None:
    """From 1 on, without a gap; `bad-input` follows another list."""
    names = [row for page in pages().values() for row in rows(page)]
    for kind, group in groupby(sorted(names), key=lambda row: row.split()[0]):
        if kind not in ("bad-input", "xds-bug"):
            numbers = sorted(int(row.split()[1]) for row in group)
            assert numbers == list(range(1, len(numbers) + 1)), kind
    assert set(names) - set(proofs()) == WITHOUT


def test_modules_classes_and_functions_prove(folder: Path) -> None:
    """Each by the name that pytest has for it; a soak test says how it is run."""
    (filled,) = fill({"page": PAGE}, proofs(folder)).values()
    test = "`tests/test_one.py::TestMore::test_it` (`-m soak`)"
    assert filled.splitlines()[3:6] == [
        f"| 1 | a \\| b | `tests/test_one.py`, {test} |",
        f"| 2, 3 | more | {test} |",
        "| 4 | TLS | none: there is none |",
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('"fault 2"', '"fault 1"'), "no test proves fault 2"),
        (('"fault 2"', '"fault 2", "fault 9"'), "tests/test_one.py::TestMore::test_it` .* proves fault 9, .* no page"),
        (('"fault 2"', '"fault 2", "fault 4"'), "fault 4 says `none`, but .*test_it.* proves it"),
    ],
)
def test_a_row_without_a_test_and_a_test_without_a_row_are_refused(
    folder: Path, change: tuple[str, str], problem: str
) -> None:
    """And so is `none` for what has a test."""
    (folder / "test_one.py").write_text(TESTS.replace(*change))
    with pytest.raises(BadProofs, match=problem):
        fill({"page": PAGE}, proofs(folder))


def test_a_row_has_one_place(folder: Path) -> None:
    """Two rows of one name are refused."""
    with pytest.raises(BadProofs, match="two rows named fault 1"):
        fill({"one": PAGE, "two": PAGE}, proofs(folder))
