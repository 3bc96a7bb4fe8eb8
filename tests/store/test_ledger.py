"""The ledger: its chain shows every tampering, its replay gives the stored state, trimming keeps both."""

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.model.freeze import Mode
from controller.core.model.ledger_chain import verify
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import ChainEnd, Entry, LedgerLine
from controller.store.database import Database
from controller.store.ledger_export import export, exports_in, read_export
from controller.store.ledger_replay import BrokenLedgerError, Checkpoint, LedgerRow, replay
from controller.store.ledger_retention import DAY, Exports, Retention
from controller.store.ledger_trimming import export_oldest, trim_change
from controller.store.records import Unreadable, canonical, digest
from controller.store.sqlite import SMALLEST_CHUNK, SqliteStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock


def chain_of(length: int) -> list[LedgerLine]:
    """A sound ledger of so many lines."""
    lines: list[LedgerLine] = []
    for n in range(length):
        entry = Entry(kind="test", services=("scorer",), who="ada", why=f"reason {n}", weights_after={"v1": 10_000})
        last = lines[-1].hash if lines else ""
        lines.append(
            LedgerLine.after(
                ChainEnd(n, last), revision=n + 1, at=n / 3, change_id=f"c{n}", entry=entry, effect=f"{n:064}"
            )
        )
    return lines


def trim(database: Database, folder: Path, *, lines: int) -> Path:
    """Trim at once what the store trims in several jobs."""
    past, path = export_oldest(database.rows(lines), database.checkpoint(), folder)
    database.trim(past, trim_change(past, path, who="haldane"), 5.0)
    return path


def altered(line: LedgerLine, **fields: object) -> LedgerLine:
    return line.model_copy(update=fields)


class TestChain:
    """`verify` finds the first line that does not fit."""

    @pytest.mark.parametrize("length", [0, 1, 2, 10])
    def test_a_sound_ledger_is_whole(self, length: int) -> None:
        """And the check tells its extent and its last hash."""
        lines = chain_of(length)
        chain = verify(lines)
        assert (chain.broken, chain.why, chain.lines, chain.last) == (None, "", length, length)
        assert chain.hash == (lines[-1].hash if lines else "")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("revision", 99),
            ("at", 0.25),
            ("change_id", "other"),
            ("effect", "0"),
            (
                "entry",
                Entry(kind="test", services=("scorer",), who="mallory", why="reason 4", weights_after={"v1": 10_000}),
            ),
        ],
    )
    def test_a_changed_field_is_found(self, field: str, value: object) -> None:
        """Any field of any line, first, last or between."""
        for n in (0, 4, 9):
            lines = chain_of(10)
            lines[n] = altered(lines[n], **{field: value})
            assert verify(lines).broken == n + 1

    def test_a_line_with_its_hash_made_anew_breaks_the_next(self) -> None:
        """Who changes a line and its hash must change every later line too."""
        lines = chain_of(10)
        forged = altered(lines[4], at=0.0)
        lines[4] = altered(forged, hash=forged.digest())
        assert verify(lines).broken == 6

    def test_a_last_line_with_another_number_is_found(self) -> None:
        """Though its hash is made again: no line can stand for some that never were."""
        lines = chain_of(10)
        renumbered = altered(lines[9], sequence=12)
        lines[9] = altered(renumbered, hash=renumbered.digest())
        assert verify(lines).broken == 12

    def test_lines_taken_away_added_or_swapped_are_found(self) -> None:
        """A gap, a doubled line, another order."""
        lines = chain_of(10)
        assert verify(lines[:3] + lines[4:]).broken == 5
        assert verify(lines[:4] + lines[3:]).broken == 4
        assert verify([*lines[:3], lines[4], lines[3], *lines[5:]]).broken == 5

    def test_a_missing_beginning_is_found_unless_a_trimming_took_it(self) -> None:
        """The line that a trimming leaves says through which sequence and hash; nothing else accounts for the gap."""
        lines = chain_of(10)
        assert verify(lines[4:]).broken == 5
        assert verify(lines[4:], whole=False).broken is None
        for details, broken in (
            ({"through": 4, "hash": lines[3].hash}, None),
            ({"through": 3, "hash": lines[2].hash}, 5),
            ({"through": 4, "hash": lines[2].hash}, 5),
        ):
            entry = Entry(kind=LedgerKind.LEDGER_TRIMMED, who="haldane", why="long", details=details)
            trimmed = LedgerLine.after(ChainEnd(10, lines[-1].hash), revision=11, at=1.0, change_id="t", entry=entry)
            assert verify([*lines[4:], trimmed]).broken == broken

    def test_a_first_line_that_names_a_line_before_it_is_wrong(self) -> None:
        """Line 1 follows nothing."""
        entry = Entry(kind="test", who="ada", why="so")
        line = LedgerLine(sequence=1, revision=1, at=0, change_id="c", entry=entry, previous="abc", hash="")
        assert verify([altered(line, hash=line.digest())]).broken == 1


