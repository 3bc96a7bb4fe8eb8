"""Faults around a running controller: a disk that is full, hangs or lies, an internal error, a polite end."""

import asyncio
import contextlib
import signal

import aiohttp
import grpc
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.pb.haldane.wire.v1.discovery_pb2 import Node
from controller.xds.limits import DEFAULT
from controller.xds.resources.type_urls import CDS
from tests.builders import service_file
from tests.faults.trial import Trial, armed, trial
from tests.support.controller import ControllerProcess
from tests.support.system import FLEET, SERVICE
from tests.support.waiting import answers, wait_until
from tests.xds.local_server import ADS, RawClient

FILE = service_file()


@pytest.mark.proves("fault 34", "track-record 1")
async def test_a_fault_of_ours_in_publishing_ends_nothing_and_is_made_good(processes: Children) -> None:
    """Publishing the first service fails once: the ports stay open, and a moment later the proxies are served it."""
    controller = ControllerProcess(processes, armed("push:before=raise@2"))
    await controller.start()
    async with controller.stubs() as stubs, grpc.aio.insecure_channel(controller.xds) as channel:
        await stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=FILE))
        client = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")())
        await client.send(node="envoy-1", type_url=CDS)
        clusters = await client.read()
        if not clusters.resources:
            await client.accept(clusters)
            clusters = await client.read()
        assert len(clusters.resources) == 2
        assert (await stubs.catalog.ListServices(admin.ListServicesRequest())).services[0].name == "scorer"
    assert "publish_failed" in controller.output


@pytest.mark.proves("fault 35")
async def test_at_sigterm_the_controller_ends_every_open_stream_with_a_status(processes: Children) -> None:
    """SIGTERM with a proxy and a watcher connected: both hear UNAVAILABLE, the exit code is 0, all within seconds."""
    controller = ControllerProcess(processes)
    await controller.start()
    async with controller.stubs() as stubs, grpc.aio.insecure_channel(controller.xds) as channel:
        await stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=FILE))
        proxy = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")())
        await proxy.send(node="envoy-1", type_url=CDS)
        await proxy.read()
        watching = stubs.rollouts.WatchRollout(admin.WatchRolloutRequest(service="scorer"))
        await watching.read()
        controller.send(signal.SIGTERM)
        assert (await proxy.end())[0] is grpc.StatusCode.UNAVAILABLE
        assert await watching.code() is grpc.StatusCode.UNAVAILABLE
        assert await wait_until(lambda: controller.child.process.poll() == 0)


@pytest.mark.proves("fault 15")
@pytest.mark.envoy
@pytest.mark.soak
async def test_a_full_disk_stops_advances_and_no_rollback_and_no_freeze(processes: Children) -> None:
    """In the middle of a rollout there is no space on the disk any more, and the canary begins to do harm.

    It is rolled back and a freeze is set; metrics and readiness say that not everything can be stored. With space
    again, everything can.
    """
    async with trial(processes) as made:
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        made.fill_disk()
        await wait_until(lambda: metric(made, "haldane_store_up 0.0"))
        assert not await answers(f"http://{made.system.controller.http}/readyz")
        made.spoil()
        await made.serves({"v1": 10_000})
        assert await freeze_by_http(made) == 200
        assert await made.frozen() == ["incident 42"]
        assert await metric(made, "haldane_store_up 0.0")
        made.empty_disk()
        await wait_until(lambda: metric(made, "haldane_store_up 1.0"))
        assert (await made.kinds()).count("rollback") == 1
        await made.end()


@pytest.mark.proves("fault 11", "track-record 36")
@pytest.mark.envoy
@pytest.mark.soak
async def test_a_disk_that_hangs_holds_up_decisions_and_no_proxy(processes: Children) -> None:
    """The disk takes nothing: a proxy that comes meanwhile is served, a freeze and a forced rollback are refused and
    not promised, the metrics say that the store is down. Once the disk is back, nothing of what was refused has
    happened, and the rollout goes on."""
    async with trial(processes, fault="commit:before/rollout_warm=sleep:20") as made:
        await made.start()
        await wait_until(lambda: hangs(made), 20)
        async with grpc.aio.insecure_channel(made.system.controller.xds) as channel:
            client = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")())
            await client.send(node=Node(id="envoy-2", cluster=FLEET), type_url=CDS)
            assert len((await client.read(within=2.0)).resources) == 2
            assert await freeze_by_http(made) == 503
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await made.system.stubs.rollouts.Rollback(
                    admin.RollbackRequest(service=SERVICE, force=True, reason="now")
                )
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            await wait_until(lambda: metric(made, "haldane_store_up 0.0"))
            assert not await answers(f"http://{made.system.controller.http}/readyz")
            assert await hangs(made), "the disk took something meanwhile: nothing is proved"
        await made.serves({"v2": 5000, "v1": 5000}, within=40)
        await wait_until(lambda: metric(made, "haldane_store_up 1.0"))
        kinds = await made.kinds()
        assert not {"freeze_set", "rollback"} & set(kinds)
        await made.end()


