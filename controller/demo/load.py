"""A bounded load in an open loop: asks at a steady rate whatever the answers do, and keeps a record of each.

An open loop shows what a slow or hanging server does to clients; a closed one would politely wait for it. By hand:
`python -m controller.demo.load http://127.0.0.1:10000/v2/models/fraud-scorer/infer --rate 50`.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import aiohttp
import click

from controller.demo.digit_models import held_out
from controller.demo.inference_protocol import write_request
from controller.demo.model_server import VERSION_HEADER

NOBODY = ""
"""The version of an answer that no model server gave: Envoy's own, or none at all."""
TELL_EVERY = 2.0
"""Seconds between two accounts of `python -m controller.demo.load`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request ended. Times are seconds of `time.monotonic`.

    `outcome` is `ok`, `4xx`, `5xx`, `timeout` (the client gave up) or `broken` (no connection, or it was cut);
    `status` is 0 for the last two. `version` is the one that answered, as it says itself.
    """

    sent: float
    ended: float
    version: str
    outcome: str
    status: int

    @property
    def ok(self) -> bool:
        """Whether the client got what it asked for."""
        return self.outcome == "ok"

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.ended - self.sent) * 1000


@dataclass(frozen=True, slots=True)
class Flow:
    """What one version gave clients over some seconds. Percentiles are of all answers, errors included."""

    answers: int
    errors: int
    per_second: float
    p50_ms: float
    p99_ms: float


def real_inputs(seed: int = 1) -> list[bytes]:
    """Requests about every held-out image of the data set, in an order that the seed gives."""
    images, _ = held_out()
    bodies = [write_request(image) for image in images]
    random.Random(seed).shuffle(bodies)  # noqa: S311  (an order, no secret)
    return bodies


def flows(answers: Iterable[Answer], seconds: float) -> dict[str, Flow]:
    """The flow of each version among these answers, which came in over that many seconds."""
    by_version: dict[str, list[Answer]] = {}
    for answer in answers:
        by_version.setdefault(answer.version, []).append(answer)
    return {version: _flow(given, seconds) for version, given in sorted(by_version.items())}


class LoadGenerator:
    """Sends `bodies` in turn to `url`, `rate` a second. At most `in_flight` at once; what is beyond counts as unsent.

    `answers` is in order of `ended` and grows by one for each request sent.
    """

    def __init__(
        self, url: str, bodies: Sequence[bytes], *, rate: float, timeout: float = 10.0, in_flight: int = 256
    ) -> None:
        if not bodies or not 0 < rate <= 10_000 or timeout <= 0 or in_flight < 1:
            raise ValueError("bodies, a rate up to 10000 a second, a timeout and a place in flight are needed")
        self.answers: list[Answer] = []
        self.unsent = 0
        self._url = url
        self._bodies = bodies
        self._rate = rate
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._in_flight = in_flight
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """LoadGenerator for that long, then wait for the answers under way. Cancelled, it drops them."""
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
        return flows(takewhile(lambda a: a.ended >= since, reversed(self.answers)), seconds)

    async def _send_all(self, session: aiohttp.ClientSession, count: int) -> None:
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / self._rate - time.monotonic()))
            if len(self._running) >= self._in_flight:
                self.unsent += 1
                continue
            task = asyncio.create_task(self._ask(session, self._bodies[number % len(self._bodies)]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _ask(self, session: aiohttp.ClientSession, body: bytes) -> None:
        sent = time.monotonic()
        version, outcome, status = NOBODY, "ok", 0
        try:
            async with session.post(self._url, data=body, headers={"content-type": "application/json"}) as response:
                answer = await response.read()
            status = response.status
            version = response.headers.get(VERSION_HEADER, NOBODY)
            if status >= 400:
                outcome = f"{status // 100}xx"
            else:
                version = json.loads(answer)["model_version"]
        except TimeoutError:
            outcome = "timeout"
        except aiohttp.ClientError:
            outcome = "broken"
        self.answers.append(Answer(sent, time.monotonic(), version, outcome, status))


def _flow(answers: list[Answer], seconds: float) -> Flow:
    taken = sorted(answer.milliseconds for answer in answers)
    errors = sum(not answer.ok for answer in answers)
    return Flow(len(answers), errors, len(answers) / seconds, _at(taken, 0.50), _at(taken, 0.99))


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _tell(load: LoadGenerator) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY)
        for version, flow in load.last(TELL_EVERY).items():
            click.echo(f"{version or 'nobody':12} {flow_line(flow)}")


def flow_line(flow: Flow) -> str:
    """A flow in words."""
    return f"{flow.per_second:6.1f}/s  {flow.errors:4d} errors  p50 {flow.p50_ms:6.1f} ms  p99 {flow.p99_ms:6.1f} ms"


async def _run(load: LoadGenerator, seconds: float) -> None:
    telling = asyncio.create_task(_tell(load))
    try:
        await load.run(seconds)
    finally:
        telling.cancel()


@click.command()
@click.argument("url")
@click.option("--rate", type=click.FloatRange(0.1, 1000), default=50.0, show_default=True, help="Requests a second.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True)
def main(url: str, rate: float, seconds: float) -> None:
    """Ask a model server at URL (.../v2/models/NAME/infer) with real images, and tell what each version answers."""
    load = LoadGenerator(url, real_inputs(), rate=rate)
    asyncio.run(_run(load, seconds))
    click.echo("in all")
    for version, flow in flows(load.answers, seconds).items():
        click.echo(f"{version or 'nobody':12} {flow_line(flow)}")


if __name__ == "__main__":
    main()
