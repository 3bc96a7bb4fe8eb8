"""`backup` and `restore` on the command line: the controller's machine, the controller's settings."""

import asyncio
import json
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.store.sqlite import SqliteStore
from tests.builders import change
from tests.fakes.clock import FakeClock
from tests.support.etcd import shared_cluster


async def make_store(path: Path) -> None:
    store = SqliteStore.open(path, clock=FakeClock())
    await store.command(change())
    await store.close()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one service, at the place that the settings name."""
    path = tmp_path / "state" / "haldane.db"
    path.parent.mkdir()
    asyncio.run(make_store(path))
    monkeypatch.setenv("HALDANE_STORE", f"sqlite:{path}")
    return path


def test_a_backup_is_described_and_restored(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words and in JSON; nothing is overwritten."""
    copy = tmp_path / "copy.db"
    assert main(["backup", str(copy)]) == 0
    assert "1 service, 0 freezes, revision 1, ledger up to line 1, verified" in capsys.readouterr().out
    assert main(["backup", str(copy), "--output", "json"]) == 1
    assert "exists already" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert main(["restore", str(copy), "--reason", "the disk broke", "--output", "json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["revision"], done["backup"]["sequence"]) == (2, 1)
    assert Path(done["former"]).parent == store.parent
    assert main(["restore", str(copy), "--store", f"sqlite:{tmp_path / 'new.db'}"]) == 0
    assert "haldane unfreeze --all" in capsys.readouterr().out
    assert (tmp_path / "new.db").exists()


def test_under_a_running_controller_a_restore_is_not_possible(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 5, and the process that has the store."""
    assert main(["backup", str(tmp_path / "copy.db")]) == 0

    async def restore_meanwhile() -> int:
        running = SqliteStore.open(store, clock=FakeClock())
        code = await asyncio.to_thread(main, ["restore", str(tmp_path / "copy.db")])
        await running.close()
        return int(code)

    assert asyncio.run(restore_meanwhile()) == 5
    assert "in use by another controller" in capsys.readouterr().err


def test_restoring_a_service_is_said_to_be_another_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`restore SERVICE` was what `undivert SERVICE` is."""
    assert main(["restore", "fraud-scorer"]) == 4
    assert "haldane undivert fraud-scorer" in capsys.readouterr().err


def test_a_mistake_in_the_settings_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As for `serve`."""
    assert main(["backup", str(tmp_path / "copy.db"), "--store", "postgres:x"]) == 2
    assert "--store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["restore"], 2, "PATH is missing"),
        (["restore", "copy.db", "--store", "etcd:127.0.0.1:1"], 2, "without PATH"),
        (["backup", "copy.db", "--store", "etcd:127.0.0.1:1"], 5, "etcdctl snapshot save"),
    ],
)
def test_a_file_is_for_a_store_in_a_file(
    store: Path, given: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a store in etcd has means of its own."""
    assert main(given) == code
    assert said in capsys.readouterr().err


@pytest.mark.requires("etcd")
def test_an_etcd_without_a_store_is_not_taken(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below that prefix there is none."""
    there = f"etcd:{shared_cluster().endpoints[0]}?prefix=/nothing-is-here"
    assert main(["restore", "--store", there]) == 5
    assert "no store below /nothing-is-here" in capsys.readouterr().err
