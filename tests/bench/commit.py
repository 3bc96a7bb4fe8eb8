"""A commit of the store, beside the bare writes and syncs of the same disk, in turns."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from controller.process.clock import SystemClock
from controller.store.database import Database
from controller.store.sqlite import SqliteStore
from tests.bench import Row
from tests.bench.xds import change
from tests.xds.views import service

COMMITS = 300
PAGE = 4096
FRAMES = 7
"""Pages of the write-ahead log in a commit of this size, with their headers about 28 KB."""
ROOM = 8 * 1024 * 1024
CASE = f"{COMMITS} commits"


class BareFile:
    """A file whose blocks are there: a write and its sync change nothing else on the disk."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(self._descriptor, b"x" * ROOM)
        os.fsync(self._descriptor)
        self._at = 0

    def write(self, size: int) -> float:
        """Milliseconds of a write and its fdatasync."""
        data, begun = os.urandom(size), time.perf_counter()
        os.pwrite(self._descriptor, data, self._at)
        os.fdatasync(self._descriptor)
        self._at = (self._at + size) % (ROOM - PAGE * FRAMES)
        return (time.perf_counter() - begun) * 1000


async def in_turns(folder: Path) -> list[Row]:
    """Commits, each beside a write of one page and one of as many as a commit has."""
    store, bare = SqliteStore.open(folder / "haldane.db", clock=SystemClock()), BareFile(folder / "bare")
    revision = await store.command(change(to=service(), expects=0))
    pages, frames, commits = [], [], []
    for number in range(COMMITS):
        pages.append(bare.write(PAGE))
        frames.append(bare.write(PAGE * FRAMES))
        sent = change(to=service(canary=("v2", 100 + number)), expects=revision)
        begun = time.perf_counter()
        revision = await store.command(sent)
        commits.append((time.perf_counter() - begun) * 1000)
    await store.close()
    return [
        Row("commit, p50", CASE, statistics.median(commits), "ms"),
        Row("write and fdatasync of 4 KB, p50", CASE, statistics.median(pages), "ms"),
        Row("write and fdatasync of 28 KB, p50", CASE, statistics.median(frames), "ms"),
        Row("commit, of a write of 4 KB", CASE, ratio(commits, pages), "x"),
        Row("commit, of a write of 28 KB", CASE, ratio(commits, frames), "x"),
    ]


def ratio(ours: Sequence[float], bare: Sequence[float]) -> float:
    """The median over pairs that were taken one after the other."""
    return statistics.median(a / b for a, b in zip(ours, bare, strict=True))


def cpu(folder: Path) -> list[Row]:
    """The CPU time that a commit takes in the store's thread, the disk's sync left out."""
    database, revision = Database.open(folder / "cpu.db"), 0
    taken = []
    for number in range(COMMITS):
        sent = change(to=service(canary=("v2", 100 + number)), expects=revision)
        begun = time.thread_time()
        revision = database.apply(sent, None, 0.0)
        taken.append((time.thread_time() - begun) * 1000)
    database.close()
    return [Row("CPU of a commit in the store's thread, p50", CASE, statistics.median(taken), "ms")]


def run() -> list[Row]:
    """All of them."""
    with tempfile.TemporaryDirectory() as folder:
        return [*asyncio.run(in_turns(Path(folder))), *cpu(Path(folder))]
