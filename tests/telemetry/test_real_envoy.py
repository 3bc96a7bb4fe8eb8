"""What a real Envoy reports, against what its clients and its own admin page say."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp
import pytest

from controller.core.model.cluster_names import cluster_name, stats_name
from controller.demo.harness.child_processes import Children
from controller.telemetry.load_reporting_service import IDLE_INTERVAL
from tests.support.envoy import EnvoyProcess
from tests.support.model import Behaviour, ModelServer
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.telemetry.http2_server import http2_server
from tests.telemetry.telemetry_server import (
    SERVICE,
    TelemetryServer,
    Totals,
    rolling_out,
    static_bootstrap,
    telemetry_server,
)

pytestmark = pytest.mark.envoy
StartModel = Callable[[str], Awaitable[ModelServer]]


async def send_requests(entry: int, version: str, count: int, timeout: float = 5.0) -> Counter[int]:
    """So many requests to a version, ten at a time: how many got which status; 0 where the client gave up."""
    places = asyncio.Semaphore(10)

    async def one(session: aiohttp.ClientSession) -> int:
        async with places:
            try:
                async with session.get(f"http://127.0.0.1:{entry}/", headers={"version": version}) as response:
                    return response.status
            except TimeoutError:
                return 0

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session:
        return Counter(await asyncio.gather(*(one(session) for _ in range(count))))


class RequestSeries:
    """Requests to one version and their responses, to compare with what is reported."""

    def __init__(self, telemetry: TelemetryServer, totals: Totals, version: str, *entries: int) -> None:
        self._telemetry = telemetry
        self._totals = totals
        self._version = version
        self._entries = entries
        self.had: Counter[str] = Counter()

    async def send(self, count: int) -> None:
        """Send `count` requests to each entry."""
        for seen in await asyncio.gather(*(send_requests(entry, self._version, count) for entry in self._entries)):
            for status, number in seen.items():
                self.had["ok" if status == 200 else f"{status // 100}xx"] += number

    async def check(self) -> None:
        """Wait until every request is reported, and compare.

        The last 4xx may still wait for good answers to be taken out of: a few more are asked for. The server must
        answer well by now.
        """
        for _ in range(5):
            await wait_until(self._all_reported)
            if self._totals.outcomes[self._version] == self.had:
                return
            assert self._totals.outcomes[self._version]["4xx"] < self.had["4xx"]
            await self.send(20)
        assert self._totals.outcomes[self._version] == self.had

    def _all_reported(self) -> bool:
        self._totals.read(self._telemetry)
        return self._totals.answered(self._version) == self.had.total()


async def test_every_response_is_counted_once_and_in_its_class(processes: Children, model_server: StartModel) -> None:
    """Good answers, 4xx, 5xx, timeouts and cut connections: the windows' sums equal what the client saw."""
    v1, v2, entry = await model_server("v1"), await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v2.address}))
        await envoy.start()
        totals = Totals()
        await totals.begin(telemetry)
        good, mixed = RequestSeries(telemetry, totals, "v1", entry), RequestSeries(telemetry, totals, "v2", entry)
        for behaviour in (
            Behaviour(),
            Behaviour(errors=0.5, status=404),
            Behaviour(errors=0.3, status=500),
            Behaviour(hang=0.2),
            Behaviour(reset=0.3),
            Behaviour(errors=1.0, status=400),
            Behaviour(),
        ):
            v2.behaviour = behaviour
            await mixed.send(60)
            totals.read(telemetry)
        await good.send(100)
        await good.check()
        await mixed.check()
        assert good.had == {"ok": 100}
        assert totals.started == {"v1": 100, "v2": mixed.had.total()}
        v2_stats = f"cluster.{stats_name(cluster_name(SERVICE, 'v2'))}"
        counters = await envoy.counters(v2_stats)
        assert counters[f"{v2_stats}.upstream_rq_total"] == totals.started["v2"]
        assert counters[f"{v2_stats}.upstream_rq_4xx"] == totals.outcomes["v2"]["4xx"]


