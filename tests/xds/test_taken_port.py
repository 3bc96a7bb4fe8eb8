"""A listener whose port another program has: served as soon as the port is free, and nobody else waits for it."""

import socket
from collections.abc import Awaitable, Callable

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.model import ModelServer
from tests.support.process import free_port
from tests.support.waiting import answers, wait_until
from tests.xds.envoy_under_load import EnvoyUnderLoad
from tests.xds.views import service

pytestmark = pytest.mark.envoy


@pytest.mark.proves("xds-rule 11")
@pytest.mark.parametrize("protocol", ["delta", "sotw"])
async def test_a_listener_that_could_not_be_bound_is_tried_again(
    processes: Children, model_server: Callable[[str], Awaitable[ModelServer]], protocol: str
) -> None:
    """Its neighbour is served meanwhile. The content does not change, and nobody restarts anything."""
    models = [await model_server("v1")]
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    taken, other = holder.getsockname()[1], free_port()
    versions = {"v1": [models[0].address]}
    async with EnvoyUnderLoad(models, free_port()) as playing:
        playing.publish(service("other", versions=versions, port=other))
        await playing.open()
        await playing.envoy(processes, protocol)
        playing.publish(
            service("other", versions=versions, port=other), service("blocked", versions=versions, port=taken)
        )
        await wait_until(lambda: playing.xds.proxies()[0].state == "ERROR")
        assert await answers(f"http://127.0.0.1:{other}/")
        holder.close()
        await wait_until(lambda: answers(f"http://127.0.0.1:{taken}/"), 30.0)
        await playing.in_sync()
        assert await answers(f"http://127.0.0.1:{other}/")
