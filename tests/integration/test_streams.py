"""Canaries of a service that answers in streams: a late first token is harm, the length of an answer is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.support.model import Behaviour
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

STREAMS = Behaviour(body="sse", first=0.1, lasts=(0.1, 0.9))
POLICY = """\
  steps: [50%]
  dwell: 10s
  warmup: 1s
  patience: 0s
  bake: 0s
"""


@asynccontextmanager
async def streams(port: int, rate: float) -> AsyncIterator[list[int]]:
    """So many requests a second, whose bodies are read to their ends; the lengths of those that were whole."""
    whole: list[int] = []
    pending: set[asyncio.Task[None]] = set()

    async def read(session: aiohttp.ClientSession) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                whole.append(len(await response.read()))

    async def run() -> None:
        timeout, connector = aiohttp.ClientTimeout(total=5.0), aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while True:
                task = asyncio.create_task(read(session))
                pending.add(task)
                task.add_done_callback(pending.discard)
                await asyncio.sleep(1 / rate)

    running = asyncio.create_task(run())
    try:
        yield whole
    finally:
        for task in (running, *pending):
            task.cancel()
        await asyncio.gather(running, *pending, return_exceptions=True)


async def test_a_late_first_token_is_harm_and_is_shown(processes: Children) -> None:
    """Though the whole answers take no longer. `watch` and `get` have it beside the other figures."""
    async with running_system(processes, policy=POLICY, more="streaming: true\n") as system:
        system.models["v1"].behaviour = STREAMS
        system.models["v2"].behaviour = Behaviour(body="sse", first=0.25, lasts=(0.0, 0.75))
        async with streams(system.entry, 60) as whole:
            await wait_until(lambda: len(whole) > 200)
            await system.start()
            await wait_until(lambda: _traffic_is_timed(system), 20.0)
            told = await system.reach("ROLLED_BACK")
            assert told.details[0].code.startswith("ttft")
            explained = await system.haldane("explain", "fraud-scorer")
            assert "ttft" in explained.out
            declared = await system.haldane("get", "fraud-scorer")
            assert "streaming: true" in declared.out


async def _traffic_is_timed(system: System) -> bool:
    traffic = (await system.rollout()).traffic
    stable, canary = traffic["v1"], traffic["v2"]
    return 95 <= stable.ttft_p50_ms < 220 <= canary.ttft_p50_ms and stable.p50_ms > 300


@pytest.mark.soak
async def test_longer_answers_are_promoted(processes: Children) -> None:
    """A canary whose streams take twice as long, with the first token as soon."""
    async with running_system(processes, policy=POLICY, more="streaming: true\n") as system:
        system.models["v1"].behaviour = STREAMS
        system.models["v2"].behaviour = Behaviour(body="sse", first=0.1, lasts=(0.3, 1.6))
        async with streams(system.entry, 60) as whole:
            await wait_until(lambda: len(whole) > 200)
            await system.start()
            await system.reach("PROMOTED", 180.0)
