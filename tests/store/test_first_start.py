"""An empty store is made only where none ever was, or where the operator asks for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.core.model.store_errors import Unusable
from controller.store.sqlite import SqliteStore
from tests.builders import change
from tests.fakes.clock import FakeClock


async def stored(path: Path) -> None:
    """A store with something in it, closed."""
    store = SqliteStore.open(path, clock=FakeClock())
    await store.command(change())
    await store.close()


async def test_a_first_start_makes_a_store_in_a_folder_that_is_there_and_says_so(tmp_path: Path) -> None:
    """Also beside other files, and without any option; the next start only opens it."""
    path = tmp_path / "haldane.db"
    (tmp_path / "other.db").write_text("another's")
    for created in ([{"path": str(path), "event": "store_created", "log_level": "info"}], []):
        with capture_logs() as logs:
            store = SqliteStore.open(path, clock=FakeClock())
        assert [line for line in logs if line["event"] == "store_created"] == created
        await store.close()


def below(folder: Path) -> list[Path]:
    """Everything in that folder."""
    return sorted(folder.rglob("*"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


def deleted_with_its_lock(path: Path) -> None:
    path.unlink()
    path.with_name(path.name + ".lock").unlink()
    path.with_name(path.name + "-ledger").mkdir()


def unmounted(path: Path) -> None:
    path.parent.rename(path.parent.with_name("unmounted"))


GONE = {
    emptied: "haldane.db is empty, which no store is: .*--init",
    deleted: r"haldane.db is gone, but a store was there \(haldane.db.lock beside it\): .*--init",
    deleted_with_its_lock: r"haldane.db is gone, but a store was there \(haldane.db-ledger beside it\): .*--init",
    unmounted: "haldane.db is in a folder that does not exist: is its volume mounted",
}


@pytest.mark.proves("fault 45", "track-record 80")
@pytest.mark.parametrize(("lose", "told"), GONE.items(), ids=[lose.__name__ for lose in GONE])
async def test_a_store_that_is_gone_is_not_silently_replaced_by_an_empty_one(
    tmp_path: Path, lose: Callable[[Path], None], told: str
) -> None:
    """Refused as often as it is tried, and nothing is made; with `init` there is an empty store."""
    path = tmp_path / "state" / "haldane.db"
    path.parent.mkdir()
    await stored(path)
    lose(path)
    before = below(tmp_path)
    for _ in range(2):
        with pytest.raises(Unusable, match=told):
            SqliteStore.open(path, clock=FakeClock())
    assert below(tmp_path) == before
    store = SqliteStore.open(path, clock=FakeClock(), init=True)
    assert (await store.load()).revision == 0
    await store.close()


async def test_a_store_that_is_there_stays_also_with_init(tmp_path: Path) -> None:
    """Whoever has `--init` in a unit file loses nothing."""
    path = tmp_path / "haldane.db"
    await stored(path)
    store = SqliteStore.open(path, clock=FakeClock(), init=True)
    assert (await store.load()).revision == 1
    await store.close()


async def test_a_first_start_that_failed_leaves_nothing_that_is_in_the_way_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock file and no empty file, which would look like a store that is gone."""

    def fail(_path: Path, **_: object) -> None:
        raise Unusable("is in a place where SQLite's write-ahead log does not work")

    with monkeypatch.context() as failing:
        failing.setattr("controller.store.database.connect", fail)
        with pytest.raises(Unusable):
            SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock())
    assert below(tmp_path) == []
    await stored(tmp_path / "haldane.db")
