"""Applies changes: each to the very state that it was checked against, or not at all."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.service_state import SCHEMA
from controller.core.model.store_errors import Conflict, StoreError, StoreLost, TooLarge
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.clock import Clock
from controller.process.backoff import backoff
from controller.process.fault_points import reach
from controller.store.etcd.client import EtcdClient, Lost
from controller.store.etcd.follower import Follower
from controller.store.etcd.keys import Keys
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.etcd.transaction import Prepared, Standing, barrier, prepare, questions, standing
from controller.store.etcd.turns import Turns

FEW = 5
"""Changes that are made ready at once."""


class Commits:
    """The changes of this replica, one transaction after the other, the urgent ones first.

    A change is checked against the state as this replica knows it; its transaction compares when the head was written.
    If another change came first, it is checked again against that.
    """

    def __init__(self, client: EtcdClient, keys: Keys, follower: Follower, clock: Clock) -> None:
        self._client = client
        self._keys = keys
        self._follower = follower
        self._clock = clock
        self._turns = Turns()
        self._under_way: dict[str, asyncio.Task[list[int]]] = {}
        """By change id."""

    async def apply(self, changes: Sequence[Change], token: int | None) -> list[int]:
        """Apply them in this order, all or none, and return the revision of each. Raises what `ports.Store` says.

        What has begun is brought to its end also if the caller goes.
        """
        urgent = any(change.freeze or change.act.is_urgent for change in changes)

        async def commit() -> list[int]:
            async with self._turns.turn(urgent=urgent):
                return await self._commit(changes, token)

        task = asyncio.ensure_future(commit())
        for change in changes:
            self._under_way[change.id] = task
        task.add_done_callback(partial(self._forget, changes))
        return await asyncio.shield(task)

    async def mark_schema(self) -> None:
        """Write into the head that from now on records may have this version's schema, unless it says so already.

        `Conflict` if another change came first. `Lost`: perhaps it was written.
        """
        state = replace(self._follower.state, schema=SCHEMA)
        if state.schema == self._follower.state.schema:
            return
        response = await self._client.txn(barrier(self._keys, state, ()))
        if not response.succeeded:
            await self._follower.catch_up()
            raise Conflict("another change came first")
        self._follower.take(state.written(response.header.revision))

    async def settled(self, change_id: str) -> None:
        """Wait for a change of a caller that has gone. Raises nothing."""
        if task := self._under_way.get(change_id):
            await asyncio.wait([task])

    async def close(self) -> None:
        """End what is under way; it was perhaps applied."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _commit(self, changes: Sequence[Change], token: int | None) -> list[int]:
        """Apply them to the newest state, again and again while others come first."""
        known: Mapping[str, Applied] = {}
        asked = False
        deadline = time.monotonic() + self._client.patience
        while True:
            before = self._follower.state
            try:
                prepared = await self._prepare(before, changes, token, known)
            except TooLarge:
                raise
            except StoreError:
                if asked:
                    raise
                # What is known here may be old: a refusal is given only against what the quorum has.
                asked, answer = True, await self._ask(changes)
            else:
                if prepared.request is None:
                    return prepared.revisions
                reach("commit:before", changes[0].entry.kind)
                done = await self._send(prepared.request, before, changes, deadline)
                if isinstance(done, int):
                    self._follower.take(prepared.after.written(done))
                    reach("commit:after", changes[-1].entry.kind)
                    return prepared.revisions
                answer = done
            known = answer.applied
            if token is not None and len(known) < len(changes):
                commit_rules.check_token(token, answer.epoch)
            await self._take_up(answer, before, deadline)

    async def _prepare(
        self, before: ReplicatedState, changes: Sequence[Change], token: int | None, known: Mapping[str, Applied]
    ) -> Prepared:
        """Many at once in a thread: to encode 50 services takes 50 ms, in which nothing else would be served."""
        work = partial(prepare, self._keys, before, changes, self._clock.wall(), token=token, applied=known)
        return await asyncio.to_thread(work) if len(changes) > FEW else work()

    async def _take_up(self, answer: Standing, before: ReplicatedState, deadline: float) -> None:
        """Go on from what stands. `Diverged` if that does not follow from what is served; `Conflict` after the
        deadline."""
        stood = before.view.store_id, before.head_mod, before.head_value
        if (answer.store_id, answer.head_mod, answer.head_value) != stood:
            await (self._follower.wait_for(answer.head_mod) if answer.follows(before) else self._follower.check())
        if time.monotonic() > deadline:
            raise Conflict("too many other changes came first: try again")

    async def _ask(self, changes: Sequence[Change]) -> Standing:
        """What stands now, as the quorum has it. `Lost` without an answer."""
        return standing(await self._client.txn(questions(self._keys, changes)), changes)

    async def _send(
        self, request: pb.TxnRequest, before: ReplicatedState, changes: Sequence[Change], deadline: float
    ) -> int | Standing:
        """Do the transaction: etcd's revision of it, or what stands where it was not applied.

        If its answer is lost, a write of the head settles whether it was. `StoreLost` if nothing can.
        """
        try:
            response = await self._client.txn(request)
        except Lost as lost:
            return await self._settle(lost, before, changes, deadline)
        if response.succeeded:
            return int(response.header.revision)
        return standing(response, changes)

    async def _settle(
        self, lost: Lost, before: ReplicatedState, changes: Sequence[Change], deadline: float
    ) -> Standing:
        """Find out what became of a transaction, once it can no longer be applied. `StoreLost` after the deadline."""
        for pause in backoff(0.05, 0.5):
            try:
                response = await self._client.txn(barrier(self._keys, before, changes))
                if response.succeeded:
                    self._follower.take(before.written(response.header.revision))
                    return await self._ask(changes)
                return standing(response, changes)
            except StoreLost as again:  # that the barrier is refused says nothing of what went before it
                if time.monotonic() > deadline:
                    if isinstance(again, Lost):
                        raise self._client.outage from lost
                    raise StoreLost(f"{lost}; then: {again}") from lost
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _forget(self, changes: Sequence[Change], task: asyncio.Task[list[int]]) -> None:
        for change in changes:
            self._under_way.pop(change.id, None)
        if not task.cancelled():
            task.exception()  # it was raised to the caller, unless that has gone
