"""Parts die and come back in the middle of a rollout: nothing moves by accident, nothing is lost."""

import asyncio
import contextlib
import signal
import sqlite3
import time

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.load import by_version, steady
from tests.support.model import Behaviour
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import answers, wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 3s
  warmup: 1s
  bake: 1s
"""


async def in_sync(system: System) -> bool:
    """Whether every proxy is connected again and serves what was decided."""
    told = await system.rollout()
    return told.proxies_synced == told.proxies_total == 1


@pytest.mark.proves("fault 4")
@pytest.mark.soak
async def test_the_controllers_death_moves_no_traffic_and_the_rollout_goes_on(processes: Children) -> None:
    """kill -9 under load: no request fails, the share stays, and the judge goes on with what it knew."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 150) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        before = await system.reach("PROGRESSING")
        died = time.monotonic()
        system.controller.kill()
        await wait_until(lambda: load.results[-1].sent > died + 2.0)
        await system.controller.start()
        after = await system.rollout()
        assert (after.id, after.phase, after.step) == (before.id, before.phase, before.step)
        assert dict(after.weights) == dict(before.weights)
        back = time.monotonic()
        seen = by_version(a for a in load.results if died < a.sent < back)
        assert seen["v2"] / seen.total() == pytest.approx(0.2, abs=4 * (0.16 / seen.total()) ** 0.5)
        assert await wait_until(lambda: advanced(system), 60.0, every=0.1)
        assert [a for a in load.results if not a.ok] == []
        assert (await system.kinds()).count("step_advanced") == 1


@pytest.mark.soak
async def test_harm_during_the_controllers_absence_is_taken_back_after_it(processes: Children) -> None:
    """Envoy counts on while no one listens; its first report holds the evidence."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await system.reach("PROGRESSING")
        system.controller.kill()
        system.models["v2"].behaviour = Behaviour(errors=0.5)
        died = time.monotonic()
        await wait_until(lambda: load.results[-1].sent > died + 1.0)
        await system.controller.start()
        await system.reach("ROLLED_BACK")  # Envoy opens its report stream again within five seconds


@pytest.mark.proves("fault 24")
async def test_a_restarted_envoy_serves_what_was_decided_and_the_rollout_goes_on(processes: Children) -> None:
    """kill -9 of the proxy: the new one gets the weights of the running step, and its counts begin at zero."""
    async with running_system(processes, policy=POLICY) as system:
        async with steady(system.entry, 100) as load:
            await wait_until(lambda: len(load.results) > 20)
            await system.start()
            await system.reach("PROGRESSING")
        system.envoy.kill()
        await system.envoy.start()
        await wait_until(lambda: answers(f"http://127.0.0.1:{system.entry}/"))
        async with steady(system.entry, 150) as load:
            await wait_until(lambda: in_sync(system), 30.0)
            told = await system.rollout()
            assert told.weights["v2"] == 2000
            await wait_until(lambda: len(load.results) > 300, 30.0)
            seen = by_version(load.results[:300])
            assert seen["v2"] / 300 == pytest.approx(0.2, abs=4 * (0.16 / 300) ** 0.5)
            assert [a for a in load.results if not a.ok] == []
            system.models["v2"].behaviour = Behaviour(errors=0.5)
            await system.reach("ROLLED_BACK")


@pytest.mark.soak
async def test_a_drained_controller_ends_by_itself_and_comes_back(processes: Children) -> None:
    """SIGTERM under load: it ends with code 0, and neither its end nor its start costs a request."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        assert await asyncio.to_thread(system.controller.stop) == 0
        await system.controller.start()
        await wait_until(lambda: in_sync(system), 30.0)
        await system.reach("PROGRESSING")
        assert [a for a in load.results if not a.ok] == []


@pytest.mark.proves("fault 5")
@pytest.mark.soak
async def test_a_controller_that_stands_still_is_noticed_and_taken_up_again(processes: Children) -> None:
    """SIGSTOP, as a machine that hangs: traffic flows on; let go, it continues where it was."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        before = await system.reach("PROGRESSING")
        system.controller.send(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            await wait_until(lambda: load.results[-1].sent > stopped + 6.0, 30.0)
        finally:
            system.controller.send(signal.SIGCONT)
        await wait_until(lambda: in_sync(system), 30.0)
        assert (await system.rollout()).id == before.id
        assert [a for a in load.results if not a.ok] == []
        system.models["v2"].behaviour = Behaviour(errors=0.5)
        await system.reach("ROLLED_BACK")


@pytest.mark.proves("track-record 74")
async def test_a_copy_of_the_store_that_is_put_back_is_what_envoy_serves_and_a_rollback_takes_effect(
    processes: Children,
) -> None:
    """Envoy has seen later revisions than the copy knows: what the copy says is true now, and no request fails."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await system.reach("PROGRESSING")
        store, copy = system.controller.store, system.controller.store.with_suffix(".copy")
        with contextlib.closing(sqlite3.connect(store)) as db, contextlib.closing(sqlite3.connect(copy)) as to:
            db.backup(to)
        for number in range(10):
            assert (await system.haldane("freeze", "--all", "--hold", "--reason", f"later {number}")).code == 0
        assert (await system.haldane("unfreeze", "--all", "--reason", "over")).code == 0
        await wait_until(lambda: advanced(system), 60.0, every=0.1)
        await wait_until(lambda: in_sync(system), 30.0)
        assert await asyncio.to_thread(system.controller.stop) == 0
        for end in ("", "-wal", "-shm"):
            store.with_name(store.name + end).unlink(missing_ok=True)
        copy.rename(store)
        await system.controller.start()
        await wait_until(lambda: in_sync(system), 30.0)
        assert (await system.haldane("rollback", SERVICE, "--reason", "the copy is what counts")).code == 0
        await system.reach("ROLLED_BACK")
        back = time.monotonic()
        await wait_until(lambda: load.results[-1].sent > back + 1.0)
        assert set(by_version(a for a in load.results if a.sent > back)) == {"v1"}
        assert [a for a in load.results if not a.ok] == []


async def advanced(system: System) -> bool:
    """Whether the second step was taken."""
    return (await system.rollout()).weights["v2"] == 5000
