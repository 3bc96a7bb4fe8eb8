"""All that a service can ask for, at once, changed under load while its canary's share moves: no request fails."""

import json
import random
from typing import Any

import pytest

from controller.core.model.envoy_fields import EnvoyFields
from controller.core.model.route_rules import Condition, MatchRule, Mirror, RequestHeaders, Retries, Sticky
from controller.core.model.service import Listen
from controller.core.model.upstream import HealthCheck, Outliers, Upstream
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import get
from tests.xds.envoy_under_load import EnvoyUnderLoad, ServerFactory, envoy_under_load

PROTOCOLS = ["delta", pytest.param("sotw", marks=pytest.mark.soak)]
pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", PROTOCOLS)]

TESTER = Condition(source="header", name="x-tester", value="yes")
ALL: dict[str, Any] = {
    "match": (MatchRule(conditions=(TESTER,), to="canary"),),
    "sticky": Sticky(source="header", name="x-user-id"),
    "shield": True,
    "mirror": Mirror(to="v3", share=5000),
    "streaming": True,
    "idle_timeout": 30.0,
    "retry": Retries(attempts=2),
    "request_headers": RequestHeaders(add=(("x-tier", "gold"),)),
}
CHANGES: list[dict[str, Any]] = [
    {"shield": False},
    {"sticky": Sticky(source="cookie", name="lane", ttl=60.0)},
    {"mirror": None},
    {"match": ()},
    {"streaming": False, "idle_timeout": None},
    {"retry": Retries(attempts=0)},
    {"request_headers": RequestHeaders(remove=("x-debug",)), "version_header": True},
    {"timeout": 3.0},
    {
        "envoy": EnvoyFields(
            cluster=json.dumps({"upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30}}}),
            route=json.dumps({"route": {"host_rewrite_literal": "model.internal"}}),
        )
    },
    {"envoy": EnvoyFields(route=json.dumps({"response_headers_to_add": [{"header": {"key": "a", "value": "b"}}]}))},
]
STEPS = (0, 500, 1000, 2500, 5000, 5000, 9500, 9500, 9500, 0)


def state(playing: EnvoyUnderLoad, canary: int, **changes: Any) -> Any:
    """The service with all of it, but for what is changed."""
    places = {model.version: [model.address] for model in playing.models}
    made = playing.fraud(canary, versions=places, **{**ALL, **changes})
    checked = Upstream(health=HealthCheck(kind="tcp", every=0.5), outliers=Outliers())
    versions = tuple(v.model_copy(update={"upstream": checked}) for v in made.spec.versions)
    return made.model_copy(update={"spec": made.spec.model_copy(update={"versions": versions})})


async def change_all_of_it(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """From nothing to everything, through the steps of a rollout, each of them taken away and given back on the way."""
    for canary, change in zip(STEPS, CHANGES, strict=True):
        for changes in ({}, change, {}):
            await playing.publish_and_sync(state(playing, canary, **changes))
            await more_results(load)
    await playing.publish_and_sync(playing.fraud())


async def more_results(load: LoadGenerator) -> None:
    """Some requests are under this configuration."""
    seen = len(load.results)
    await wait_until(lambda: len(load.results) > seen + 20)


async def test_all_of_it_changes_under_load(processes: Children, model_server: ServerFactory, protocol: str) -> None:
    """One round."""
    async with envoy_under_load(processes, model_server, protocol) as (playing, load):
        await change_all_of_it(playing, load)


async def test_the_connection_manager_changes_under_load(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """Envoy's own fields of it come, change and go while a rollout runs: each time Envoy replaces its listener."""
    async with envoy_under_load(processes, model_server, protocol) as (playing, load):
        for canary, manager in ((500, ""), (1000, {"server_name": "a"}), (2500, {"server_name": "b"}), (5000, "")):
            own = json.dumps(manager) if manager else ""
            listen = Listen(port=playing.port, http_connection_manager=own)
            await playing.publish_and_sync(state(playing, canary, listen=listen))
            await more_results(load)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_all_of_it_changes_for_minutes(processes: Children, model_server: ServerFactory, protocol: str) -> None:
    """Ten rounds, in an order of the changes that is drawn, with a restart of the xDS server in each."""
    dice = random.Random(protocol)
    async with envoy_under_load(processes, model_server, protocol, seconds=850.0) as (playing, load):
        for _ in range(10):
            for canary in STEPS:
                given = {**dice.choice(CHANGES), **dice.choice(CHANGES)}
                await playing.publish_and_sync(state(playing, canary, **given))
                await more_results(load)
            await playing.restart()
            await playing.in_sync()
            await change_all_of_it(playing, load)


async def test_what_meets_what(processes: Children, model_server: ServerFactory, protocol: str) -> None:
    """A user of the canary is shielded and keeps it; a tester is neither shielded nor judged; copies are of all."""
    async with envoy_under_load(processes, model_server, protocol, rate=20.0) as (playing, _):
        v1, v2, v3 = playing.models
        await playing.publish_and_sync(state(playing, 5000))
        users = {}
        for number in range(30):
            user = {"x-user-id": f"u{number}"}
            users[number] = (await get(playing.port, headers=user)).version
            assert (await get(playing.port, headers=user)).version == users[number]
        assert set(users.values()) == {"v1", "v2"}
        await wait_until(lambda: v3.seen > 5)
        v2.behaviour.errors = 1.0
        for number in users:
            shielded = await get(playing.port, headers={"x-user-id": f"u{number}"})
            assert (shielded.status, shielded.version) == (200, "v1")
        assert (await get(playing.port, headers={"x-tester": "yes"})).status == 500
        v2.behaviour.errors = 0.0
        v3.behaviour.errors = 1.0  # nobody sees that
        for number, version in users.items():
            again = await get(playing.port, headers={"x-user-id": f"u{number}"})
            assert (again.status, again.version) == (200, version)
        assert v1.seen > 0
