"""Envoy's own fields in a service file, by a real Envoy."""

import json

import aiohttp
import pytest
from aiohttp import web

from controller.core.model.envoy_fields import EnvoyFields
from controller.core.model.service import Listen
from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import Children
from controller.ports.fleet import ConfigState
from controller.xds.resources.type_urls import CDS, LDS, RDS
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import envoy_in_sync, get, model
from tests.xds.envoy_under_load import EnvoyUnderLoad
from tests.xds.views import service

pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", ["sotw", "delta"])]

CORS = "type.googleapis.com/envoy.extensions.filters.http.cors.v3"
SOURCE = {"upstream_bind_config": {"source_address": {"address": "127.0.0.7", "port_value": 0}}}
NO_ADDRESS = {"upstream_bind_config": {"source_address": {"address": "no address", "port_value": 0}}}
ROUTE = {
    "route": {"host_rewrite_literal": "model.internal"},
    "typed_per_filter_config": {
        "envoy.filters.http.cors": {
            "@type": f"{CORS}.CorsPolicy",
            "allow_origin_string_match": [{"exact": "https://shop.example"}],
        }
    },
}
MANAGER = {
    "http_filters": [{"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{CORS}.Cors"}}],
    "server_name": "models",
}


async def asked(request: web.Request) -> web.Response:
    """Who asked, and for which host."""
    return web.json_response({"from": request.remote, "host": request.host})


async def test_fields_of_envoys_are_beside_those_of_haldane(processes: Children, protocol: str) -> None:
    """Of clusters, routes and the connection manager, whose filters come before the router; and they go away again."""
    fields = EnvoyFields(cluster=json.dumps(SOURCE), route=json.dumps(ROUTE))
    async with model(asked) as one, model(asked) as two:
        versions = {"v1": [one], "v2": [two]}

        def state(playing: EnvoyUnderLoad, added: EnvoyFields, canary: int) -> ServiceState:
            listen = Listen(port=playing.port, http_connection_manager=json.dumps(MANAGER))
            return playing.fraud(versions=versions, listen=listen, envoy=added, canary=canary)

        async with envoy_in_sync(processes, protocol, lambda e: state(e, fields, 10_000)) as envoy:
            origin = {"origin": "https://shop.example"}
            reply = await get(envoy.port, headers=origin)
            assert (reply.status, reply.version) == (200, "v2")
            assert json.loads(reply.body) == {"from": "127.0.0.7", "host": "model.internal"}
            assert reply.headers["access-control-allow-origin"] == "https://shop.example"
            assert reply.headers["server"] == "models"
            await envoy.publish_and_sync(state(envoy, EnvoyFields(), 0))
            reply = await get(envoy.port, headers=origin)
            assert (reply.version, json.loads(reply.body)["from"]) == ("v1", "127.0.0.1")
            assert "access-control-allow-origin" not in reply.headers


BOGUS = {
    CDS: {"envoy": EnvoyFields(cluster=json.dumps(NO_ADDRESS))},
    RDS: {
        "envoy": EnvoyFields(
            route=json.dumps(
                {"route": {"prefix_rewrite": "/a", "regex_rewrite": {"pattern": {"regex": "x"}, "substitution": "y"}}}
            )
        )
    },
    LDS: {"http_connection_manager": json.dumps({"xff_num_trusted_hops": 1, "max_request_headers_kb": 0})},
}


@pytest.mark.parametrize("type_url", [CDS, RDS, LDS], ids=["cluster", "route", "listener"])
async def test_what_envoy_nacks_harms_no_neighbour(processes: Children, protocol: str, type_url: str) -> None:
    """The fields have their types, and Envoy rejects their values: as it would what it does not know. The service keeps
    what it had; another, of the same port unless the listener is what is wrong, moves its weights."""
    changes = dict(BOGUS[type_url])
    async with model() as one, model() as two:
        versions = {"v1": [one], "v2": [two]}
        async with envoy_in_sync(processes, protocol, lambda e: e.fraud(versions=versions, hosts=("a",))) as envoy:
            port = free_port() if type_url == LDS else envoy.port
            if manager := changes.pop("http_connection_manager", None):
                changes["listen"] = Listen(port=envoy.port, http_connection_manager=manager)
            bad = envoy.fraud(versions=versions, hosts=("a",), **changes)
            for canary in (0, 10_000):
                rollout = ("v2", canary) if canary else None
                good = service("other", port=port, versions=versions, hosts=("b",), canary=rollout)
                envoy.publish(bad, good)
                wanted = "v2" if canary else "v1"

                async def serves(wanted: str = wanted) -> bool:
                    with_connection = get(port, headers={"host": "b"})
                    try:
                        return (await with_connection).version == wanted
                    except aiohttp.ClientError:
                        return False

                await wait_until(serves)
            assert (await get(envoy.port, headers={"host": "a"})).version == "v1"
            (proxy,) = envoy.xds.proxies()
            assert {each.type_url for each in proxy.types if each.state is ConfigState.ERROR} == {type_url}
