"""`ledger verify`: exports, without a controller."""

import json
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.core.model import ledger_chain
from controller.core.model.ledger_line import LedgerLine
from controller.store.backup import inspect
from controller.store.database import Database
from controller.store.file_lock import FileLock
from controller.store.ledger_export import export
from tests.builders import change
from tests.store.test_ledger import trim


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


class TestImport:
    """`ledger import`."""

    @pytest.fixture
    def trimmed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A store whose first eight lines are in two exports, and no longer in it."""
        path = tmp_path / "trimmed.db"
        database = Database.open(path)
        revision = 0
        for _ in range(10):
            revision = database.apply(change(expects=revision), None, 1.0)
        for _ in range(2):
            trim(database, tmp_path / "trimmed", lines=4)
        database.close()
        monkeypatch.setenv("HALDANE_STORE", f"sqlite:{path}")
        return path

    def lines(self, path: Path) -> list[LedgerLine]:
        """What `haldane events` lists."""
        database = Database.open(path)
        try:
            return database.events("", 0, 100)
        finally:
            database.close()

    def test_what_was_exported_can_be_read_again(self, trimmed: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """In order, verified from line 1, by service, page by page; once. The state is the same."""
        before = inspect(trimmed)
        assert main(["ledger", "import", str(trimmed.with_suffix(""))]) == 0
        assert "imported 8 lines" in capsys.readouterr().out
        lines = self.lines(trimmed)
        assert [line.sequence for line in lines] == list(range(1, 13))
        assert ledger_chain.verify(lines).broken is None
        database = Database.open(trimmed)
        assert [line.sequence for line in database.events("scorer", 6, 3)] == [7, 8, 9]
        assert [line.sequence for line in database.events("other", 0, 3)] == []
        database.close()
        assert inspect(trimmed) == before
        assert main(["ledger", "import", str(trimmed.with_suffix(""))]) == 0
        assert "has all of these lines already" in capsys.readouterr().out

    def test_the_next_trim_takes_them_away(self, trimmed: Path) -> None:
        """So that there is no gap."""
        assert main(["ledger", "import", str(trimmed.with_suffix(""))]) == 0
        database = Database.open(trimmed)
        trim(database, trimmed.with_suffix(""), lines=2)
        lines = database.events("", 0, 100)
        database.close()
        assert lines[0].sequence == 11
        assert ledger_chain.verify(lines).broken is None

    def test_what_does_not_lead_to_the_store_is_refused(
        self, trimmed: Path, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A gap, another ledger, a running controller."""
        first, second = sorted(trimmed.with_suffix("").iterdir())
        for file, last in ((first, 4), (sorted(folder.iterdir())[1], 8)):
            assert main(["ledger", "import", str(file)]) == 5
            assert f"line {last} of the exports does not lead to line 9 of the store" in capsys.readouterr().err
        assert [line.sequence for line in self.lines(trimmed)] == [9, 10, 11, 12]
        lock = FileLock.take(trimmed)
        assert main(["ledger", "import", str(second)]) == 5
        assert "in use by another controller" in capsys.readouterr().err
        lock.release()
