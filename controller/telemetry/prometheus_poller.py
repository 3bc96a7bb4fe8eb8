"""Custom metrics, read from Prometheus in the background: what it does or fails to do never delays a look.

The address is the settings'; a service file names metrics and nothing more. Answers are bounded in time and size,
redirects are not followed, nothing is decompressed, and of an answer one number is kept. Whatever is not one finite
number of now is `Unread`, with the reason.
"""

import asyncio
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.rollout import JUDGED, Rollout
from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread, joined
from controller.ports.clock import Clock
from controller.process.periodic import every
from controller.telemetry.counter_increase import CounterReading, Increase, increase_since
from controller.telemetry.custom_metric import CustomMetric, fill_query

MAX_BODY = 65_536
"""Bytes of an answer; one number needs 200."""
AT_ONCE = 8
"""Queries under way at the same time."""
SKEW = 1.0
"""Seconds by which an answer's time may differ from the time that was asked for."""

Numbers = tuple[float, ...]
"""What the queries of a metric give for one version, in their order."""

log = structlog.get_logger()


class _NoNumber(Exception):  # noqa: N818
    """Why there is none."""


@dataclass(slots=True)
class _Rollout:
    """What is known of one rollout: the counters of each metric and version as last read, and what is not yet taken."""

    id: str
    counters: dict[tuple[str, str], CounterReading | None] = field(default_factory=dict)
    fresh: dict[str, Reading] = field(default_factory=dict)

    def increase_since(self, name: str, version: str, numbers: Numbers | Unread, now: float) -> Increase | str | None:
        """What a version's counters gained since they were last read; None at the first sight of them."""
        if isinstance(numbers, Unread):
            self.counters[name, version] = None
            return None
        before = self.counters.get((name, version))
        self.counters[name, version], gain = increase_since(before, numbers, now)
        return gain


