"""What is kept of a rollout: its recording, for a while; the evidence at each decision, for good."""

import asyncio
import zlib
from typing import Any

import pytest

from controller.admin.explanations import Explanations
from controller.admin.service_reader import ServiceReader
from controller.core.control.commands import Verb
from controller.core.history.backtest import run_backtest
from controller.core.history.recording import Recording
from controller.core.model.rollout import Phase
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.runtime.recorder import SAVE_AT_LATEST, SAVE_EVERY, Recorder
from controller.store.memory import MemoryStore
from tests.explain.rollouts import measured, recorded, turn_bad
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import LoopHarness, running_loop, running_rollout, tick_until


async def test_each_decision_takes_its_evidence_into_the_ledger(store: MemoryStore, clock: FakeClock) -> None:
    """Every channel and metric as it stood, and the limit: a rollback is explicable when its recording is gone."""
    async with measured(store, clock) as harness:
        for look in range(60):
            await turn_bad(harness, look)
    lines = [line for line in await store.events() if line.entry.who == "haldane"]
    assert [line.entry.kind for line in lines] == ["rollout_warm", "step_advanced", "rollback", "rolled_back"]
    told: list[Any] = [line.entry.details["evidence"] for line in lines]
    assert [found["total"] >= found["limit"] for found in told] == [False, False, True, True]
    assert {"5xx", "latency_p99", "accuracy"} < told[2]["harm"].keys()
    assert told[2]["harm"]["5xx"] > 100
    assert (told[1]["no_harm"]["accuracy"] >= 20, told[1]["worse"]) == (True, {"queue": 0})


async def test_a_crash_costs_what_was_not_saved_of_the_record(store: MemoryStore, clock: FakeClock) -> None:
    """The record goes on after a restart where the judge goes on; nothing is in it twice."""
    async with running_rollout(store, clock) as harness:
        await tick_until(harness, Phase.PROGRESSING)
        await harness.ticks(4)
        await harness.recorder.save()
        await harness.decider.save()
        await harness.ticks(8)  # these are lost
        saved = Recording.load(
            zlib.decompress(await store.load_recording((await harness.rollout()).id) or b"").decode()
        )
    async with running_loop(store, clock) as harness:
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.2)
        recording = await recorded(harness)
        records = list(recording.windows.records())
        times = [record.since for record in records]
        assert times == sorted(times)
        assert records[: len(saved.windows.lines()) - 1] == list(saved.windows.records())[:-1]
        found = run_backtest((await harness.rollout()).policy, "v1", "v2", records)
        assert found.rollback


async def test_the_record_of_a_rollout_that_is_over_is_kept_apart(harness: LoopHarness) -> None:
    """Each rollout has its own, also when the next one of the service runs; memory holds the running ones alone."""
    await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.5)
    first = await recorded(harness)
    await harness.recorder.save()
    await harness.tick()
    await harness.act(Verb.START, canary="v2")
    await tick_until(harness, Phase.PROMOTED)
    second = await recorded(harness)
    again = await harness.recorder.find(first.rollout_id)
    assert again is not None
    assert again is not first
    assert again.dump() == first.dump()
    assert (again.trace.points[-1].total >= 100, second.trace.points[-1].total < 100) == (True, True)


async def test_a_rollout_whose_record_is_gone_is_explained_by_its_ledger(store: MemoryStore, clock: FakeClock) -> None:
    """The evidence at each decision, custom metrics and the limit too; and that the rest is missing is said."""
    async with measured(store, clock) as harness:
        for look in range(60):
            await turn_bad(harness, look)
        looks, empty = ServiceReader(harness.operations, harness.replica, harness.fleet), MemoryStore(clock=clock)
        history = Explanations(harness.operations, looks, Recorder(empty, clock))
        told = await history.explain(admin.ExplainRolloutRequest(service="scorer"), "alice")
    assert "no longer kept" in told.missing
    assert (told.decided, told.limit, len(told.history)) == ("5xx", 100.0, 4)
    assert [point.weight for point in told.history] == [2000, 2000, 5000, 0]
    assert told.history[2].total >= told.limit
    assert told.history[2].harm["5xx"] > told.history[1].harm["5xx"]
    assert "queue" in told.history[2].worse


class SlowArchive(MemoryStore):
    """Takes the first recording only when the test lets it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.saving, self.free = asyncio.Event(), asyncio.Event()

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        if not self.saving.is_set():
            self.saving.set()
            await self.free.wait()
        await super().save_recording(rollout_id, recording)


async def test_a_slow_save_does_not_undo_a_newer_one(clock: FakeClock) -> None:
    """The archive has the newest record whatever was under way, so a rollout that is over leaves the memory."""
    store = SlowArchive(clock)
    async with running_rollout(store, clock) as harness:
        await harness.ticks(2)
        older = asyncio.create_task(harness.recorder.save())
        await store.saving.wait()
        await harness.ticks(2)
        newer = asyncio.create_task(harness.recorder.save())
        await asyncio.wait({newer}, timeout=0.3)  # if it does not wait for the older one, it ends now
        store.free.set()
        await asyncio.gather(older, newer)
        recording = await recorded(harness)
        saved = await store.load_recording(recording.rollout_id)
        assert saved
        assert zlib.decompress(saved).decode() == recording.dump()
        harness.recorder.release("scorer")
        assert await recorded(harness) is not recording


async def test_a_rollout_whose_record_is_being_saved_is_still_explained(clock: FakeClock) -> None:
    """The rollout is over and its record not yet in the archive: it stays in memory until it is."""
    store = SlowArchive(clock)
    async with running_rollout(store, clock) as harness:
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.5)
        await store.saving.wait()
        await harness.ticks(2)
        assert await store.load_recording((await harness.rollout()).id) is None
        assert (await recorded(harness)).windows.records()
        store.free.set()


async def test_what_changes_is_saved_within_five_seconds_as_far_as_that_is_cheap(
    store: MemoryStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And within half a minute where it is not; what was decided is saved at once."""
    async with running_rollout(store, clock) as harness:
        await tick_until(harness, Phase.PROGRESSING)
        recorder, rollout = harness.recorder, await harness.rollout()

        async def saved() -> int:
            """How many windows the store has."""
            packed = await store.load_recording(rollout.id)
            return len(Recording.load(zlib.decompress(packed).decode()).windows.lines()) if packed else 0

        async def waited(seconds: float) -> bool:
            """Whether it is saved once after that time."""
            before = await saved()
            clock.advance(seconds)
            await harness.ticks(1)
            await recorder.save_due()
            return await saved() > before

        await recorder.save_due()
        first = await saved()
        assert first > 0
        assert not await waited(SAVE_EVERY / 2)
        assert await waited(SAVE_EVERY / 2)
        monkeypatch.setattr("controller.runtime.recorder.RATE", 0.0)
        assert not await waited(SAVE_EVERY)
        assert not await waited(SAVE_AT_LATEST / 2)
        assert await waited(SAVE_AT_LATEST / 2)
