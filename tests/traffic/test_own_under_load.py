"""An Envoy's own listener, and clusters of its own, under load while a canary's share moves: no request fails, whatever
key of the service changes."""

import json
from typing import Any

import pytest

from controller.core.model.envoy_fields import EnvoyFields
from controller.core.model.route_rules import Condition, MatchRule, Mirror, RequestHeaders, Retries, Sticky
from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import Children
from tests.traffic.own_envoy_files import minimal, with_clusters
from tests.traffic.test_together import more_results
from tests.xds.envoy_under_load import EnvoyUnderLoad, ServerFactory, envoy_under_load, versions_answer

PROTOCOLS = ["delta", pytest.param("sotw", marks=pytest.mark.soak)]
pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", PROTOCOLS)]

TESTERS = MatchRule(conditions=(Condition(source="header", name="x-tester", value="yes"),), to="canary")
OF_ROUTES: list[dict[str, Any]] = [
    {"sticky": Sticky(source="header", name="x-user-id")},
    {"sticky": Sticky(source="cookie", name="lane", ttl=60.0)},
    {"retry": Retries(attempts=3)},
    {"streaming": True, "idle_timeout": 30.0, "max_duration": 60.0},
    {"timeout": 3.0, "upgrades": ("websocket",)},
    {"request_headers": RequestHeaders(add=(("x-tier", "gold"),), remove=("x-debug",))},
    {"envoy": EnvoyFields(route=json.dumps({"route": {"host_rewrite_literal": "model.internal"}}))},
]
"""What a service may have with clusters of its own."""
OF_CLUSTERS: list[dict[str, Any]] = [
    {"match": (TESTERS,)},
    {"mirror": Mirror(to="v3", share=5000)},
    {"shield": True},
]
"""What needs clusters of Haldane's."""


def own_routes(playing: EnvoyUnderLoad, canary: int = 0, **changes: Any) -> ServiceState:
    """The service in a route configuration that the file names."""
    versions = {model.version: [model.address] for model in playing.models}
    return playing.fraud(canary, versions=versions, route_config="haldane", **changes)


def own_clusters(playing: EnvoyUnderLoad, canary: int = 0, **changes: Any) -> ServiceState:
    """The same, with the versions in clusters of the file."""
    made = own_routes(playing, canary, own_clusters=True, **changes)
    named = tuple(
        each.model_copy(update={"endpoints": (), "cluster": f"model-{each.name}"}) for each in made.spec.versions
    )
    return made.model_copy(update={"spec": made.spec.model_copy(update={"versions": named})})


async def test_a_listener_of_ones_own(processes: Children, model_server: ServerFactory, protocol: str) -> None:
    """Every key that routes have, and the clusters that some of them need, come and go at each step."""
    async with envoy_under_load(
        processes,
        model_server,
        protocol,
        first=own_routes,
        change=lambda playing, bootstrap: minimal(bootstrap, protocol, playing.port),
    ) as (playing, load):
        for canary in (500, 5000):
            for changes in OF_ROUTES + OF_CLUSTERS:
                await playing.publish_and_sync(own_routes(playing, canary, **changes))
                await more_results(load)
        await versions_answer(load, "v1", "v2")
        await playing.publish_and_sync(own_routes(playing))


async def test_clusters_of_ones_own(processes: Children, model_server: ServerFactory, protocol: str) -> None:
    """The same for what routes alone have; and versions move from Haldane's clusters to those of the file, and back."""

    def both(playing: EnvoyUnderLoad, bootstrap: str) -> str:
        ports = {model.version: model.port for model in playing.models}
        return with_clusters(bootstrap, protocol, playing.port, ports, cds=True)

    async with envoy_under_load(processes, model_server, protocol, first=own_clusters, change=both) as (playing, load):
        for canary in (500, 5000):
            for changes in OF_ROUTES:
                await playing.publish_and_sync(own_clusters(playing, canary, **changes))
                await more_results(load)
        await versions_answer(load, "v1", "v2")
        for made in (own_routes, own_clusters):
            await playing.publish_and_sync(made(playing, 5000))
            await more_results(load)
        await playing.publish_and_sync(own_clusters(playing))
