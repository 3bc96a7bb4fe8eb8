"""A connection lives for `max_connection_age`: whoever may come back does so unnoticed, and all others are out."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import yaml

from controller.bootstrap import render
from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import AccessStub, CatalogStub, FleetStub, LedgerStub
from tests.builders import service_file
from tests.support.authority import Authority
from tests.support.envoy import EnvoyProcess
from tests.support.load import steady
from tests.support.model import ModelServer
from tests.support.process import free_port
from tests.support.secured import Identity, Secured, secured_controller
from tests.support.waiting import answers, wait_until

AGE = 4
"""Seconds: long enough for what a test does before the first connection ends, also on a slow machine."""
WITHIN = 60.0
"""Seconds for what follows from it."""


@pytest.fixture
async def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Secured]:
    """A controller whose connections live shortly, and have a second to move their streams."""
    monkeypatch.setattr("controller.assembly.doors.AGE_GRACE_MS", 1000)
    async with secured_controller(tmp_path, age=AGE) as made:
        yield made


def by_tls(bootstrap: str, secured: Secured) -> str:
    """The bootstrap of an Envoy that shows the certificate of a proxy of the fleet `edge`."""
    proxy = secured.identities["a proxy"].certificate
    assert proxy
    tree = yaml.safe_load(bootstrap)
    (cluster,) = [each for each in tree["static_resources"]["clusters"] if each["name"] == "haldane"]
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": proxy.certificate.decode()},
                    "private_key": {"inline_string": proxy.key.decode()},
                }
            ],
            "validation_context": {"trusted_ca": {"inline_string": secured.authority.certificate.decode()}},
        },
    }
    cluster["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return yaml.safe_dump(tree)


async def test_a_real_envoy_comes_back_unnoticed_and_a_revoked_one_is_out(
    secured: Secured, processes: Children
) -> None:
    """Nothing is sent again and no request fails; without its CA it stays out, and serves on."""
    entry, model = free_port(), ModelServer("v1")
    admin = secured.identities["admin by token"]
    bootstrap = render(fleet="edge", xds=secured.settings.xds_listen, envoy_admin=f"127.0.0.1:{free_port()}")
    envoy = EnvoyProcess(processes, by_tls(bootstrap, secured))
    async with AsyncExitStack() as stack:
        await model.start()
        stack.push_async_callback(model.crash)
        channel = await stack.enter_async_context(secured.channel(admin))
        catalog: Any = CatalogStub(channel)  # type: ignore[no-untyped-call]
        fleet: Any = FleetStub(channel)  # type: ignore[no-untyped-call]
        text = service_file("scorer", entry, endpoints={"v1": model.address}, address="127.0.0.1")
        await catalog.ApplyService(pb.ApplyServiceRequest(yaml=text), metadata=admin.metadata)

        async def states() -> list[str]:
            request = pb.ListProxiesRequest()
            listed = await fleet.ListProxies(request, metadata=admin.metadata, wait_for_ready=True)
            return [proxy.state for proxy in listed.proxies]

        await envoy.start()
        await wait_until(lambda: answers(f"http://127.0.0.1:{entry}/"))
        load = await stack.enter_async_context(steady(entry, 50))
        before = await counts(envoy)

        async def reconnected() -> bool:
            return (await counts(envoy))["connections"] > before["connections"]

        await wait_until(reconnected, within=WITHIN)
        await wait_until(lambda: _equals(states, ["SYNCED"]))
        after = await counts(envoy)
        assert {**after, "connections": 0} == {**before, "connections": 0}
        (secured.folder / "ca.crt").write_bytes(Authority().certificate)
        await wait_until(lambda: _equals(states, []), within=WITHIN)
        assert await answers(f"http://127.0.0.1:{entry}/")
        assert load.results
        assert not [result for result in load.results if not result.ok]


async def counts(envoy: EnvoyProcess) -> dict[str, int]:
    """How often Envoy has connected to its controller, and how much configuration it has taken."""
    names = {
        "connections": "cluster.haldane.upstream_cx_total",
        "clusters": "cluster_manager.cds.update_success",
        "listeners": "listener_manager.lds.update_success",
        "changed": "cluster_manager.cluster_modified",
        "added": "listener_manager.listener_modified",
    }
    found = {name: await envoy.counters(counter) for name, counter in names.items()}
    return {name: found[name][counter] for name, counter in names.items()}


async def _equals(states: Any, wanted: list[str]) -> bool:
    return bool(await states() == wanted)


async def test_a_revoked_caller_is_out_at_every_door(secured: Secured) -> None:
    """Watches end and kept connections close at that age; through a socket one may connect again."""
    revoked, own = secured.identities["admin by certificate"], secured.identities["own socket"]
    async with secured.channel(revoked) as channel, secured.channel(own) as local:
        started, opened = time.monotonic(), asyncio.Semaphore(0)
        access, local_access = AccessStub(channel), AccessStub(local)  # type: ignore[no-untyped-call]
        for each in (access, local_access):
            await each.WhoAmI(pb.WhoAmIRequest())
        ends = [asyncio.create_task(end_of_watch(each)) for each in (channel, local)]
        kept = [asyncio.create_task(end_of_connection(secured, each, opened)) for each in (revoked, own)]
        for _ in kept:
            await opened.acquire()
        (secured.folder / "ca.crt").write_bytes(Authority().certificate)
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*ends)
            assert [await task for task in kept] == [0, 200]
        assert time.monotonic() - started > AGE / 2
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await access.WhoAmI(pb.WhoAmIRequest(), timeout=10)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (await local_access.WhoAmI(pb.WhoAmIRequest(), timeout=10)).verified_by == "socket"


async def end_of_watch(channel: grpc.aio.Channel) -> None:
    """Watch the ledger until the controller ends it."""
    ledger: Any = LedgerStub(channel)  # type: ignore[no-untyped-call]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for _ in ledger.WatchEvents(pb.WatchEventsRequest()):
            pass
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def end_of_connection(secured: Secured, identity: Identity, opened: asyncio.Semaphore) -> int:
    """Send requests over one connection, which is `opened`, until it ends: the status of the first one over the next,
    or 0 if there is none."""
    connections, trace = 0, aiohttp.TraceConfig()

    async def count(*_: object) -> None:
        nonlocal connections
        connections += 1
        opened.release()

    trace.on_connection_create_end.append(count)
    async with secured.http(identity, trace) as http:
        while True:
            try:
                async with http.get("/freeze") as response:
                    if connections > 1:
                        return response.status
            except aiohttp.ClientError:
                return 0
            await asyncio.sleep(0.1)
