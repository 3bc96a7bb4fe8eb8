"""A steady load in the background of a test, with the demo's generator."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable

from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.harness.request_result import RequestResult

BODY = (b"{}",)


@contextlib.asynccontextmanager
async def steady(
    port: int, rate: float, *, host: str = "127.0.0.1", path: str = "/", timeout: float = 10.0, seconds: float = 120.0
) -> AsyncIterator[LoadGenerator]:
    """Requests to that port, `rate` a second, while the block runs and so many seconds at the longest."""
    load = LoadGenerator(f"http://{host}:{port}{path}", BODY, rate=rate, timeout=timeout)
    running = asyncio.create_task(load.run(seconds))
    try:
        yield load
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def by_version(answers: Iterable[RequestResult]) -> Counter[str]:
    """How many answers each version gave."""
    return Counter(answer.version for answer in answers)
