"""An Envoy that was there before: its own listener, filters and routes, and routes from Haldane beside them."""

import base64
import hashlib
import hmac
import json
from collections import Counter
from typing import Any

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.process import free_port
from tests.support.system import System, running_system
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import get
from tests.traffic.own_envoy_files import minimal, with_clusters, with_filters
from tests.xds.envoy_under_load import ServerFactory

PROTOCOLS = ["delta", pytest.param("sotw", marks=pytest.mark.soak)]
pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", PROTOCOLS)]

POLICY = """\
  steps: [50%]
  dwell: 30s
  warmup: 1s
  patience: 0s
"""
ROUTES = "route_config: haldane\n"


async def test_a_canary_on_a_listener_of_ones_own(processes: Children, protocol: str) -> None:
    """It serves, has a canary, and is rolled back for responses that break off after a 200, which nothing knows of but
    the loggers of its own listener."""
    entry = free_port()
    async with (
        running_system(
            processes,
            policy=POLICY,
            protocol=protocol,
            change=lambda text: minimal(text, protocol, entry),
            more=ROUTES,
            entry=entry,
        ) as system,
        steady(entry, 100) as load,
    ):
        await wait_until(lambda: len(load.results) > 50)
        assert (await system.haldane("get", "fraud-scorer")).out.count("route configuration haldane")
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 100)
        assert Counter(answer.version for answer in load.results[since:] if answer.ok).keys() == {"v1", "v2"}
        assert all(answer.ok for answer in load.results)
        system.models["v2"].behaviour = Behaviour(body="chunked", cut=0.5)
        told = await system.reach("ROLLED_BACK")
        assert dict(told.weights) == {"v1": 10_000, "v2": 0}
        assert {proxy.blind for proxy in (await proxies(system))} == {""}


async def test_filters_and_routes_of_ones_own(processes: Children, protocol: str) -> None:
    """The token is asked for by the filter of the file, whosever the routes are; a host has the routes of one or of the
    other, and the response says which version it is of."""
    entry = free_port()
    async with running_system(
        processes,
        protocol=protocol,
        change=lambda text: with_filters(text, protocol, entry),
        more=ROUTES + "hosts: [models.example]\nprefix: /v2\n",
        entry=entry,
        answering=False,
    ) as system:
        token = {"authorization": f"Bearer {jwt()}"}

        async def status(host: str, path: str, **headers: str) -> int:
            return (await get(entry, path, headers={"host": host, **headers})).status

        async def serves() -> bool:
            return await status("models.example", "/v2/a", **token) == 200

        await wait_until(serves)
        assert await status("models.example", "/v2/a") == 401
        assert await status("models.example", "/other", **token) == 404
        assert (await get(entry, "/", headers={"host": "shop.example"})).body == b"ours"
        assert await status("shop.example", "/v2") == 401
        headers = {"host": "models.example", **token}
        assert (await get(entry, "/v2", headers=headers)).version == "v1"
        assert (await system.rollout()).proxies_total == 1


async def test_a_canary_on_clusters_of_ones_own(
    processes: Children, protocol: str, model_server: ServerFactory
) -> None:
    """Haldane moves weights alone. Each version is counted by the name of its cluster: requests, latencies, endpoints,
    and the responses that break off, for which the canary is rolled back."""
    entry, models = free_port(), {version: await model_server(version) for version in ("v1", "v2")}
    ports = {version: model.port for version, model in models.items()}
    async with (
        running_system(
            processes,
            policy=POLICY,
            protocol=protocol,
            change=lambda text: with_clusters(text, protocol, entry, ports),
            more=ROUTES + "clusters: own\n",
            entry=entry,
        ) as system,
        steady(entry, 100) as load,
    ):
        await wait_until(lambda: len(load.results) > 50)
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 200)
        told = await system.rollout()
        assert all(answer.ok for answer in load.results)
        assert {answer.version for answer in load.results[since:]} == {"v1", "v2"}
        assert all(told.traffic[version].requests and told.traffic[version].p50_ms for version in ("v1", "v2"))
        assert {version: health.total for version, health in told.endpoints.items()} == {"v1": 1, "v2": 1}
        assert (await get(entry)).version in ("v1", "v2")
        models["v2"].behaviour = Behaviour(body="chunked", cut=0.5)
        told = await system.reach("ROLLED_BACK")
        assert told.traffic["v2"].broken


async def test_a_cluster_that_envoy_does_not_have_gets_no_weight(
    processes: Children, protocol: str, model_server: ServerFactory
) -> None:
    """Envoy accepts the route all the same, and would respond with 503."""
    entry, only = free_port(), {"v1": (await model_server("v1")).port}
    async with running_system(
        processes,
        protocol=protocol,
        change=lambda text: with_clusters(text, protocol, entry, only),
        more=ROUTES + "clusters: own\n",
        entry=entry,
    ) as system:
        await system.start()

        async def waits() -> bool:
            return "no healthy endpoint of v2" in (await system.rollout()).blocker.text

        await wait_until(waits)
        assert dict((await system.rollout()).weights) == {"v1": 10_000, "v2": 0}


async def proxies(system: System) -> list[Any]:
    """The proxies as the controller knows them."""
    from controller.pb.haldane.admin.v1 import admin_pb2 as admin

    return list((await system.stubs.fleet.ListProxies(admin.ListProxiesRequest())).proxies)


def jwt() -> str:
    """A token of the example's key."""
    header, claims = {"alg": "HS256", "typ": "JWT", "kid": "1"}, {"iss": "users.example", "exp": 4_000_000_000}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    key = b"0123456789abcdef0123456789abcdef"
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def encoded(data: bytes) -> str:
    """Base64 as in a token."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
