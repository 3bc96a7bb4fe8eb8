"""Proxyless gRPC beside Envoy: the same service, the same split, without a proxy."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from controller.bootstrap import proxyless
from controller.core.model.service import Endpoint
from controller.core.model.upstream import HealthCheck, Outliers, Tls, Upstream, UpstreamLimits
from controller.xds.resources.type_urls import CDS, RDS
from tests.support.waiting import wait_until
from tests.xds.local_server import LocalServer, local_server
from tests.xds.proxyless_client import METHOD
from tests.xds.views import service, view


@contextlib.asynccontextmanager
async def model(version: str) -> AsyncIterator[int]:
    """A gRPC model server that answers with its version: its port."""

    async def predict(request: bytes, context: Any) -> bytes:
        return version.encode()

    server = grpc.aio.server()
    name, _, method = METHOD.strip("/").partition("/")
    methods = {method: grpc.unary_unary_rpc_method_handler(predict)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


class Caller:
    """The client's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def calls(self, count: int) -> dict[str, dict[str, int]]:
        """So many calls: answers by version, errors by text."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{count}\n".encode())
        async with asyncio.timeout(30):
            found: dict[str, dict[str, int]] = json.loads(await self._process.stdout.readline())
        return found


def caller(xds: LocalServer, target: str) -> contextlib.AbstractAsyncContextManager[Caller]:
    """A client that knows nothing but the xDS server and a name."""
    return calling(json.dumps(proxyless.configuration(fleet="edge", node="grpc-1", xds=xds.address)), target)


@contextlib.asynccontextmanager
async def calling(bootstrap: str, target: str) -> AsyncIterator[Caller]:
    """A client with that bootstrap, which calls that target."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.xds.proxyless_client",
        target,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "GRPC_XDS_BOOTSTRAP_CONFIG": bootstrap},
    )
    try:
        yield Caller(process)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def test_a_proxyless_client_follows_a_split_and_a_rollback() -> None:
    """`xds:///fraud`: half of the calls to a canary that is given by name, then none; it is shown like any proxy."""
    async with local_server() as xds, model("v1") as one, model("v2") as two, caller(xds, "fraud") as client:
        versions = {"v1": [f"127.0.0.1:{one}"], "v2": [f"localhost:{two}"]}

        async def show(revision: int, canary: tuple[str, int] | None = None) -> None:
            xds.xds.publish(view(revision, service(versions=versions, protocol="grpc", canary=canary)))

        await show(1)
        assert await client.calls(20) == {"answers": {"v1": 20}, "errors": {}}
        await show(2, ("v2", 5000))
        await wait_until(lambda: xds.xds.sync("fraud", 2).complete)
        split = await client.calls(400)
        assert not split["errors"]
        assert 120 < split["answers"]["v2"] < 280
        await wait_until(lambda: xds.xds.proxies()[0].state == "SYNCED")
        assert xds.xds.proxies()[0].client.startswith("gRPC")
        await show(3)
        await wait_until(lambda: xds.xds.sync("fraud", 3).complete)
        assert await client.calls(50) == {"answers": {"v1": 50}, "errors": {}}


@pytest.mark.parametrize(
    "upstream",
    [
        Upstream(outliers=Outliers(), limits=UpstreamLimits(requests=100), slow_start=10.0),
        Upstream(health=HealthCheck(kind="grpc"), balance="maglev"),
        Upstream(balance="ring_hash"),
        Upstream(tls=Tls(sni="model.internal", ca="/etc/ca.pem")),
    ],
    ids=["outliers and limits", "health and maglev", "ring_hash", "tls"],
)
async def test_a_proxyless_client_takes_what_it_knows_of_an_upstream(upstream: Upstream) -> None:
    """And rejects nothing for the rest; its own credentials say whether there is TLS."""
    async with local_server() as xds, model("v1") as one, model("v1") as two, caller(xds, "fraud") as client:
        places = [
            Endpoint(host="127.0.0.1", port=one, zone="a"),
            Endpoint(host="127.0.0.1", port=two, zone="b", weight=2),
        ]
        xds.xds.publish(view(1, service(versions={"v1": places}, protocol="grpc", upstreams={"v1": upstream})))
        assert await client.calls(50) == {"answers": {"v1": 50}, "errors": {}}
        await wait_until(lambda: xds.xds.proxies()[0].state == "SYNCED")
        assert not [line for line in xds.observer.events if line[0] == "nack"]


@pytest.mark.proves("xds-rule 39")
async def test_a_version_removed_in_one_change_fails_no_call() -> None:
    """Its cluster stays until the client has the routes without it; gRPC would fail calls at once."""
    async with local_server() as xds, model("v1") as one, model("v2") as two, caller(xds, "fraud") as client:
        both, alone = {"v1": [f"127.0.0.1:{one}"], "v2": [f"127.0.0.1:{two}"]}, {"v1": [f"127.0.0.1:{one}"]}
        for revision in range(1, 9, 2):
            split = service(versions=both, protocol="grpc", canary=("v2", 5000))
            xds.xds.publish(view(revision, split))
            assert not (await client.calls(50))["errors"]
            await wait_until(lambda: xds.xds.sync("fraud", 1).complete)
            calling = asyncio.create_task(client.calls(200))
            xds.xds.publish(view(revision + 1, service(versions=alone, protocol="grpc")))
            assert not (await calling)["errors"]
        assert {line[3] for line in xds.observer.events if line[0] == "ack"} >= {CDS, RDS}
        assert not [line for line in xds.observer.events if line[0] == "nack"]
