"""A request to a hook, sent again as often as the hook's settings say."""

import asyncio
import uuid

import aiohttp

from controller.hooks.hook import Hook
from controller.hooks.payload import CONTENT_TYPE
from controller.ports.clock import Clock
from controller.process.backoff import backoff
from controller.process.http_client import Unanswered, post

RETRY_PAUSE = 1.0
"""Seconds between two attempts, as the settings promise."""


async def post_with_retries(session: aiohttp.ClientSession, hook: Hook, body: bytes, clock: Clock) -> int:
    """POST the body and return the status of the response.

    No response and a status of 500 or above are tried again, `hook.retries` times. `Unanswered` if the last attempt
    got no response.
    """
    left = hook.retries
    for pause in backoff(RETRY_PAUSE, RETRY_PAUSE, spread=0):
        try:
            status = await post(
                session, hook, body, content_type=CONTENT_TYPE, message_id=uuid.uuid4().hex, now=clock.wall()
            )
            if status < 500 or not left:
                return status
        except Unanswered:
            if not left:
                raise
        left -= 1
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")
