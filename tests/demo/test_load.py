"""The load generator: a steady open loop, bounded, with a true record of every answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from controller.demo.harness.flow import flows
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.harness.request_result import NO_VERSION, RequestResult
from controller.demo.load import held_out_requests
from tests.support.http_server import http_server
from tests.support.process import free_port


class Service:
    """A server that answers by number: what a test has queued, else a good answer of v1."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.pause = 0.0
        self.busy = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Every 10th is a 500 of v2, every 10th after the 5th a 400 of v1, after the 1st no JSON of v3."""
        self.asked.append(asyncio.get_running_loop().time())
        number = len(self.asked)
        if number == 5:
            self.busy.set()
        await asyncio.sleep(self.pause)
        if number % 10 == 0:
            return web.json_response({"error": "no"}, status=500, headers={"model-version": "v2"})
        if number % 10 == 5:
            return web.json_response({"error": "bad"}, status=400, headers={"model-version": "v1"})
        if number % 10 == 1:
            return web.Response(text="data: 0.25", headers={"model-version": "v3"})
        return web.json_response({"model_version": "v1"})


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    """A running service and its address."""
    service = Service()
    app = web.Application()
    app.router.add_post("/", service.answer)
    async with http_server(app) as url:
        yield service, f"{url}/"


async def test_every_answer_is_counted_by_version_and_outcome(service: tuple[Service, str]) -> None:
    """200 a second for a second are 200 answers, each with the version that gave it and how it ended."""
    load = LoadGenerator(service[1], [b"{}"], rate=200)
    await load.run(1)
    outcomes = [(a.version, a.outcome, a.status) for a in load.results]
    assert len(outcomes) == 200
    assert outcomes.count(("v2", "5xx", 500)) == 20
    assert outcomes.count(("v1", "4xx", 400)) == 20
    assert outcomes.count(("v1", "ok", 200)) == 140
    assert outcomes.count(("v3", "ok", 200)) == 20
    assert all(a.sent <= a.ended for a in load.results)
    assert [a.ended for a in load.results] == sorted(a.ended for a in load.results)


async def test_a_slow_service_does_not_slow_the_questions(service: tuple[Service, str]) -> None:
    """The loop is open: with answers that take half a second, the next question is asked in its time all the same."""
    service[0].pause = 0.5
    load = LoadGenerator(service[1], [b"{}"], rate=100)
    await load.run(0.5)
    asked = service[0].asked
    assert len(asked) == 50
    assert asked[-1] - asked[0] < 5, "a closed loop would take 25 s"
    assert min(a.milliseconds for a in load.results) >= 490


async def test_what_is_beyond_the_places_in_flight_counts_as_unsent(service: tuple[Service, str]) -> None:
    """Memory and connections are bounded, and what was not sent is not forgotten."""
    service[0].pause = 0.5
    load = LoadGenerator(service[1], [b"{}"], rate=200, in_flight=5)
    await load.run(0.2)
    assert len(load.results) + load.unsent == 40
    assert load.unsent >= 30


async def test_no_answer_is_an_outcome_too(service: tuple[Service, str]) -> None:
    """A client that gives up, and a server that is not there, differ from error responses."""
    service[0].pause = 5
    patient = LoadGenerator(service[1], [b"{}"], rate=20, timeout=0.2)
    await patient.run(0.1)
    assert [(a.version, a.outcome, a.status) for a in patient.results] == [(NO_VERSION, "timeout", 0)] * 2
    alone = LoadGenerator(f"http://127.0.0.1:{free_port()}/", [b"{}"], rate=20)
    await alone.run(0.1)
    assert [(a.version, a.outcome, a.status) for a in alone.results] == [(NO_VERSION, "broken", 0)] * 2


async def test_a_missing_response_is_named_by_its_cause(service: tuple[Service, str]) -> None:
    """A refused connection, a timeout and an error without a version are three things, and none is a version."""
    refused = LoadGenerator(f"http://127.0.0.1:{free_port()}/", [b"{}"], rate=20)
    await refused.run(0.1)
    assert list(flows(refused.results, 0.1)) == ["connection refused"]
    service[0].pause = 5
    slow = LoadGenerator(service[1], [b"{}"], rate=20, timeout=0.2)
    await slow.run(0.1)
    assert list(flows(slow.results, 0.1)) == ["timeout"]
    assert list(flows([RequestResult(0.0, 0.1, NO_VERSION, "5xx", 503)], 1.0)) == ["HTTP 503 without a version"]


async def test_a_cancelled_load_stops_at_once(service: tuple[Service, str]) -> None:
    """Nothing of it runs on."""
    service[0].pause = 5
    load = LoadGenerator(service[1], [b"{}"], rate=100)
    running = asyncio.create_task(load.run(60))
    await asyncio.wait_for(service[0].busy.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not [task for task in asyncio.all_tasks() if "LoadGenerator." in repr(task)]


def test_flows_have_rates_errors_and_percentiles() -> None:
    """100 answers in 2 seconds, of 1 to 100 ms: 50 a second, the median 51 ms, the 99th percentile 100 ms."""
    answers = [RequestResult(0.0, n / 1000, "v1", "ok" if n % 4 else "5xx", 200) for n in range(1, 101)]
    flow = flows(answers, 2.0)["v1"]
    assert (flow.responses, flow.errors, flow.per_second) == (100, 25, 50.0)
    assert flow.p50_ms == pytest.approx(51)
    assert flow.p99_ms == pytest.approx(100)
    assert flows([], 2.0) == {}


@pytest.mark.parametrize("change", [{"rate": 0}, {"rate": 20_000}, {"timeout": 0}, {"in_flight": 0}, {"bodies": []}])
def test_a_load_without_bounds_is_refused(change: dict[str, object]) -> None:
    """A load has a rate, a timeout and a bound in flight, or it is not started."""
    wanted: dict[str, object] = {"rate": 10, "timeout": 1, "in_flight": 1, "bodies": [b"{}"]} | change
    with pytest.raises(ValueError, match="are needed"):
        LoadGenerator("http://127.0.0.1:1/", wanted.pop("bodies"), **wanted)  # type: ignore[arg-type]


def test_the_questions_are_the_held_out_images_in_a_fixed_order() -> None:
    """The same seed asks the same in the same order; another asks the same in another."""
    once, again, other = held_out_requests(1), held_out_requests(1), held_out_requests(2)
    assert once == again != other
    assert sorted(once) == sorted(other)
    assert len(once) == 899
