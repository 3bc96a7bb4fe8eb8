"""Endpoints from SRV records, asked of a DNS server on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from controller.core.model.endpoint_source import DnsSource
from controller.core.model.service import Endpoint
from controller.ports.endpoint_sources import SourceReading
from controller.sources import dns_records
from controller.sources.dns_records import DnsRecords, SrvRecord, endpoints_of
from tests.fakes.dns_records import FakeDns, fake_dns
from tests.support.waiting import wait_until

NAME = "_http._tcp.model.internal"
ONE, TWO = Endpoint(host="10.0.0.1", port=8000), Endpoint(host="10.0.0.2", port=8000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that no test waits for."""
    for name in ("LEAST_TTL", "ABSENT_TTL", "FIRST", "LONGEST"):
        monkeypatch.setattr(dns_records, name, 0.02)
    monkeypatch.setattr(dns_records, "LIFETIME", 0.3)


@contextlib.asynccontextmanager
async def watched(server: FakeDns) -> AsyncIterator[list[SourceReading]]:
    """What is read of the name, as it comes."""
    readings: list[SourceReading] = []

    async def follow() -> None:
        async for reading in DnsRecords(f"127.0.0.1:{server.port}").watch(DnsSource(name=NAME)):
            readings.append(reading)  # noqa: PERF401  (it never ends)

    task = asyncio.create_task(follow())
    try:
        yield readings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def scorers(*numbers: int) -> dict[tuple[str, str], list[str]]:
    """The records of these servers."""
    targets = {(f"s{n}.internal", "A"): [f"10.0.0.{n}"] for n in numbers}
    return {(NAME, "SRV"): [f"0 0 8000 s{n}.internal." for n in numbers], **targets}


async def test_records_are_read_again_when_their_time_is_over() -> None:
    """And a change is seen; the same again is no reading."""
    async with fake_dns() as server:
        server.records, server.ttl = scorers(1), 0
        async with watched(server) as readings:
            await wait_until(lambda: readings == [SourceReading((ONE,))])
            asked = server.asked["SRV"]
            await wait_until(lambda: server.asked["SRV"] > asked + 2)
            server.records = scorers(1, 2)
            await wait_until(lambda: readings[-1] == SourceReading((ONE, TWO)))
            assert len(readings) == 2


@pytest.mark.parametrize(("ttl", "pause"), [(0, 0.02), (60, 60.0), (86_400, 300.0)])
async def test_a_time_to_live_is_heeded_within_bounds(ttl: int, pause: float) -> None:
    """That of the record and of its target's address, whichever is shorter."""
    async with fake_dns() as server:
        server.records, server.ttl = scorers(1), ttl
        assert await DnsRecords(f"127.0.0.1:{server.port}").read(NAME) == (SourceReading((ONE,)), pause)


@pytest.mark.parametrize("records", [{}, {(NAME, "A"): ["10.0.0.9"]}, {(NAME, "SRV"): ["0 0 0 ."]}])
async def test_a_name_without_such_records_is_empty(records: dict[tuple[str, str], list[str]]) -> None:
    """It does not exist, has records of other types, or says that there is no such service."""
    async with fake_dns() as server:
        server.records = records
        async with watched(server) as readings:
            await wait_until(lambda: readings == [SourceReading((), note="there is no such record")])


async def test_a_target_without_an_address_is_no_endpoint() -> None:
    """Neither IPv4 nor IPv6."""
    async with fake_dns() as server:
        server.records = {(NAME, "SRV"): ["0 0 8000 s1.internal."]}
        async with watched(server) as readings:
            await wait_until(lambda: readings == [SourceReading((), note="no target has an address")])
            server.records[("s1.internal", "AAAA")] = ["fd00::1"]
            await wait_until(lambda: readings[-1] == SourceReading((Endpoint(host="fd00::1", port=8000),)))


@pytest.mark.parametrize(
    ("rcode", "words"),
    [("SERVFAIL", "cannot be resolved"), ("REFUSED", "cannot be resolved"), ("silent", "no DNS server answers")],
)
async def test_a_server_that_fails_leaves_what_was_read_last(rcode: str, words: str) -> None:
    """It is a problem, and over once it answers. That a name does not exist is an answer; this is none."""
    async with fake_dns() as server:
        server.records, server.ttl = scorers(1), 0
        async with watched(server) as readings:
            await wait_until(lambda: readings == [SourceReading((ONE,))])
            server.rcode = rcode
            await wait_until(lambda: words in readings[-1].problem)
            server.rcode = ""
            await wait_until(lambda: readings[-1] == SourceReading((ONE,)))


async def test_an_answer_that_does_not_fit_comes_by_tcp() -> None:
    """As of a version with many servers."""
    async with fake_dns() as server:
        server.records, server.truncated = scorers(1), True
        async with watched(server) as readings:
            await wait_until(lambda: readings == [SourceReading((ONE,))])
            assert server.asked["tcp"]


def test_the_first_priority_that_has_an_address_is_used_by_weight() -> None:
    """A weight of 0 is the least there is; the same address twice is one endpoint."""
    records = [
        SrvRecord(5, 10, 8000, ()),
        SrvRecord(10, 0, 8000, ("10.0.0.2",)),
        SrvRecord(10, 7, 8000, ("10.0.0.1",)),
        SrvRecord(10, 7, 8000, ("10.0.0.1",)),
        SrvRecord(10, 65535, 9000, ("10.0.0.1",)),
        SrvRecord(20, 1, 8000, ("10.0.0.3",)),
    ]
    assert endpoints_of(records) == (
        ONE.model_copy(update={"weight": 7}),
        ONE.model_copy(update={"port": 9000, "weight": 1000}),
        TWO,
    )
    assert endpoints_of([]) == endpoints_of(records[:1]) == ()
