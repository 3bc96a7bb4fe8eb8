"""A bounded open-loop load: it sends at a steady rate, however slow the responses are, and records
each result.

An open loop shows what a slow or hanging server does to clients; a closed loop would wait for it.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from itertools import takewhile

import aiohttp

from controller.demo.harness.flow import Flow, flows
from controller.demo.harness.request_result import NO_VERSION, VERSION_HEADER, RequestResult


class LoadGenerator:
    """Sends `bodies` in turn to `url`, `rate` a second.

    At most `in_flight` at once; beyond that they count as unsent.

    `results` is in order of `ended` and grows by one for each request sent. `timeout` is in
    seconds.
    """

    def __init__(
        self, url: str, bodies: Sequence[bytes], *, rate: float, timeout: float = 10.0, in_flight: int = 256
    ) -> None:
        """Raises `ValueError` unless there are bodies and every bound is positive."""
        if not bodies or not 0 < rate <= 10_000 or timeout <= 0 or in_flight < 1:
            raise ValueError("bodies, a rate up to 10000 a second, a timeout and a place in flight are needed")
        self.results: list[RequestResult] = []
        self.unsent = 0
        self._url = url
        self._bodies = bodies
        self._rate = rate
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._in_flight = in_flight
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Send for that long, then wait for the requests in flight. If cancelled, drop them."""
        connector = aiohttp.TCPConnector(limit=self._in_flight)
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout) as session:
            try:
                await self._send_all(session, round(seconds * self._rate))
                await asyncio.gather(*self._running)
            finally:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    def last(self, seconds: float) -> dict[str, Flow]:
        """The flow of each version over the last seconds."""
        since = time.monotonic() - seconds
        return flows(takewhile(lambda result: result.ended >= since, reversed(self.results)), seconds)

    async def _send_all(self, session: aiohttp.ClientSession, count: int) -> None:
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / self._rate - time.monotonic()))
            if len(self._running) >= self._in_flight:
                self.unsent += 1
                continue
            task = asyncio.create_task(self._send(session, self._bodies[number % len(self._bodies)]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> None:
        sent = time.monotonic()
        version, outcome, status, reason = NO_VERSION, "ok", 0, ""
        try:
            async with session.post(self._url, data=body, headers={"content-type": "application/json"}) as response:
                content = await response.read()
            status = response.status
            version = response.headers.get(VERSION_HEADER, NO_VERSION)
            if status >= 400:
                outcome = f"{status // 100}xx"
            else:
                version = _version_in(content) or version
        except TimeoutError:
            outcome, reason = "timeout", "timeout"
        except aiohttp.ClientError as error:
            outcome, reason = "broken", _reason(error)
        self.results.append(RequestResult(sent, time.monotonic(), version, outcome, status, reason))


def _version_in(content: bytes) -> str:
    """The version that a response of the Open Inference Protocol names; `NO_VERSION` in any other."""
    try:
        return str(json.loads(content)["model_version"])
    except (ValueError, KeyError, TypeError):
        return NO_VERSION


def _reason(error: aiohttp.ClientError) -> str:
    """Why there was no response."""
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return "connection refused" if refused else "no connection"
    return "connection lost"