acts = st.sampled_from(["write", "delete", "freeze", "hold", "lift"])
names = st.sampled_from(["a", "b", "c"])


def play(database: Database, act: str, name: str, weight: int) -> None:
    """Do one act, whatever is stored now; what is not possible is left out."""
    view = database.view
    present = view.services.get(name)
    expects = present.revision if present else 0
    freezes = {f.scope: f for f in view.freezes}
    match act:
        case "write":
            database.apply(change(name, expects=expects, to=state(name, weight=weight)), None, 1.0)
        case "delete" if present:
            database.apply(change(name, expects=expects, delete=True), None, 1.0)
        case "freeze" | "hold":
            mode = Mode.FREEZE if act == "freeze" else Mode.HOLD
            who = "ada" if weight % 2 else "grace"
            database.apply(freezing(freeze(name, mode=mode, since=float(view.revision), who=who)), None, 1.0)
        case "lift" if name in freezes:
            database.apply(freezing(lift=(freezes[name],)), None, 1.0)


@contextlib.contextmanager
def opened() -> Iterator[tuple[Database, Path]]:
    """A new file, and a folder for exports."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "haldane.db")
        try:
            yield database, Path(folder) / "out"
        finally:  # also of an example that Hypothesis abandons
            database.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(tmp_path / "haldane.db")
    yield made
    made.close()


class TestReplay:
    """Doing the ledger again, from nothing, gives what is stored."""

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(acts, names, st.integers(0, 10_000)), max_size=25), st.data())
    def test_replay_gives_the_stored_state(self, story: list[tuple[str, str, int]], data: st.DataObject) -> None:
        """Whatever happened, and however often the ledger was trimmed meanwhile, at whatever place."""
        with opened() as (database, folder):
            for act, name, weight in story:
                play(database, act, name, weight)
                length = database.ledger_length()
                if length and data.draw(st.integers(0, 5), label="trim?") == 0:
                    trim(database, folder, lines=data.draw(st.integers(1, length)))
            past = replay(database.rows(), database.checkpoint())
            assert past.view == database.view
            assert past.chain.last == database.view.revision
            assert verify(database.events("", 0, 1000)).broken is None

    def test_an_effect_that_was_changed_is_found(self, database: Database) -> None:
        """The chain covers the effects: a weight changed in one does not pass."""
        for weight in (1, 2, 3):
            play(database, "write", "a", weight)
        rows = database.rows()
        rows[1] = LedgerRow(rows[1].line, rows[1].effect.replace('"weight":2', '"weight":9999'))
        with pytest.raises(BrokenLedgerError, match="line 2: its effect"):
            replay(rows, database.checkpoint())

    def test_replay_begins_at_the_beginning(self, database: Database) -> None:
        """Without the trimmed part's outcome, a later part is not replayed as if it were all."""
        for weight in (1, 2, 3):
            play(database, "write", "a", weight)
        with pytest.raises(BrokenLedgerError, match="line 2: the lines before it are missing"):
            replay(database.rows()[1:], Checkpoint.empty("id"))

    def test_an_effect_of_a_newer_schema_stops_the_replay(self, database: Database) -> None:
        """It is not guessed at."""
        play(database, "write", "a", 1)
        (row,) = database.rows()
        effect = canonical({**json.loads(row.effect), "schema": 99})
        line = LedgerLine.after(
            ChainEnd(), revision=1, at=1.0, change_id="c", entry=row.line.entry, effect=digest(effect)
        )
        with pytest.raises(Unreadable, match="newer"):
            replay([LedgerRow(line, effect)], Checkpoint.empty("id"))


