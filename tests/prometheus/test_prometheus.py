"""What Prometheus may answer: a loopback fake for hostile answers, and the real one for the right ones."""

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread
from controller.demo.harness.child_processes import Children
from controller.process.clock import SystemClock
from controller.process.http_client import open_session
from controller.runtime.allowed import Allowed
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from controller.telemetry.custom_metric import CustomMetric, fill_query, validate_query
from controller.telemetry.prometheus_client import MAX_BODY, PrometheusClient
from controller.telemetry.prometheus_poller import PrometheusPoller
from tests.prometheus.prometheus_server import NEEDED, Answer, Exporter, prometheus, serving, vector
from tests.support.loop_harness import rollout_file
from tests.support.process import free_port
from tests.support.waiting import wait_until

GAUGE = CustomMetric(kind="gauge", value='max(queue_depth{service="{service}",version="{version}"})')
RATE = CustomMetric(
    kind="rate",
    events='sum(wrong_total{service="{service}",version="{version}"})',
    total='sum(labelled_total{service="{service}",version="{version}"})',
)


async def rollout_of(*metrics: str) -> tuple[View, ServiceState]:
    """A rollout of v2 whose policy names these metrics."""
    clock = SystemClock()
    store = MemoryStore(clock=clock)
    operations = Operations(store, clock, Allowed(metrics=metrics))
    listed = ", ".join(f"{{name: {name}}}" for name in metrics)
    text = rollout_file() + f"  metrics: [{listed}]\n"
    await operations.apply(text, who=Actor("alice"))
    await operations.act("scorer", Command(Verb.START, "because", "v2"), who=Actor("alice"))
    view = await store.load()
    return view, view.services["scorer"]


@dataclass
class Reader:
    """Metrics as they are read from an address."""

    prometheus: PrometheusPoller
    view: View
    state: ServiceState
    told: list[int] = field(default_factory=list)

    async def read(self) -> dict[str, Reading]:
        """One reading of everything."""
        await self.prometheus.read(self.view)
        return dict(self.prometheus.take(self.state))


@contextlib.asynccontextmanager
async def reading(address: str, timeout: float = 1.0, **metrics: CustomMetric) -> AsyncIterator[Reader]:
    """A reader of these metrics."""
    view, state = await rollout_of(*metrics)
    async with open_session() as session:
        prometheus = PrometheusPoller(
            PrometheusClient(address, session, timeout),
            metrics,
            clock=SystemClock(),
            interval=1.0,
            on_news=lambda _services: None,
        )
        yield Reader(prometheus, view, state)


