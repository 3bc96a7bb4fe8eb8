"""The backends that keep the store's contract. A new one is added here, and nothing else changes."""

import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from _pytest.mark.structures import ParameterSet

from controller.ports.archive import Archive
from controller.ports.clock import Clock
from controller.ports.cursors import Cursors
from controller.ports.store import Store
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.memory import MemoryStore
from controller.store.sqlite import SqliteStore
from tests.fakes.clock import FakeClock
from tests.support.etcd import shared_cluster


class ClosableStore(Store, Archive, Cursors, Protocol):
    """What a backend gives: a store that also keeps sessions and cursors, and can be closed."""

    async def close(self) -> None: ...


Open = Callable[[], Awaitable[ClosableStore]]


def memory_backend(folder: Path, clock: Clock) -> Open:
    async def open_store() -> ClosableStore:
        return MemoryStore(clock=clock)

    return open_store


def sqlite_backend(folder: Path, clock: Clock) -> Open:
    async def open_store() -> ClosableStore:
        return SqliteStore.open(folder / "haldane.db", clock=clock)

    return open_store


def etcd_backend(folder: Path, clock: Clock) -> Open:
    """A store of its own in the one etcd that the tests of a process share."""
    cluster, prefix = shared_cluster(), f"/{uuid.uuid4()}"

    async def open_store() -> ClosableStore:
        client = EtcdClient(cluster.endpoints)
        return await EtcdStore.open(client, prefix, clock=clock, folder=folder)

    return open_store


BACKENDS: dict[str, Callable[[Path, Clock], Open]] = {
    "memory": memory_backend,
    "sqlite": sqlite_backend,
    "etcd": etcd_backend,
}
DURABLE = {"sqlite": sqlite_backend, "etcd": etcd_backend}
"""Those that can be closed and opened again with everything in them."""
NEEDS = {"etcd": [pytest.mark.requires("etcd")]}


def _parameters(backends: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(name, marks=NEEDS.get(name, [])) for name in backends]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=_parameters(BACKENDS))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[ClosableStore]:
    """An empty store, of each backend in turn."""
    opened = await BACKENDS[request.param](tmp_path, clock)()
    yield opened
    await opened.close()


@pytest.fixture(params=_parameters(DURABLE))
def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Open:
    """Opens the same store as last time, of each durable backend in turn; the test closes it."""
    return DURABLE[request.param](tmp_path, clock)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