@pytest.mark.proves("track-record 10")
async def test_requests_that_reach_no_endpoint_count_as_failed(processes: Children, model_server: StartModel) -> None:
    """A canary that refuses connections, and one without any server: neither is in Envoy's request total."""
    v1, entry = await model_server("v1"), free_port()
    async with telemetry_server("v1", "refusing", "empty") as telemetry:
        addresses = {"v1": v1.address, "refusing": f"127.0.0.1:{free_port()}", "empty": ""}
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, addresses))
        await envoy.start()
        totals = Totals()
        await wait_until(lambda: totals.read(telemetry, "refusing", "empty"))
        assert await send_requests(entry, "refusing", 20) == {503: 20}
        assert await send_requests(entry, "empty", 20) == {503: 20}

        def all_failed() -> bool:
            totals.read(telemetry, "refusing", "empty")
            return totals.outcomes["refusing"]["5xx"] == totals.outcomes["empty"]["5xx"] == 20

        await wait_until(all_failed)
        assert totals.answered("refusing") == totals.answered("empty") == 20
        await wait_until(lambda: totals.read(telemetry, "refusing", "empty") and totals.started["refusing"] == 20)
        assert totals.started["empty"] == 20


@pytest.mark.parametrize(
    ("http2", "limits"),
    [
        (False, {"max_requests": 2}),
        (False, {"max_connections": 1, "max_pending_requests": 1}),
        (True, {"max_requests": 2}),  # over HTTP/2 nothing is pending once there is a connection
    ],
    ids=["requests", "pending", "HTTP/2 requests"],
)
async def test_a_request_over_a_limit_counts_once(
    processes: Children, model_server: StartModel, http2: bool, limits: dict[str, int]
) -> None:
    """Whichever limit it is: as started, and as a failure of its version."""
    v1, entry = await model_server("v1"), free_port()
    v1.behaviour = Behaviour(delay=0.2)
    async with telemetry_server("v1", "v2") as telemetry, http2_server() as port:
        place = f"127.0.0.1:{port}" if http2 else v1.address
        text = static_bootstrap(telemetry, entry, {"v1": place, "v2": place}, limits=limits, http2=http2)
        await EnvoyProcess(processes, text).start()
        totals = Totals()
        await totals.begin(telemetry)
        series = RequestSeries(telemetry, totals, "v2", entry)
        for _ in range(5):
            await series.send(10)
        await series.check()
        assert series.had["5xx"] > 0
        await wait_until(lambda: totals.read(telemetry) and totals.started["v2"] == 50)


async def test_a_version_without_traffic_has_zero_counts_and_an_unknown_one_none(
    processes: Children, model_server: StartModel
) -> None:
    """No traffic is a number; a version that no proxy has is the absence of one."""
    v1, entry = await model_server("v1"), free_port()
    async with telemetry_server("v1", "v2", "ghost") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v1.address}))
        await envoy.start()
        window = await wait_until(lambda: Totals().read(telemetry, "v1", "v2"))
        assert (window.stable.started, window.canary.started, window.canary.answered) == (0, 0, 0)
        window = await wait_until(lambda: Totals().read(telemetry, "v1", "ghost"))
        assert window.stable is not None
        assert window.canary is None


async def test_latencies_arrive_in_buckets_ten_percent_wide(processes: Children, model_server: StartModel) -> None:
    """The fastest answer's bucket lies between what the server took and what the client saw: a slow-down of 30 %
    shows."""
    v1, v2, entry = await model_server("v1"), await model_server("v2"), free_port()
    v1.behaviour, v2.behaviour = Behaviour(delay=0.050), Behaviour(delay=0.065)
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v2.address}))
        await envoy.start()
        totals = Totals()
        for version, model in (("v1", v1), ("v2", v2)):
            took = [await milliseconds(entry, version) for _ in range(10)]

            def all_arrived(version: str = version) -> bool:
                totals.read(telemetry)
                return totals.latency.get(version, Counter()).total() == 10

            await wait_until(all_arrived)
            edges = totals.latency[version]
            # Envoy's milliseconds are whole, its timer and ours may each be one early or late.
            assert model.behaviour.delay * 1000 - 2 < min(edges) <= (min(took) + 1) * 1.1 + 1


async def milliseconds(entry: int, version: str) -> float:
    """How long one request takes for a client."""
    begun = time.monotonic()
    assert await send_requests(entry, version, 1) == {200: 1}
    return (time.monotonic() - begun) * 1000


async def test_nothing_is_lost_while_the_controller_is_away(processes: Children, model_server: StartModel) -> None:
    """Envoy counts on, and both sources catch up: also 4xx, which only the second one knows."""
    v1, v2, entry = await model_server("v1"), await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v2.address}))
        await envoy.start()
        totals = Totals()
        await totals.begin(telemetry)
        series = RequestSeries(telemetry, totals, "v2", entry)
        await series.send(30)
        await series.check()
        await telemetry.close()
        for behaviour in (Behaviour(errors=0.5, status=422), Behaviour(errors=0.5), Behaviour()):
            v2.behaviour = behaviour
            await series.send(50)
        await telemetry.open()
        await series.send(50)
        await series.check()


