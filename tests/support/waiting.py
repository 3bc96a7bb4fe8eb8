"""Waiting for what must come true, never for a time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import aiohttp


async def wait_until(condition: Callable[[], Any], within: float = 30.0, every: float = 0.02) -> Any:
    """The first true value of the condition, which may be a coroutine function. Fails if none comes in that time."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within:g} s: {_shown(condition)}; at last {value!r}"
        await asyncio.sleep(every)


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
