"""kill -9 in the middle of writes: whatever was acknowledged is there, and what is there is whole."""

import random
from pathlib import Path
from typing import Any

import pytest

from controller.core.model.ledger_chain import verify
from controller.store.database import Database
from controller.store.ledger_export import read_export
from controller.store.ledger_replay import Checkpoint, LedgerRow, replay
from tests.store.processes import child


def played(path: Path, seed: int) -> list[dict[str, Any]]:
    """Let a child write, kill it somewhere: what it had acknowledged, in the order of the revisions."""
    choose = random.Random(seed)
    with child("write", str(path), str(seed)) as writer:
        assert "opened" in writer.next()
        said = [writer.next() for _ in range(choose.randrange(1, 80))] + writer.kill()
    assert not [line for line in said if line.get("refused") not in (None, "Frozen", "Conflict")]
    return sorted((line for line in said if "acknowledged" in line), key=lambda line: line["acknowledged"])


def check_nothing_lost(path: Path, acknowledged: list[dict[str, Any]]) -> None:
    """Every acknowledged change is stored or was overwritten by a later one; the ledger is whole and replays."""
    database = Database.open(path)
    view = database.view
    exports = sorted(path.with_name(path.name + "-ledger").glob("*.jsonl"))
    rows = _merged([row for file in exports for row in read_export(file.read_text().splitlines())], database.rows())
    revisions = {row.line.change_id: row.line.revision for row in rows}
    lost = [line for line in acknowledged if revisions.get(line["id"]) != line["acknowledged"]]
    assert lost == []
    assert [row.line.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert verify(row.line for row in rows).broken is None
    assert verify(database.events("", 0, -1)).broken is None
    assert replay(rows, Checkpoint.empty(view.store_id)).view == view
    assert replay(database.rows(), database.checkpoint()).view == view
    assert view.revision >= max((line["acknowledged"] for line in acknowledged), default=0)
    assert dict(view.broken) == {}
    database.close()


def _merged(exported: list[LedgerRow], stored: list[LedgerRow]) -> list[LedgerRow]:
    """The exports, then what the store has beyond them: a kill between export and trimming leaves some in both."""
    last = exported[-1].line.sequence if exported else 0
    both = {row.line.sequence: row for row in exported}
    assert all(both[row.line.sequence] == row for row in stored if row.line.sequence <= last)
    return exported + [row for row in stored if row.line.sequence > last]


def kill_many_times(path: Path, rounds: int) -> None:
    """So many lives of one store, each ended by kill -9."""
    acknowledged: list[dict[str, Any]] = []
    for seed in range(rounds):
        acknowledged += played(path, seed)
        check_nothing_lost(path, acknowledged)
    assert len(acknowledged) >= rounds


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """A few lives of a busy store: commits, freezes, sessions, trimming and exports, each life cut off anywhere."""
    kill_many_times(tmp_path / "haldane.db", 4)


@pytest.mark.proves("death 7")
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_in_hundreds_of_lives(tmp_path: Path) -> None:
    """The same, three hundred times; a new file every thirty, so that every age of a store is killed."""
    for n in range(10):
        kill_many_times(tmp_path / str(n) / "haldane.db", 30)
