"""What the tests run as a process of its own, to kill it, to starve it, or to take its rights away.

python -m tests.store.child open PATH           open the store, say so, hold it until standard input ends
python -m tests.store.child write PATH SEED     change it forever; one line for each acknowledged change
"""

import asyncio
import faulthandler
import json
import os
import random
import resource
import sys
from dataclasses import replace
from pathlib import Path

import structlog

from controller.core.model.change import Change
from controller.core.model.freeze import Freeze
from controller.core.model.store_errors import StoreError, Unusable
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.store.sqlite import SqliteStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock

NOBODY = 65534


def say(**facts: object) -> None:
    """One JSON line to whoever started us, at once."""
    print(json.dumps(facts), flush=True)


def give_up_rights() -> None:
    """Root may write everywhere: go on as the user nobody, so that a folder's mode means something."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


async def hold(path: Path) -> None:
    """Open and hold."""
    give_up_rights()
    try:
        store = SqliteStore.open(path, clock=FakeClock())
    except Unusable as unusable:
        say(unusable=str(unusable))
        return
    say(opened=os.getpid())
    await asyncio.to_thread(sys.stdin.read)
    await store.close()


async def write_for_ever(path: Path, seed: int) -> None:
    """Several writers at once on several services, freezes, sessions, and a ledger so short that it is trimmed."""
    store = SqliteStore.open(path, clock=FakeClock(), keep=60)
    choose = random.Random(seed)
    say(opened=os.getpid())
    await asyncio.gather(*(_write(store, name, random.Random(choose.random())) for name in ("a", "b", "c")))


async def _write(store: SqliteStore, name: str, choose: random.Random) -> None:
    for n in range(1_000_000):
        view = await store.load()
        sent = replace(_next(view, name, n, choose), id=f"{os.getpid()}-{name}-{n}")
        try:
            revision = await store.command(sent)
        except StoreError as error:
            say(refused=type(error).__name__, reason=str(error))
            continue
        say(acknowledged=revision, id=sent.id)
        if n % 3 == 0:
            await store.save_sessions({name: SavedSession("r1", "x" * choose.randrange(20_000))})


async def starve(path: Path) -> None:
    """Change it; then under a limit on file sizes that leaves no room; then without it."""
    store = SqliteStore.open(path, clock=FakeClock())
    revision = await store.command(change())
    log = path.with_name(path.name + "-wal").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (log + 1000, hard))
    refused, served = [], []
    for _ in range(3):
        try:
            await store.command(change("other", to=state("other", source="x" * log)))
        except StoreError as error:
            refused.append(type(error).__name__)
        served.append((await store.load()).revision)
    frozen = await store.command(freezing(freeze()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    afterwards = await store.command(change("other", to=state("other", source="x" * log)))
    await store.close()
    say(acknowledged=revision, refused=refused, served=served, frozen=frozen, afterwards=afterwards)


def _next(view: View, name: str, n: int, choose: random.Random) -> Change:
    held: list[Freeze] = [f for f in view.freezes if f.scope == name]
    if choose.random() < 0.2:
        return freezing(lift=tuple(held)) if held else freezing(freeze(name, since=float(n)))
    present = view.services.get(name)
    written = state(name, weight=choose.randrange(10_001), source="x" * choose.randrange(5000))
    return change(name, expects=present.revision if present else 0, to=written)


def main() -> None:
    """Run what the arguments say."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    match sys.argv[1:]:
        case ["open", path]:
            asyncio.run(hold(Path(path)))
        case ["starve", path]:
            asyncio.run(starve(Path(path)))
        case ["write", path, seed]:
            asyncio.run(write_for_ever(Path(path), int(seed)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    faulthandler.enable()
    main()