def always(response: Callable[[], web.StreamResponse]) -> Answer:
    """The same answer for everything."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return response()

    return answer


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            await response.write(b" " * 65_536)
    return response


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


def text(body: str, content_type: str = "application/json") -> Answer:
    return always(lambda: web.Response(text=body, content_type=content_type))


def data(kind: str, result: object) -> Answer:
    return text(json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}))


HOSTILE: dict[str, tuple[Answer, str]] = {
    "NaN": (always(lambda: vector("NaN")), "its value is nan"),
    "infinity": (always(lambda: vector("+Inf")), "its value is inf"),
    "minus infinity": (always(lambda: vector("-Inf")), "its value is -inf"),
    "beyond a float": (always(lambda: vector("1e400")), "its value is inf"),
    "no series": (always(vector), "no such series"),
    "two series": (always(lambda: vector("1", "2")), "2 series where one is needed"),
    "no number": (always(lambda: vector("many")), "holds no number"),
    "null": (always(lambda: vector(None)), "holds no number"),
    "a string": (data("string", [1.0, "x"]), "the query gives a string"),
    "a scalar": (data("scalar", [1.0, "1"]), "the query gives a scalar"),
    "a matrix": (data("matrix", []), "the query gives a matrix"),
    "a sample of an hour ago": (always(lambda: vector("1", at=time.time() - 3600)), "of another time"),
    "a sample of the future": (always(lambda: vector("1", at=time.time() + 3600)), "of another time"),
    "more digits than a float has": (
        text('{"status":"success","data":{"resultType":"vector","result":[{"value":[1' + "0" * 400 + ',"1"]}]}}'),
        "holds no number",
    ),
    "a time that is none": (always(lambda: vector("1", at=float("nan"))), "of another time|not one of Prometheus"),
    "an error": (text('{"status":"error","error":"bad"}'), "not one of Prometheus"),
    "HTML": (text("<html>login</html>", "text/html"), "not one of Prometheus"),
    "a list": (text("[]"), "not one of Prometheus"),
    "deep": (text("[" * 60_000), "not one of Prometheus"),
    "half an answer": (text('{"status":"succ'), "not one of Prometheus"),
    "500": (always(lambda: web.Response(status=500)), "HTTP 500"),
    "a redirect": (
        always(lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"})),
        "HTTP 302",
    ),
    "gzip": (
        always(lambda: web.Response(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"})),
        "compressed",
    ),
    "endless": (endless, f"more than {MAX_BODY} bytes"),
    "slow": (never, "no answer within"),
}


@pytest.mark.proves("bad-input 30", "fault 17", "fault 18")
@pytest.mark.parametrize(("answer", "said"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_an_unusable_answer_is_unread_with_the_reason(answer: Answer, said: str) -> None:
    """No answer, however wrong, is more than UNKNOWN: it ends nothing and takes no longer than it may."""
    timeout = 0.5 if answer is never else 30.0
    async with serving(answer) as address, reading(address, timeout=timeout, queue=GAUGE) as reader:
        (found,) = (await reader.read()).values()
        assert isinstance(found, Unread)
        assert found.why.startswith("of v2: ")
        assert any(part in found.why for part in said.split("|")), found.why


async def test_an_unreachable_prometheus_is_unread() -> None:
    """A connection that is refused is a reason too."""
    async with reading(f"http://127.0.0.1:{free_port()}", queue=GAUGE) as reader:
        (found,) = (await reader.read()).values()
        assert isinstance(found, Unread)
        assert "cannot be asked" in found.why


async def test_counters_become_increases() -> None:
    """The first sight of counters is where counting starts; a reset is no reading; rises that wait are added up."""

    async def answer(request: web.Request) -> web.StreamResponse:
        query = request.query["query"]
        version = "v2" if 'version="v2"' in query else "v1"
        return vector(str(counters[version, "wrong" if "wrong_total" in query else "total"]))

    counters = {("v2", "wrong"): 5.0, ("v2", "total"): 50.0, ("v1", "wrong"): 40.0, ("v1", "total"): 900.0}
    async with serving(answer) as address, reading(address, accuracy=RATE) as reader:
        assert await reader.read() == {}
        counters |= {("v2", "wrong"): 7.0, ("v2", "total"): 60.0, ("v1", "total"): 1000.0}
        await reader.prometheus.read(reader.view)
        counters |= {("v1", "wrong"): 41.0, ("v1", "total"): 1010.0}
        assert await reader.read() == {"accuracy": Counted(10, 2, 110, 1)}
        counters |= {("v2", "wrong"): 0.0, ("v2", "total"): 3.0}
        (fell,) = (await reader.read()).values()
        assert isinstance(fell, Unread)
        assert fell.why.startswith("of v2: a counter fell")


class TestAtFullWeight:
    """Stable has no traffic any more: its servers may be gone, and the canary is read all the same."""

    @pytest.fixture
    def counters(self) -> dict[str, float | None]:
        """The counters of each version; None where there is no such series."""
        return {"v1": 100.0, "v2": 10.0}

    @pytest.fixture
    async def reader(self, counters: dict[str, float | None]) -> AsyncIterator[Reader]:
        async def answer(request: web.Request) -> web.StreamResponse:
            value = counters["v2" if 'version="v2"' in request.query["query"] else "v1"]
            return vector() if value is None else vector(str(value))

        async with serving(answer) as address, reading(address, accuracy=RATE, queue=GAUGE) as reader:
            yield reader

    def promote(self, reader: Reader) -> None:
        """All traffic goes to the canary."""
        rollout = reader.state.rollout
        assert rollout is not None
        rollout = rollout.model_copy(update={"weight": 10_000})
        reader.state = reader.state.model_copy(update={"rollout": rollout})
        reader.view = replace(reader.view, services={"scorer": reader.state})

    async def test_a_stable_that_is_gone_is_not_missed(self, reader: Reader, counters: dict[str, float | None]) -> None:
        """Before 100 % it is unknown; at 100 % the canary's figures are all that is needed."""
        await reader.read()
        counters |= {"v1": None, "v2": 15.0}
        missed = await reader.read()
        assert {type(found) for found in missed.values()} == {Unread}
        self.promote(reader)
        assert await reader.read() == {"accuracy": Counted(5, 5, 0, 0), "queue": Gauged(15.0, None, True, 3, 5)}
        counters |= {"v2": None}
        assert {type(found) for found in (await reader.read()).values()} == {Unread}

    async def test_stables_late_labels_are_counted_as_long_as_they_come(
        self, reader: Reader, counters: dict[str, float | None]
    ) -> None:
        """And when it comes back after a while, what it did meanwhile is not news."""
        self.promote(reader)
        await reader.read()
        counters |= {"v1": 103.0, "v2": 15.0}
        assert (await reader.read())["accuracy"] == Counted(5, 5, 3, 3)
        counters |= {"v1": None, "v2": 16.0}
        assert (await reader.read())["accuracy"] == Counted(1, 1, 0, 0)
        counters |= {"v1": 500.0, "v2": 17.0}
        assert (await reader.read())["accuracy"] == Counted(1, 1, 0, 0)
        counters |= {"v1": 501.0, "v2": 18.0}
        assert (await reader.read())["accuracy"] == Counted(1, 1, 1, 1)


