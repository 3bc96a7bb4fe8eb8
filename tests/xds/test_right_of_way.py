"""While a rollback has the right of way, streams are pushed to, and what their clients send waits."""

import asyncio

from controller.xds.resources.type_urls import RDS
from tests.support.waiting import wait_until
from tests.xds.local_server import local_server
from tests.xds.views import service, view

TABLE = "127.0.0.1:10000"
A_MOMENT = 0.3
"""Seconds in which what waits would have been handled."""


async def test_requests_and_new_streams_wait_until_the_rollback_is_pushed() -> None:
    """From its commit on. The stream that stands is sent it at once; the one that comes has nothing older before."""
    async with local_server() as server:
        server.xds.publish(view(1, service(canary=("v2", 500))))
        standing, joining = server.open(), server.open()
        await standing.send(type_url=RDS, resource_names=[TABLE], node="one")
        await standing.accept(await standing.read(), TABLE)
        await wait_until(lambda: server.observer.events[-1][0] == "ack")
        server.xds.publish(view(2, service(canary=("v2", 600))))
        step = await standing.read()
        server.xds.right_of_way.claim()
        before = list(server.observer.events)
        await standing.accept(step, TABLE)
        await joining.send(type_url=RDS, resource_names=[TABLE], node="two")
        await asyncio.sleep(A_MOMENT)
        assert server.observer.events == before
        server.xds.publish(view(3, service(canary=("v2", 0))))
        served = [(await stream.read()).version_info for stream in (standing, joining)]
        assert served[0] == served[1] > step.version_info


async def test_a_weight_that_falls_is_pushed_with_the_right_of_way() -> None:
    """It has the right of way from its publication until every stream is woken."""
    async with local_server() as server:
        server.xds.publish(view(1, service(canary=("v2", 500))))
        streams = [server.open() for _ in range(5)]
        for number, stream in enumerate(streams):
            await stream.send(type_url=RDS, resource_names=[TABLE], node=f"node-{number}")
            await stream.accept(await stream.read(), TABLE)
        await wait_until(lambda: sum(event[0] == "ack" for event in server.observer.events) == len(streams))
        server.xds.publish(view(2, service(canary=("v2", 0))))
        assert server.xds.right_of_way.claimed
        for stream in streams:
            await stream.read()
        assert not server.xds.right_of_way.claimed