class TestExport:
    """An export holds everything that the ledger in the store holds."""

    def test_an_export_reads_back_verifies_and_replays(self, database: Database, tmp_path: Path) -> None:
        """The rows that come back are those that went out, and give the stored state."""
        for weight in range(5):
            play(database, "write", "a", weight)
        play(database, "freeze", "b", 0)
        path = export(database.rows(), tmp_path / "out")
        with path.open() as lines:
            rows = list(read_export(lines))
        assert rows == database.rows()
        assert verify(row.line for row in rows).broken is None
        assert replay(rows, Checkpoint.empty(database.view.store_id)).view == database.view
        assert path.name == f"0000000001-0000000006-{rows[-1].line.hash[:8]}.jsonl"
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_the_same_rows_give_the_same_file(self, database: Database, tmp_path: Path) -> None:
        """An export that was interrupted is done again without leaving two."""
        play(database, "write", "a", 1)
        once = export(database.rows(), tmp_path).read_bytes()
        assert export(database.rows(), tmp_path).read_bytes() == once


class TestTrimming:
    """Old lines leave the store for files; what is left is still verifiable, and nothing is lost on the way."""

    @pytest.mark.proves("fault 12")
    def test_trimmed_lines_are_in_the_export_and_the_rest_verifies(self, database: Database, tmp_path: Path) -> None:
        """The line that a trimming leaves says what was taken, by whom, and where it is."""
        for weight in range(10):
            play(database, "write", "a", weight)
        before = database.rows()
        path = trim(database, tmp_path / "out", lines=6)
        left = database.rows()
        with path.open() as lines:
            assert list(read_export(lines)) == before[:6]
        assert left[:4] == before[6:]
        said = left[-1].line
        assert (said.entry.kind, said.entry.who, said.at) == (LedgerKind.LEDGER_TRIMMED, "haldane", 5.0)
        assert said.entry.details == {"through": 6, "hash": before[5].line.hash, "file": path.name}
        assert verify(row.line for row in left).broken is None
        assert verify(row.line for row in left[1:]).broken is not None

    def test_the_exports_and_the_rest_are_the_whole_ledger(self, database: Database, tmp_path: Path) -> None:
        """Files in the order of their names, then the store: one chain from line 1."""
        for weight in range(12):
            play(database, "write", "a", weight)
            if weight % 4 == 3:
                trim(database, tmp_path / "out", lines=3)
        text = [line for path in sorted((tmp_path / "out").iterdir()) for line in path.read_text().splitlines()]
        rows = [*read_export(text), *database.rows()]
        assert verify(row.line for row in rows).broken is None
        assert replay(rows, Checkpoint.empty(database.view.store_id)).view == database.view

    def test_a_broken_ledger_is_not_trimmed(self, tmp_path: Path) -> None:
        """Evidence of tampering stays where it is: nothing is taken away, nothing exported."""
        database = Database.open(tmp_path / "haldane.db")
        for weight in range(5):
            play(database, "write", "a", weight)
        with contextlib.closing(sqlite3.connect(tmp_path / "haldane.db")) as tamperer, tamperer:
            tamperer.execute("UPDATE ledger SET effect = effect || ' ' WHERE sequence = 2")
        before = database.rows()
        with pytest.raises(BrokenLedgerError, match="line 2"):
            trim(database, tmp_path / "out", lines=3)
        assert database.rows() == before
        assert not (tmp_path / "out").exists()
        database.close()

    async def test_the_store_trims_by_itself_and_tells_its_watchers(self, tmp_path: Path) -> None:
        """A ledger beyond the bound is cut back while changes go on; what was trimmed lies beside the store."""
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock(), keep=40)
        revision = 0
        for n in range(100):
            revision = await store.command(change(expects=revision, to=state(weight=n)))
        trimmed = aiter(store.watch(revision))
        while len(lines := await store.events()) >= 40 + SMALLEST_CHUNK:
            await asyncio.wait_for(anext(trimmed), 30)
        assert len(lines) >= 40
        assert verify(lines).broken is None
        view = await asyncio.wait_for(anext(aiter(store.watch(revision - 1))), 5)
        assert view.revision == lines[-1].revision
        assert (await store.load()).services["scorer"].revision == revision
        exported = sorted((tmp_path / "haldane.db-ledger").iterdir())
        rows = [row for path in exported for row in read_export(path.read_text().splitlines())]
        assert [row.line.sequence for row in rows] == list(range(1, lines[0].sequence))
        await store.close()

    async def test_a_ledger_that_cannot_be_exported_is_kept(self, tmp_path: Path) -> None:
        """Where no file can be written, the ledger grows on and no one is refused."""
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock(), keep=10)
        (tmp_path / "haldane.db-ledger").write_text("in the way")
        revision = 0
        for n in range(40):
            revision = await store.command(change(expects=revision, to=state(weight=n)))
        assert len(await store.events()) == 40
        await store.close()


