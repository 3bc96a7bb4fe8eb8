"""`haldane migrate` on the command line."""

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.store.sqlite import SqliteStore
from tests.builders import change
from tests.fakes.clock import FakeClock
from tests.support.etcd import shared_cluster

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A store with one service."""

    async def make() -> None:
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock())
        await store.command(change())
        await store.close()

    asyncio.run(make())
    return f"sqlite:{tmp_path / 'haldane.db'}"


@pytest.mark.requires("etcd")
def test_a_store_is_moved_and_both_are_described(file: str, tmp_path: Path, capsys: Captured) -> None:
    """In words: what was moved, its hash and digest, and how to go on; in JSON the same."""
    there = f"etcd:{','.join(shared_cluster().endpoints)}?prefix=/{uuid.uuid4()}"
    assert main(["migrate", "--from", file, "--to", there, "--reason", "a second machine"]) == 0
    said = capsys.readouterr().out
    assert "moved 1 service, revision 2, ledger up to line 2, all frozen" in said
    assert f"start the controllers with HALDANE_STORE={there}" in said
    back = f"sqlite:{tmp_path / 'back.db'}"
    assert main(["migrate", "--from", there, "--to", back, "--output", "json"]) == 0
    moved = json.loads(capsys.readouterr().out)
    assert (moved["to"], moved["revision"], moved["services"], moved["sequence"]) == (back, 3, 1, 3)
    assert (tmp_path / "back.db").exists()
    assert main(["migrate", "--from", file, "--to", there]) == 5
    assert "only an empty prefix can be the target" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "postgres:x", "--to", "sqlite:y"), "--from"),
        (("--from", "sqlite:x", "--to", "etcd:here"), "--to"),
        (("--from", "sqlite:x", "--to", "sqlite:x"), "the same store"),
        (("--from", "sqlite:x"), "--to"),
    ],
)
def test_a_wrong_place_is_wrong_usage(options: tuple[str, ...], said: str, capsys: Captured) -> None:
    """The option is named."""
    assert main(["migrate", *options]) == 2
    assert said in capsys.readouterr().err


def test_what_is_not_there_is_not_moved(tmp_path: Path, capsys: Captured) -> None:
    """And no file is made."""
    missing, new = tmp_path / "none.db", tmp_path / "new.db"
    assert main(["migrate", "--from", f"sqlite:{missing}", "--to", f"sqlite:{new}"]) == 5
    assert "there is nothing to migrate" in capsys.readouterr().err
    assert not missing.exists()
    assert not new.exists()
