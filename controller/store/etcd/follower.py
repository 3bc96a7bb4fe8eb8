"""Follows the store: the newest state, as this replica has seen it, and how it stays the quorum's."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from controller.core.model.store_errors import StoreLost
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.store_health import StoreHealth
from controller.process.backoff import backoff
from controller.store.etcd import continuity
from controller.store.etcd.client import Compacted, EtcdClient
from controller.store.etcd.continuity import Diverged, Held
from controller.store.etcd.keys import Damaged, Keys
from controller.store.etcd.last_known import LastKnown
from controller.store.etcd.replicated_state import NewerSchema, ReplicatedState, apply_events, load_state
from controller.store.view_broadcast import ViewBroadcast

COMPARE_EVERY = 5.0
"""Seconds between two questions to the quorum whether the watch still brings everything."""
COPY_EVERY = 1.0
"""Seconds between two copies of the state on this machine's disk."""
WATCH_WITHIN = 0.5
"""Seconds in which the watch brings what etcd has; otherwise everything is read again."""

log = structlog.get_logger()


class Follower:
    """The newest state that was seen. It never goes back: what is older than it is dropped."""

    def __init__(self, client: EtcdClient, keys: Keys, state: ReplicatedState, copy: Path, health: StoreHealth) -> None:
        """`copy` is where the state is kept on this machine's disk."""
        self.state = state
        self.views = ViewBroadcast(state.view)
        self._client = client
        self._keys = keys
        self._copy = LastKnown(copy)
        self._health = health
        self._complete_at = 0
        """etcd's revision at which everything was read last. The head may be older, and what came in between no longer
        be kept."""
        self._moved = asyncio.Event()
        self._reading = asyncio.Lock()
        self.contradicted = False
        """Whether what etcd holds does not follow from the state, as it was compared last."""
        self.outdated = asyncio.Event()
        """Set once records are stored that this version cannot read: the state is the last that it could."""
        self.newer_schema = 0
        """The schema of these records."""

    async def run(self) -> None:
        """Follow, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in (self._watch(), self._compare(), self._keep_copy()):
                tasks.create_task(each)

    def take(self, state: ReplicatedState) -> None:
        """Go on from that state, unless a newer one is here already."""
        if state.head_mod <= self.state.head_mod or state.end.sequence < self.state.end.sequence:
            return
        self.state = state
        self.views.publish(state.view)
        self._moved.set()
        self._moved = asyncio.Event()

    async def check(self) -> Held:
        """What the quorum has. `Diverged` if it does not follow from the state, `Damaged` if it cannot be read; `Lost`
        without an answer."""
        try:
            held = await continuity.check(self._client, self._keys, self.state)
        except (Damaged, Diverged):
            self.contradicted = True
            raise
        self.contradicted = False
        return held

    async def catch_up(self) -> None:
        """Wait until the state is what the quorum has. `Diverged` if that does not follow from it; `Lost`."""
        held = await self.check()
        await self.wait_for(held.head_mod)

    async def wait_for(self, head_mod: int) -> None:
        """Wait for the head that was written at that revision of etcd. `Lost` without an answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WATCH_WITHIN):
                while self.state.head_mod < head_mod:
                    await self._moved.wait()
        if self.state.head_mod < head_mod:
            async with self._reading:  # of many who wait, one reads for all
                if self.state.head_mod < head_mod:
                    await self._read_again()

    async def _read_again(self) -> None:
        """Take everything as the quorum has it. `Diverged`, `NewerSchema`; `Lost` without an answer."""
        await self.check()
        try:
            found = await read_state(self._client, self._keys, self.state.view.store_id)
        except NewerSchema as newer:
            self._note_newer(newer)
            raise
        self._complete_at = max(self._complete_at, found.at)
        self.take(found.state)

    def _note_newer(self, newer: NewerSchema) -> None:
        self.newer_schema = newer.schema
        self.outdated.set()
        self._health.failed(newer, writing=False)

    async def _watch(self) -> None:
        """Take every change of others in."""
        pauses, lives = backoff(0.1, 2.0), True
        while True:
            try:
                # etcd may have been restored while there was no watch: then nothing of what comes fits.
                await self.check()
                watch = self._client.watch(self._keys.state, max(self.state.head_mod, self._complete_at) + 1)
                async with contextlib.aclosing(watch) as responses:
                    async for response in responses:
                        pauses, lives = backoff(0.1, 2.0), True
                        _report_strangers(response.events, self._keys)
                        news = [each for each in response.events if each.kv.mod_revision > self.state.head_mod]
                        if news:
                            self.take(apply_events(self.state, news, self._keys))
            except Compacted:
                with contextlib.suppress(StoreLost):
                    await self._read_again()
            except NewerSchema as newer:
                self._note_newer(newer)
            except StoreLost as lost:
                if isinstance(lost, Damaged):  # once that is mended, what came meanwhile is in no order
                    with contextlib.suppress(StoreLost):
                        await self._read_again()
                if lives:  # once for an outage; what it is now is in the health
                    log.info("watch_lost", reason=str(lost))
                lives = False
            except Exception:
                log.exception("watch_failed")
            await asyncio.sleep(next(pauses))

    async def _compare(self) -> None:
        """Ask the quorum now and then: neither what a watch left out nor another store may go unnoticed."""
        while True:
            await asyncio.sleep(COMPARE_EVERY)
            try:
                await self.catch_up()
                self._health.succeeded(writing=False)
            except StoreLost as lost:
                self._health.failed(lost, writing=False)
            except Exception:
                log.exception("compare_failed")

    async def _keep_copy(self) -> None:
        """Keep the newest state on this machine's disk."""
        kept = -1
        while True:
            moved, state = self._moved, self.state
            if state.view.revision == kept:
                await moved.wait()
                continue
            saving = asyncio.ensure_future(asyncio.to_thread(self._copy.save, state))
            try:
                try:
                    await asyncio.shield(saving)
                finally:
                    await asyncio.wait([saving])  # a closed store writes nothing
                kept = state.view.revision
            except OSError as error:
                log.warning("last_known_not_saved", reason=str(error))
            await asyncio.sleep(COPY_EVERY)


def _report_strangers(events: Sequence[pb.Event], keys: Keys) -> None:
    """Log what no controller wrote: each of their changes writes the head with it. It is not served while this one
    runs; one that starts later cannot tell."""
    head = keys.head.encode()
    whole = {each.kv.mod_revision for each in events if each.kv.key == head}
    if strange := [each.kv.key.decode(errors="replace") for each in events if each.kv.mod_revision not in whole]:
        log.error("written_by_others", keys=strange[:10], count=len(strange))


class Found(NamedTuple):
    """What was read, and the revision of etcd at which it was read."""

    state: ReplicatedState
    at: int


async def read_state(client: EtcdClient, keys: Keys, store_id: str) -> Found:
    """Everything, at one revision. `Lost` without an answer."""
    found = await client.everything(keys.state)
    return Found(await asyncio.to_thread(load_state, store_id, found.kvs, keys), found.at)
