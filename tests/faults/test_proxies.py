"""Proxies that refuse, and proxies that say nothing: nothing goes forward over them, nothing waits for them on the way
back."""

import socket
import time

import grpc
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.pb.haldane.wire.v1.discovery_pb2 import Node
from controller.xds.resources.type_urls import CDS, EDS, RDS
from tests.faults.trial import trial
from tests.support.system import FLEET, SERVICE
from tests.support.waiting import wait_until
from tests.xds.local_server import ADS, RawClient

pytestmark = pytest.mark.envoy


@pytest.mark.proves("fault 22")
@pytest.mark.soak
async def test_a_nack_is_recorded_once_and_holds_no_other_service(processes: Children) -> None:
    """A second service wants a port that another program has: Envoy refuses its listener.

    One line of the ledger tells it, the same bytes are not sent again, the second service's canary goes nowhere. The
    first service is rolled out all the same.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with trial(processes) as made:
            text = made.system.file().replace(SERVICE, "second")
            text = text.replace(f"port: {made.system.entry}", f"port: {taken.getsockname()[1]}")
            await made.system.stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=text))
            await wait_until(lambda: made.told("proxy_refused"), 15, every=0.1)
            await made.system.stubs.rollouts.StartCanary(admin.StartCanaryRequest(service="second", canary="v2"))
            await made.start()
            await made.serves({"v2": 5000, "v1": 5000}, within=30)
            second = await made.system.stubs.rollouts.GetRollout(admin.GetRolloutRequest(service="second"))
            assert second.phase == "WARMING"
            assert (await made.kinds()).count("proxy_refused") == 1
            counters = await made.system.envoy.counters("listener_manager.lds.update_rejected")
            assert list(counters.values()) == [1]


@pytest.mark.proves("fault 23")
@pytest.mark.soak
async def test_a_proxy_that_says_nothing_holds_every_advance_and_no_rollback(processes: Children) -> None:
    """Of two proxies one never acknowledges: the canary stays at its step. Then it does harm, and the proxy that
    answers serves the old version alone within two seconds of the decision."""
    async with trial(processes) as made, grpc.aio.insecure_channel(made.system.controller.xds) as channel:
        silent = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")())
        await silent.send(node=Node(id="silent", cluster=FLEET), type_url=CDS)
        await silent.accept(await silent.read())
        await silent.send(type_url=EDS, resource_names=[f"{SERVICE}/v1", f"{SERVICE}/v2"])
        await silent.accept(await silent.read(), f"{SERVICE}/v1", f"{SERVICE}/v2")
        await silent.send(type_url=RDS, resource_names=[f"127.0.0.1:{made.system.entry}"])
        await silent.read()
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        await made.dwell(6)
        rollout = await made.system.rollout()
        assert (rollout.proxies_synced, rollout.proxies_total) == (1, 2)
        assert made.split == {"v2": 2000, "v1": 8000}
        made.spoil()
        await made.serves({"v1": 10_000}, within=20)
        decided = next(event.at for event in await made.system.events() if event.kind == "rollback")
        assert time.time() - decided < 2.0
        await made.system.reach("ROLLED_BACK", 20)
        await made.end()