GOOD = (
    'up{version="{version}"}',
    "up{version='{version}'}",
    'a{service = "{service}", version="x-{version}"} / on() b{version="{version}"}',
    'x{note="say \\"hi\\"",version="{version}"}',
)
BAD = (
    "up{version={version}}",
    'up{version=~"{version}"}',
    'up{version!="{version}"}',
    "up{version=`{version}`}",
    '{version}{a="b"}',
    'label_replace(up, "version", "{version}", "a", "b")',
    'up{service="{service}"}',
    'up{version="{version}',
    'up{version="{version}"} # {service}"',
    "",
    'up{version="{version}"}' + " " * 5000,
)


@pytest.mark.parametrize("query", GOOD)
def test_placeholders_are_values_of_labels(query: str) -> None:
    """A place in quotes after an equals sign is filled, with whatever a name holds escaped."""
    assert validate_query(query) == query
    assert "{version}" not in fill_query(query, "scorer", "v1.2")
    assert '\\"' in fill_query('up{version="{version}"}', "s", 'v"} or up{a="')


@pytest.mark.parametrize("query", BAD)
def test_a_placeholder_anywhere_else_is_rejected(query: str) -> None:
    """Outside of quotes, in a pattern, in a raw string, in a function's argument, in a comment; or nowhere at all."""
    with pytest.raises(ValueError, match=r"value of a label|both versions|at most"):
        validate_query(query)


@NEEDED
async def test_a_real_prometheus(processes: Children, tmp_path: Path) -> None:
    """Rates and gauges through a real scrape and a real query; a target that is gone is unread, and so is its end."""
    exporter = Exporter()
    async with serving(exporter.answer) as target:
        server, address = prometheus(processes, tmp_path, target)
        server.launch()
        async with reading(address, timeout=5.0, accuracy=RATE, queue=GAUGE) as reader:

            async def gauge() -> bool:
                return (await reader.read()).get("queue") == Gauged(6.0, 4.0, True, 3, 5)

            await wait_until(gauge, 60.0, every=0.2)
            counted: list[int] = [0, 0, 0, 0]
            exporter.wrong, exporter.labelled = {"v1": 3, "v2": 9}, {"v1": 300, "v2": 50}

            async def rate() -> bool:
                found = (await reader.read()).get("accuracy")
                if isinstance(found, Counted):
                    counted[:] = [a + b for a, b in zip(counted, found, strict=True)]
                return counted == [50, 9, 300, 3]

            await wait_until(rate, 60.0, every=0.2)
            odd = 'v"2\\'
            exporter.queue |= {odd.replace("\\", r"\\").replace('"', r"\""): 9.0}
            query = fill_query('queue_depth{version="{version}"}', "scorer", odd)

            async def escaped() -> bool:
                async with (
                    ClientSession() as client,
                    client.get(f"{address}/api/v1/query", params={"query": query}) as told,
                ):
                    series = (await told.json())["data"]["result"]
                return [(found["metric"]["version"], found["value"][1]) for found in series] == [(odd, "9")]

            await wait_until(escaped, 60.0, every=0.2)
            exporter.queue = {"v1": 4.0}

            async def gone() -> bool:
                found = (await reader.read())["queue"]
                return isinstance(found, Unread) and "no such series" in found.why

            await wait_until(gone, 60.0, every=0.2)
            server.stop()
            away = await reader.read()
            assert {name: type(found) for name, found in away.items()} == {"accuracy": Unread, "queue": Unread}