class PrometheusPoller:
    """The custom metrics of every rollout that runs."""

    def __init__(
        self,
        address: str | None,
        metrics: Mapping[str, CustomMetric],
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        interval: float,
        timeout: float,
        on_news: Callable[[], None],
    ) -> None:
        self._url = f"{(address or '').rstrip('/')}/api/v1/query"
        self._metrics = metrics
        self._session = session
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._on_news = on_news
        self._rollouts: dict[str, _Rollout] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def take(self, state: ServiceState) -> Mapping[str, Reading]:
        """What was read of the service's running rollout since the last time."""
        known = self._rollouts.get(state.name)
        if known is None or state.rollout is None or known.id != state.rollout.id:
            return {}
        taken, known.fresh = known.fresh, {}
        return taken

    async def run(self, view: Callable[[], View]) -> None:
        """Read everything at each interval, until cancelled; return at once where there are no metrics."""
        if self._metrics:
            await every(self._interval, lambda: self.read(view()))

    async def read(self, view: View) -> None:
        """Read every metric of every rollout that runs, once."""
        running = {
            name: state
            for name, state in view.services.items()
            if state.rollout and state.rollout.phase in JUDGED and state.rollout.policy.metrics
        }
        self._rollouts = {name: self._of(state) for name, state in running.items()}
        if not running:
            return
        async with asyncio.TaskGroup() as tasks:
            for state in running.values():
                assert state.rollout is not None
                for metric in state.rollout.policy.metrics:
                    tasks.create_task(self._read(state, metric.name))
        self._on_news()

    def _of(self, state: ServiceState) -> _Rollout:
        assert state.rollout is not None
        known = self._rollouts.get(state.name)
        return known if known and known.id == state.rollout.id else _Rollout(state.rollout.id)

    async def _read(self, state: ServiceState, name: str) -> None:
        rollout = state.rollout
        assert rollout is not None
        known, metric = self._rollouts[state.name], self._metrics.get(name)
        if metric is None:
            known.fresh[name] = Unread("it is not among the controller's settings any more")
            return
        at = self._clock.wall()
        canary, stable = await asyncio.gather(
            *(self._numbers(metric, state.name, version, at) for version in (rollout.canary, rollout.stable))
        )
        if isinstance(canary, Unread):
            reading: Reading | None = canary
        elif (
            isinstance(stable, Unread) and rollout.weight < TOTAL_WEIGHT
        ):  # with all traffic on the canary it is not needed
            reading = stable
        elif metric.kind == "gauge":
            reading = _gauged(metric, canary, stable)
        else:
            reading = _counted(known, name, rollout, (canary, stable), self._clock.monotonic())
        if reading:
            known.fresh[name] = joined(known.fresh.get(name), reading)

    async def _numbers(self, metric: CustomMetric, service: str, version: str, at: float) -> Numbers | Unread:
        """What the metric's queries give for one version, or why one of them gives nothing."""
        queries = (fill_query(query, service, version) for query in metric.queries)
        found = await asyncio.gather(*(self._number(query, at) for query in queries), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException):
                if not isinstance(error, _NoNumber):
                    log.error("metric_failed", service=service, version=version, exc_info=error)
                return Unread(f"of {version}: {error}")
        return tuple(number for number in found if isinstance(number, float))

    async def _number(self, query: str, at: float) -> float:
        """The one number that the query gives at that time. Raises `_NoNumber`."""
        try:
            async with self._room, asyncio.timeout(self._timeout):
                return _number_in(await self._body(query, at), at)
        except TimeoutError:
            raise _NoNumber(f"no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number and number > 0 else type(error).__name__
            raise _NoNumber(f"Prometheus cannot be asked ({why})") from None

    async def _body(self, query: str, at: float) -> bytes:
        parameters = {"query": query, "time": f"{at:.3f}"}
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._session.get(self._url, params=parameters, headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                raise _NoNumber(f"Prometheus answered with HTTP {answer.status}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise _NoNumber("the answer is compressed, which was not asked for")
            body = b""
            while chunk := await answer.content.read(MAX_BODY + 1 - len(body)):
                body += chunk
                if len(body) > MAX_BODY:
                    raise _NoNumber(f"the answer has more than {MAX_BODY} bytes")
            return body


def _number_in(body: bytes, at: float) -> float:
    """The number in an answer of `/api/v1/query`: one series, finite, of the time that was asked for."""
    try:
        answer = json.loads(body)
        data = answer["data"] if answer["status"] == "success" else {}
        kind, result = data["resultType"], data["result"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise _NoNumber("the answer is not one of Prometheus") from None
    if kind != "vector":
        raise _NoNumber(f"a vector is needed, the query gives a {str(kind)[:20]}")
    if not isinstance(result, list) or len(result) != 1:
        count = len(result) if isinstance(result, list) else 0
        raise _NoNumber("there is no such series" if not count else f"{count} series where one is needed")
    try:
        then, text = result[0]["value"]
        number = float(text)
        late = float(then) - at
    except (ValueError, KeyError, TypeError, OverflowError):
        raise _NoNumber("the answer holds no number") from None
    if not math.isfinite(number):
        raise _NoNumber(f"its value is {number}")
    if not abs(late) <= SKEW:
        raise _NoNumber("the answer is of another time than was asked for")
    return number


def _gauged(metric: CustomMetric, canary: Numbers, stable: Numbers | Unread) -> Gauged:
    level = None if isinstance(stable, Unread) else stable[0]
    return Gauged(canary[0], level, metric.worse == "higher", metric.worse_in, metric.readings, metric.slack)


def _counted(
    known: _Rollout, name: str, rollout: Rollout, found: tuple[Numbers, Numbers | Unread], now: float
) -> Reading | None:
    """What the counters of both versions gained at the same time; None at the first sight of one of them."""
    gain_c = known.increase_since(name, rollout.canary, found[0], now)
    gain_s = known.increase_since(name, rollout.stable, found[1], now)
    if rollout.weight >= TOTAL_WEIGHT and not isinstance(gain_s, Increase):
        gain_s = Increase(0, 0)
    for version, gain in ((rollout.canary, gain_c), (rollout.stable, gain_s)):
        if isinstance(gain, str):
            return Unread(f"of {version}: {gain}", heard=True)
    return Counted(*gain_c, *gain_s) if isinstance(gain_c, Increase) and isinstance(gain_s, Increase) else None
