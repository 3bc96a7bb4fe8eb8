"""A whole controller over a store that ends its term: its ports stay open, and it saves only what is its own."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import grpc
import pytest

from controller.app import Controller
from controller.core.model.rollout import Phase
from controller.pb.haldane.admin.v1 import admin_pb2, admin_pb2_grpc
from controller.process.clock import SystemClock
from controller.process.descriptors import share_descriptors
from controller.process.service_manager import ServiceManager
from controller.settings import Settings
from tests.fakes.store import ElectedStore
from tests.support.loop_harness import rollout_file
from tests.support.process import free_port
from tests.support.waiting import answers, wait_until


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """The controller tunes the garbage collector of its process, which here is that of the tests."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Ports of its own."""
    xds, admin, http = (f"127.0.0.1:{free_port()}" for _ in range(3))
    return Settings(xds_listen=xds, admin_listen=admin, http_listen=http, store=f"sqlite:{tmp_path / 'unused.db'}")


@contextlib.asynccontextmanager
async def serving(settings: Settings, store: ElectedStore) -> AsyncIterator[admin_pb2_grpc.RolloutsStub]:
    """A controller over that store, ready, until the end of the block, when it is told to stop."""
    stop = asyncio.Event()
    running = asyncio.create_task(
        Controller(settings, store, SystemClock(), share_descriptors(1024)).serve(stop, ServiceManager())
    )
    try:
        await wait_until(lambda: answers(f"http://{settings.http_listen}/readyz"))
        async with grpc.aio.insecure_channel(settings.admin_listen) as channel:
            request = admin_pb2.ApplyServiceRequest(yaml=rollout_file(), reason="test")
            await admin_pb2_grpc.CatalogStub(channel).ApplyService(request)
            yield admin_pb2_grpc.RolloutsStub(channel)
    finally:
        stop.set()
        await running


async def start(rollouts: admin_pb2_grpc.RolloutsStub) -> None:
    """Start a rollout of v2. Nothing reports, so nothing is decided."""
    request = admin_pb2.StartCanaryRequest(service="scorer", canary="v2", reason="test")
    await rollouts.StartCanary(request)


async def judged(rollouts: admin_pb2_grpc.RolloutsStub) -> bool:
    """Whether the API shows what the judge says, beside the reason of the start; else it says why not."""
    rollout = await rollouts.GetRollout(admin_pb2.GetRolloutRequest(service="scorer"))
    unknown = rollout.judged.problem
    if unknown:
        assert [each.text for each in rollout.details] == [unknown]
        assert rollout.details[0].code in ("no_leader", "leader_not_deciding")
        assert rollout.verdict == "unknown"
    return bool(set(rollout.reasons) - {"test", unknown})


async def test_a_controller_without_a_term_is_ready_and_serves(settings: Settings) -> None:
    """Nobody has granted it a term: its ports are open, and an operator's rollout is started and rolled back."""
    store = ElectedStore(clock=SystemClock())
    store.terms.clear()
    async with serving(settings, store) as rollouts:
        await start(rollouts)
        await asyncio.sleep(0.5)
        assert not await judged(rollouts)
        done = await rollouts.Rollback(admin_pb2.RollbackRequest(service="scorer", reason="test"))
        assert done.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
        async with aiohttp.ClientSession() as session, session.get(f"http://{settings.http_listen}/metrics") as got:
            assert 'haldane_weight{service="scorer",version="v2"} 0.0' in await got.text()
    assert store.saved == []


async def test_a_term_that_is_lost_leaves_the_ports_open_and_saves_nothing(settings: Settings) -> None:
    """The API goes on without verdicts, and has them again in the next term; told to stop, the decider saves."""
    store = ElectedStore(clock=SystemClock())
    async with serving(settings, store) as rollouts:
        await start(rollouts)
        await wait_until(lambda: judged(rollouts))
        await wait_until(lambda: store.saved)
        store.depose()
        await wait_until(lambda: _not_judged(rollouts))
        saved = len(store.saved)
        await asyncio.sleep(0.5)
        assert len(store.saved) == saved
        assert await answers(f"http://{settings.http_listen}/readyz")
        store.terms.set()
        await wait_until(lambda: judged(rollouts))
        before = len(store.saved)
    state = (await store.load()).services["scorer"]
    assert state.rollout
    assert store.saved[before:] == [state.rollout.id]


async def _not_judged(rollouts: admin_pb2_grpc.RolloutsStub) -> bool:
    return not await judged(rollouts)
