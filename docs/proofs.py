"""Fill the test column of tables whose rows are proved by tests.

A test names the rows that it proves: `@pytest.mark.proves("fault 15", "xds-rule 2")`. A page marks such a table with
`<!-- proofs: fault -->` and `<!-- end of proofs -->`. Its first column numbers or names the rows, and its last column
is written here. A row that no test can prove says `none` there, and why.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCS = Path(__file__).parent
TESTS = DOCS.parent / "tests"
PAGES = ("faults.md", "track-record.md", "xds-rules.md")

_TABLE = re.compile(r"(<!-- proofs: ([\w-]+) -->\n)(.*?)(?=<!-- end of proofs -->)", re.S)
_HEAD = 2
"""Lines of a table before its rows."""
Proofs = Mapping[str, list[str]]
"""Row, such as `fault 15` -> the tests that prove it, as pytest names them."""


class BadProofs(Exception):  # noqa: N818
    """A row without a test, or a test that proves a row which no page has."""


def proofs(tests: Path = TESTS) -> Proofs:
    """The tests of each row, in the order of their files. They are read, not imported, which takes under a second."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.proves(" in text:
            name = path.relative_to(tests.parent).as_posix()
            for test, row in _marked(ast.parse(text), name, soak=False):
                found[row].append(test)
    return found


def _marked(node: ast.AST, name: str, *, soak: bool) -> Iterator[tuple[str, str]]:
    """(test, row) for this module, class or function and everything in it."""
    marks = _marks(node)
    soak = soak or any(isinstance(mark, ast.Attribute) and mark.attr == "soak" for mark in marks)
    for mark in marks:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "proves":
            for row in mark.args:
                yield f"`{name}`" + (" (`-m soak`)" if soak else ""), str(ast.literal_eval(row))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _marked(child, f"{name}::{child.name}", soak=soak)


def _marks(node: ast.AST) -> list[ast.expr]:
    """The decorators of a class or function; what a module's `pytestmark` holds."""
    if isinstance(node, ast.Module):
        values = [
            statement.value
            for statement in node.body
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark"
        ]
        return [mark for value in values for mark in (value.elts if isinstance(value, ast.List) else [value])]
    return getattr(node, "decorator_list", [])


def filled(page: str, proved: Proofs) -> str:
    """The page with the test column of each table that is marked filled in. Raises BadProofs."""

    def table(match: re.Match[str]) -> str:
        lines = match[3].splitlines()
        written = [*lines[:_HEAD], *(_row(line, match[2], proved) for line in lines[_HEAD:])]
        return match[1] + "".join(f"{line}\n" for line in written)

    return _TABLE.sub(table, page)


def _row(line: str, kind: str, proved: Proofs) -> str:
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    row = row_name(kind, cells[0])
    tests = proved.get(row, [])
    if bool(tests) == cells[-1].startswith("none"):
        raise BadProofs(f"{row} says `none`, but {tests[0]} proves it" if tests else f"no test proves {row}")
    return f"| {' | '.join([*cells[:-1], ', '.join(tests) or cells[-1]])} |"


def row_name(kind: str, first: str) -> str:
    """How a test names the row with this first cell: `1, 2, 5` is row 1."""
    number = re.match(r"\d+", first)
    return f"{kind} {number[0] if number else first}"


def rows(page: str) -> list[str]:
    """The names of all rows of marked tables."""
    return [
        row_name(match[2], line.split("|")[1].strip())
        for match in _TABLE.finditer(page)
        for line in match[3].splitlines()[_HEAD:]
    ]


def fill(pages: Mapping[str, str], proved: Proofs) -> dict[str, str]:
    """The pages with their test columns written. Raises BadProofs, also for a proof of a row that no page has."""
    names = [row for text in pages.values() for row in rows(text)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadProofs(f"there are two rows named {min(twice)}")
    if unknown := set(proved) - set(names):
        raise BadProofs(f"{proved[min(unknown)][0]} proves {min(unknown)}, which is on no page")
    return {name: filled(text, proved) for name, text in pages.items()}