class TestRetention:
    """Exports are kept unless the settings say otherwise."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Five exports, made on five days before day 100, and files that are none."""
        for number in range(5):
            file = tmp_path / f"{number * 10 + 1:010d}-{number * 10 + 10:010d}-0123abcd.jsonl"
            file.write_text("{}")
            os.utime(file, (0, (95 + number) * DAY))
        (tmp_path / "notes.jsonl").write_text("keep")
        return tmp_path

    @pytest.mark.parametrize(
        ("retention", "kept"),
        [
            (Retention(), [1, 11, 21, 31, 41]),
            (Retention(files=2), [31, 41]),
            (Retention(files=9), [1, 11, 21, 31, 41]),
            (Retention(days=2.5), [31, 41]),
            (Retention(files=1, days=3.5), [41]),
            (Retention(days=0.5), []),
        ],
    )
    def test_the_oldest_go(self, folder: Path, retention: Retention, kept: list[int]) -> None:
        """And nothing that is no export."""
        Exports(folder, retention).delete_old(100 * DAY)
        assert [export.first for export in exports_in(folder)] == kept
        assert (folder / "notes.jsonl").exists()

    async def test_a_running_store_deletes_after_each_export(self, tmp_path: Path) -> None:
        """So that the folder does not grow without end."""
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock(), keep=40)
        store.keep_exports(Retention(files=1))
        revision = 0
        seen = set()
        while len(seen) < 3:
            revision = await store.command(change(expects=revision))
            exports = await asyncio.to_thread(exports_in, tmp_path / "haldane.db-ledger")
            seen |= {export.first for export in exports}
        await store.close()
        left = await asyncio.to_thread(exports_in, tmp_path / "haldane.db-ledger")
        assert len(left) <= 2  # one may have been written when the store was closed


def test_an_export_can_be_checked_with_what_the_documentation_says(database: Database, tmp_path: Path) -> None:
    """The few lines of docs/ledger.md need nothing of ours; they pass a sound export and name a changed line."""
    for weight in range(4):
        play(database, "write", "a", weight)
    page = Path(__file__).parents[2] / "docs" / "ledger.md"
    script = page.read_text().split("```python\n")[1].split("```")[0]
    text = export(database.rows(), tmp_path).read_text()

    def check(exported: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", script]
        return subprocess.run(command, input=exported, capture_output=True, text=True, check=False)

    assert check(text).returncode == 0
    assert "line 3 was changed" in check(text.replace('"sequence":3', '"sequence":3,"x":1')).stderr
    assert "effect 2 was changed" in check(text.replace('"weight":1}', '"weight":2}')).stderr
    lines = text.splitlines(keepends=True)
    assert "missing before line 3" in check("".join([lines[0], *lines[2:]])).stderr
