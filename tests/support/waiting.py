"""Waiting for what must come true, never for a time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import aiohttp

FIRST, LAST = 0.02, 0.1
"""Seconds between two looks: the first ones, and the most."""
PATIENCE = 0.03
"""The share of what was waited already that the next look may come late."""


async def wait_until(condition: Callable[[], Any], within: float = 30.0, every: float | None = None) -> Any:
    """The first true value of the condition, which may be a coroutine function. Fails if none comes in that time.

    Looks `every` so many seconds, or ever less often: most conditions ask a server, which takes CPU of what is awaited.
    """
    begun = time.monotonic()
    deadline = begun + within
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within:g} s: {_shown(condition)}; at last {value!r}"
        await asyncio.sleep(every or min(LAST, max(FIRST, PATIENCE * (time.monotonic() - begun))))


async def answers(url: str) -> bool:
    """Whether a GET of that URL is answered with 200."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _shown(condition: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