@pytest.mark.proves("bad-input 30")
async def test_a_restarted_envoy_is_counted_from_zero(processes: Children, model_server: StartModel) -> None:
    """kill -9 of Envoy: its counters start again, and nothing is counted twice or below zero."""
    v1, v2, entry = await model_server("v1"), await model_server("v2"), free_port()
    v2.behaviour = Behaviour(errors=0.5, status=422)
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v2.address}))
        totals = Totals()
        series = RequestSeries(telemetry, totals, "v2", entry)
        for count in (60, 20, 100):
            await envoy.start()
            await wait_until(lambda: reports_load(envoy))
            v2.behaviour.errors = 0.5
            await series.send(count)
            v2.behaviour.errors = 0.0
            await series.send(60)
            await series.check()
            await wait_until(lambda: is_old(envoy))
            envoy.kill()


async def reports_load(envoy: EnvoyProcess) -> bool:
    """Whether it was asked for load reports: what it serves before that is in none."""
    asked = "load_reporter.requests"
    return (await envoy.counters(asked)).get(asked, 0) >= 1


async def is_old(envoy: EnvoyProcess) -> bool:
    """Whether it has told that it is a second old, which is how finely it tells its age."""
    return (await envoy.counters("server.uptime"))["server.uptime"] >= 2


@pytest.mark.parametrize("nodes", [("one", "two"), ("same", "same")])
async def test_several_envoys_add_up_even_with_one_node_id(
    processes: Children, model_server: StartModel, nodes: tuple[str, str]
) -> None:
    """Two Envoys from one bootstrap share a node id: a mistake, and still every request counts once."""
    v1, v2 = await model_server("v1"), await model_server("v2")
    async with telemetry_server("v1", "v2") as telemetry:
        entries = []
        for number, node in enumerate(nodes):
            entries.append(free_port())
            text = static_bootstrap(telemetry, entries[-1], {"v1": v1.address, "v2": v2.address}, node)
            envoy = EnvoyProcess(processes, text, f"envoy-{number}")
            await envoy.start()
            await wait_until(partial(reports_load, envoy))
        totals = Totals()
        series = RequestSeries(telemetry, totals, "v2", *entries)
        for behaviour in (*[Behaviour(errors=0.5, status=422)] * 3, Behaviour()):
            v2.behaviour = behaviour
            await series.send(40)
            totals.read(telemetry)
        await series.check()


async def test_reports_are_frequent_only_while_a_rollout_runs(processes: Children, model_server: StartModel) -> None:
    """The pace changes on the open stream, at once: a start is not missed, and rest costs little."""
    v1, entry = await model_server("v1"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v1.address}))
        await envoy.start()
        await wait_until(lambda: telemetry.news)

        async def seconds_for(windows: int) -> float:
            begun = asyncio.get_running_loop().time()
            for _ in range(windows):
                await wait_until(lambda: Totals().read(telemetry))
            return asyncio.get_running_loop().time() - begun

        telemetry.reports.on_view(rolling_out(False))
        await seconds_for(1)  # what was under way
        assert await seconds_for(1) > IDLE_INTERVAL * 0.8
        telemetry.reports.on_view(rolling_out(True))
        assert await seconds_for(4) < 2 * IDLE_INTERVAL  # at rest it would be four times that
        assert envoy.output.count("StreamLoadStats") == 0  # the stream was never broken


async def test_no_request_is_lost_or_counted_twice_while_the_interval_changes(
    processes: Children, model_server: StartModel
) -> None:
    """However often, on one stream, in the middle of the traffic: also right after the last change, and before the
    first report at the new interval."""
    v1, v2, entry = await model_server("v1"), await model_server("v2"), free_port()
    v2.behaviour = Behaviour(errors=0.2)
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v1": v1.address, "v2": v2.address}))
        await envoy.start()
        await wait_until(lambda: telemetry.news)
        series = RequestSeries(telemetry, Totals(), "v2", entry)
        changes = 20
        for number in range(changes):
            telemetry.reports.on_view(rolling_out(bool(number % 2)))
            await series.send(30)
        v2.behaviour = Behaviour()
        await series.check()
        reporter = await envoy.counters("load_reporter.")
    assert series.had["5xx"] > 0
    assert reporter["load_reporter.requests"] == 1 + changes  # the intervals that it was told
    assert (reporter["load_reporter.errors"], reporter["load_reporter.retries"]) == (0, 0)
