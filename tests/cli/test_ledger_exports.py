"""`ledger verify`: exports, without a controller."""

import json
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.store.database import Database
from controller.store.ledger_export import export
from tests.builders import change


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three exports of four lines."""
    database = Database.open(tmp_path / "haldane.db")
    revision = 0
    for _ in range(12):
        revision = database.apply(change(expects=revision), None, 1.0)
    rows = database.rows()
    database.close()
    for first in (0, 4, 8):
        export(rows[first : first + 4], tmp_path / "exports")
    return tmp_path / "exports"


def run(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, dict[str, object]]:
    """The exit code and the JSON document."""
    code = main(["ledger", "verify", *map(str, paths), "--output", "json"])
    return int(code), json.loads(capsys.readouterr().out)


def test_whole_exports(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a folder, as files in any order, and a part of them; other files in the folder do not matter."""
    (folder / "notes.txt").write_text("mine")
    code, told = run(capsys, folder)
    assert (code, told["valid"], told["lines"], told["first"], told["last"]) == (0, True, 12, 1, 12)
    first, second, third = sorted(folder.glob("*.jsonl"))
    assert run(capsys, third, first, second) == (code, told)
    code, told = run(capsys, third, second)
    assert (code, told["first"], told["last"]) == (0, 5, 12)
    assert main(["ledger", "verify", str(folder)]) == 0
    assert "the exports are whole: 12 lines in 3 files, 1 to 12, last hash" in capsys.readouterr().out


def test_a_file_that_is_missing_is_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Between two others."""
    sorted(folder.glob("*.jsonl"))[1].unlink()
    code, told = run(capsys, folder)
    assert (code, told["broken"]) == (1, 9)


@pytest.mark.parametrize(
    ("before", "after", "line"), [('"kind":"', '"kind":"x', 5), ('"stable":"v1"', '"stable":"v2"', 5)]
)
def test_a_line_or_an_effect_that_was_changed_is_noticed(
    folder: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, line: int
) -> None:
    """With its number."""
    file = sorted(folder.glob("*.jsonl"))[1]
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    code, told = run(capsys, folder)
    assert (code, told["broken"], told["lines"]) == (1, line, 4)


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"line": {}, "effect": {}}'])
def test_what_is_no_line_is_named(folder: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """By file and line."""
    file = sorted(folder.glob("*.jsonl"))[1]
    file.write_text(file.read_text() + content + "\n")
    code, told = run(capsys, folder)
    assert code == 1
    assert f"{file}: line 5 is no line of an export" in json.dumps(told)


def test_without_exports(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said to be whole."""
    assert run(capsys, tmp_path)[0] == 4
    assert run(capsys, tmp_path / "haldane.db")[0] == 2