@pytest.mark.proves("fault 13", "fault 16")
@pytest.mark.envoy
@pytest.mark.soak
async def test_a_corrupt_state_file_is_refused_and_kept_and_traffic_goes_on(processes: Children) -> None:
    """The controller does not start, says what is wrong and how to restore, and leaves the file as it is; Envoy keeps
    its split. With the file restored the rollout goes on."""
    async with trial(processes) as made:
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        controller = made.system.controller
        await asyncio.to_thread(controller.stop)  # which brings everything into the one file
        whole = controller.store.read_bytes()
        controller.store.write_bytes(b"\xff" * 4096 + whole[4096:])
        await made.launch()
        await wait_until(lambda: not controller.running, 30)
        assert controller.child.process.returncode == 1
        told = controller.output.splitlines()[-1]
        assert "cannot_start" in told
        assert "corrupt" in told
        assert "To restore" in told
        assert controller.store.read_bytes() == b"\xff" * 4096 + whole[4096:]
        assert made.split == {"v2": 2000, "v1": 8000}
        controller.store.write_bytes(whole)
        await made.live()
        await made.serves({"v2": 5000, "v1": 5000}, within=20)
        await made.end()


async def hangs(made: Trial) -> bool:
    """Whether nothing can be read from the store."""
    try:
        async with asyncio.timeout(0.5):
            await made.kinds()
    except TimeoutError:
        return True
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


async def freeze_by_http(made: Trial) -> int:
    """Ask for a freeze as with curl: the status of the answer."""
    body = {"service": None, "reason": "incident 42", "ttl": None}
    url = f"http://{made.system.controller.http}/freeze"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status


async def metric(made: Trial, line: str) -> bool:
    """Whether the metrics have that line."""
    url = f"http://{made.system.controller.http}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return line in (await response.text()).splitlines()


@pytest.mark.proves("bad-input 13", "fault 25", "track-record 2")
@pytest.mark.soak
async def test_streams_beyond_the_limit_are_refused_and_the_others_are_served(processes: Children) -> None:
    """One peer opens streams under ever new names until there are no more: each one too many is refused by name, a
    proxy that was there is served on, and once they are gone there is room again."""
    controller = ControllerProcess(processes)
    await controller.start()
    async with controller.stubs() as stubs, grpc.aio.insecure_channel(controller.xds) as channel:
        proxy = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")())
        await proxy.send(node="envoy-1", type_url=CDS)
        await proxy.accept(await proxy.read())
        async with grpc.aio.insecure_channel(controller.xds, [("grpc.use_local_subchannel_pool", 1)]) as crowd:
            admitted: list[RawClient] = []
            while not (refused := await open_streams(crowd, admitted)):
                assert len(admitted) <= DEFAULT.streams
            assert set(refused) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            assert len(admitted) > DEFAULT.streams - BATCH
            await stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=FILE))
            assert len((await proxy.read()).resources) == 2
        again = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")())
        await again.send(node="envoy-2", type_url=CDS)
        assert len((await again.read()).resources) == 2


BATCH = 128


async def open_streams(crowd: grpc.aio.Channel, admitted: list[RawClient]) -> list[grpc.StatusCode]:
    """Open some more streams: how those ended that were refused."""
    clients = [RawClient(crowd.stream_stream(ADS + "StreamAggregatedResources")()) for _ in range(BATCH)]
    for number, client in enumerate(clients, len(admitted)):
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await client.send(node=f"crowd-{number}", type_url=CDS)
    refused = []
    for client in clients:
        try:
            answered = await client.call.read() is not grpc.aio.EOF  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError:
            answered = False
        if answered:
            admitted.append(client)
        else:
            refused.append(await client.call.code())
    return refused
