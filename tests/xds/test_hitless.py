"""Not one request fails while the world changes: a real Envoy under load, SotW and Delta."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import pytest

from controller.core.model.endpoint_source import FileSource
from controller.core.model.upstream import HealthCheck, Outliers, Upstream, UpstreamLimits
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from tests.faults.trial import trial
from tests.xds.envoy_under_load import EnvoyUnderLoad, ServerFactory, envoy_under_load, versions_answer
from tests.xds.views import service

pytestmark = pytest.mark.envoy

SOURCE = FileSource(path="/v1")
Scenario = Callable[[EnvoyUnderLoad, LoadGenerator], Awaitable[None]]


async def flip(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """All weight to the canary, and back."""
    await playing.publish_and_sync(playing.fraud(canary=10_000))
    await versions_answer(load, "v2")
    await playing.publish_and_sync(playing.fraud())
    await versions_answer(load, "v1")


async def add_routed_and_remove_routed(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """A version is added and routed to in one change; then taken away and routed past in one change."""
    alone = {"v1": [playing.models[0].address]}
    await playing.publish_and_sync(playing.fraud(versions=alone))
    await playing.publish_and_sync(playing.fraud(canary=5000))
    await versions_answer(load, "v1", "v2")
    await playing.publish_and_sync(playing.fraud(versions=alone))
    await versions_answer(load, "v1")


async def change_a_cluster(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """The cluster that carries the traffic changes its kind in place, and back."""
    by_name = {"v1": [f"localhost:{playing.models[0].port}"], "v2": [playing.models[1].address]}
    await playing.publish_and_sync(playing.fraud(versions=by_name))
    await playing.publish_and_sync(playing.fraud())


async def replace_endpoints(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """The version that carries the traffic moves to another server, and back."""
    moved = {"v1": [playing.models[2].address], "v2": [playing.models[1].address]}
    await playing.publish_and_sync(playing.fraud(versions=moved))
    await versions_answer(load, "v3")
    await playing.publish_and_sync(playing.fraud())
    await versions_answer(load, "v1")


async def change_how_it_is_reached(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """With half of the traffic at the canary: health checks, ejection and limits come, change, and go."""
    health = HealthCheck(kind="http", path="/health", every=0.2)
    guarded = Upstream(health=health, outliers=Outliers(), limits=UpstreamLimits(requests=10_000), slow_start=1.0)
    other = Upstream(health=health.model_copy(update={"every": 0.5}), balance="round_robin", idle_timeout=1.0)
    for upstream in (Upstream(), guarded, other, Upstream()):
        await playing.publish_and_sync(playing.fraud(canary=5000, upstreams={"v1": upstream, "v2": upstream}))
        await versions_answer(load, "v1", "v2")
    await playing.publish_and_sync(playing.fraud())


async def share_the_port(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """Another service comes to the same port, moves its weights, changes its clusters' protocol, and goes."""
    other = partial(service, "other", port=playing.port, hosts=("other.example",))
    await playing.publish_and_sync(playing.fraud(), other())
    await playing.publish_and_sync(playing.fraud(canary=5000), other(canary=("v2", 500)))
    await playing.publish_and_sync(playing.fraud(canary=5000), other(canary=("v2", 500), protocol="grpc"))
    await playing.publish_and_sync(playing.fraud())


async def restart_the_controller(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """It dies and comes back with the same world."""
    await playing.restart()
    await playing.in_sync()


async def come_back_to_another_world(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """While the proxy's connection is cut, the version that it sends half of the traffic to is taken away."""
    await playing.publish_and_sync(playing.fraud(canary=5000))
    await playing.close()
    playing.publish(playing.fraud(versions={"v1": [playing.models[0].address]}))
    await playing.open()
    await playing.in_sync()
    await versions_answer(load, "v1")
    await playing.publish_and_sync(playing.fraud())


async def come_back_while_it_warms(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """A version is added, by a host name, and routed to in one change, and the connection is cut at that moment: while
    its cluster warms Envoy asks for everything but clusters."""
    alone, both = {"v1": playing.models[0].address}, {"v2": f"localhost:{playing.models[1].port}"}
    await playing.publish_and_sync(playing.fraud(versions={v: [place] for v, place in alone.items()}))
    playing.publish(playing.fraud(versions={v: [place] for v, place in (alone | both).items()}, canary=5000))
    await asyncio.sleep(random.uniform(0, 0.01))
    await playing.close()
    await playing.open()
    await playing.in_sync()
    await versions_answer(load, "v1", "v2")
    await playing.publish_and_sync(playing.fraud())


async def follow_a_source(playing: EnvoyUnderLoad, load: LoadGenerator) -> None:
    """The endpoints of the version that carries the traffic come from a source: not read yet, a server, two, another
    one; and after a restart of the controller not read yet again. The store's revision stays the same."""
    one, _, other = playing.models
    state = playing.fraud()
    versions = tuple(
        version.model_copy(update={"endpoints": (), "source": SOURCE} if version.name == "v1" else {})
        for version in state.spec.versions
    )
    spec = state.spec.model_copy(update={"versions": versions})
    await playing.publish_and_sync(state.model_copy(update={"spec": spec}))
    await versions_answer(load, "v1")
    for servers, answering in (([one], ["v1"]), ([one, other], ["v1", "v3"]), ([other], ["v3"])):
        playing.publish_endpoints(v1=servers)
        await versions_answer(load, *answering)
    await playing.in_sync()
    await playing.restart()
    await playing.in_sync()
    await versions_answer(load, "v3")
    playing.publish_endpoints(v1=[one])
    await versions_answer(load, "v1")
    await playing.publish_and_sync(playing.fraud())


SCENARIOS: list[Scenario] = [
    flip,
    add_routed_and_remove_routed,
    change_a_cluster,
    replace_endpoints,
    follow_a_source,
    change_how_it_is_reached,
    share_the_port,
    restart_the_controller,
    come_back_to_another_world,
    come_back_while_it_warms,
]
"""Flips; a canary added and routed, removed and routed past, each in one change; a cluster changed in place; endpoints
replaced, and followed by their source; health checks, ejection and limits that come, change and go; a shared port; the
controller's restart; proxies that reconnect, to another world and while they warm."""
PROTOCOLS = ["sotw", "delta"]


@pytest.mark.proves("xds-rule 32", "xds-rule 37")
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_request_fails(processes: Children, model_server: ServerFactory, protocol: str) -> None:
    """Every scenario, twice, on one Envoy."""
    async with envoy_under_load(processes, model_server, protocol) as (playing, load):
        for scenario in SCENARIOS * 2:
            await scenario(playing, load)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_request_fails_though_the_controller_is_killed_twenty_times(
    processes: Children, protocol: Literal["sotw", "delta"]
) -> None:
    """kill -9 of `haldane serve` itself, with half of the traffic at the canary."""
    async with trial(processes, protocol=protocol, seconds=500.0) as made:
        await made.start()
        await made.system.reach("PROGRESSING")
        for _ in range(20):
            made.kill()
            await made.dwell(0.2)
            await made.live()
            await made.connected()
        await made.end()


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_request_fails_in_twenty_rounds(
    processes: Children, model_server: ServerFactory, protocol: str, scenario: Scenario
) -> None:
    """One scenario, twenty times over."""
    async with envoy_under_load(processes, model_server, protocol, rate=300.0) as (playing, load):
        for _ in range(20):
            await scenario(playing, load)
