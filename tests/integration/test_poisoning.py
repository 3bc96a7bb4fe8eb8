"""What strangers report has no effect on any verdict, with a real Envoy beside them."""

import json

import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.pb.haldane.wire.v1.discovery_pb2 import Node
from controller.xds.resources.type_urls import CDS, RDS
from tests.integration.forger import Forger, forger, forging
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import FLEET, SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 2s
  warmup: 1s
  patience: 0s
  bake: 1s
"""


async def envoys_node(system: System) -> str:
    """The real proxy's node id."""
    (proxy,) = (await system.stubs.fleet.ListProxies(admin.ListProxiesRequest())).proxies
    return proxy.node


async def connected(made: Forger, *, ack: bool) -> None:
    """Open an xDS stream, subscribe to clusters, and ACK them or not."""
    ads = made.ads()
    await ads.send(type_url=CDS, node=Node(id=made.node, cluster=made.fleet))
    clusters = await ads.read()
    if ack:
        await ads.accept(clusters)


STRANGERS = {
    "of a fleet that does not exist": ("nobody", "nowhere", "no_xds_stream"),
    "of the fleet, without an xDS stream": ("nobody", FLEET, "no_xds_stream"),
    "under the proxy's own node id": ("", FLEET, "other_connection"),
    "of a fleet that does not serve it, with all that it is served ACKed": ("guest", "elsewhere", "not_acknowledged"),
    "of the fleet, without an ACK": ("lurker", FLEET, "not_acknowledged"),
}


@pytest.mark.parametrize(
    ("node", "fleet", "reason"),
    [
        pytest.param(*case, id=name, marks=pytest.mark.soak if name == "of the fleet, without an xDS stream" else ())
        for name, case in STRANGERS.items()
    ],
)
async def test_forged_errors_roll_nothing_back(processes: Children, node: str, fleet: str, reason: str) -> None:
    """Thousands of errors, half a minute of latency, no healthy endpoint: a good canary advances all the same. The
    command names the stranger."""
    async with (
        running_system(processes, policy=POLICY) as system,
        steady(system.entry, 150) as load,
        forger(system.controller.xds, node or await envoys_node(system), fleet) as stranger,
    ):
        await wait_until(lambda: len(load.results) > 20)
        if reason == "not_acknowledged":
            await connected(stranger, ack=node == "guest")
        async with forging(stranger, canary_errors=500, stable_ok=2000):
            await system.start()
            await wait_until(lambda: system.serves(5000, "PROGRESSING"), 90.0)
            assert stranger.sent > 20
        assert (await system.rollout()).traffic["v2"].errors == 0
        proxies = json.loads((await system.haldane("proxies", "--output", "json")).out)
        assert [(s["node"], s["reason"]) for s in proxies["strangers"]] == [(stranger.node, reason)]
        assert "reports and is no proxy" in (await system.haldane("proxies")).out
        assert [answer for answer in load.results if not answer.ok] == []


async def test_forged_successes_promote_nothing(processes: Children) -> None:
    """In proportion to the weights, so that a canary with half its answers 500 would look good: it is rolled back."""
    async with (
        running_system(processes, policy=POLICY) as system,
        steady(system.entry, 100) as load,
        forger(system.controller.xds, await envoys_node(system), FLEET) as stranger,
    ):
        await wait_until(lambda: len(load.results) > 20)
        system.models["v2"].behaviour = Behaviour(errors=0.5)
        async with forging(stranger, canary_ok=1000, stable_ok=4000):
            await system.start()
            await system.reach("ROLLED_BACK")
        told = await system.rollout()
        assert told.traffic["v1"].requests + told.traffic["v2"].requests <= len(load.results)
        assert SERVICE in (await system.haldane("list")).out


async def test_an_excluded_proxy_is_served_and_neither_judged_nor_waited_for(processes: Children) -> None:
    """It speaks all of xDS under the fleet's name, reports errors without end, and never ACKs its routes. Excluded, a
    good canary advances beside it; included again, its errors roll the canary back."""
    async with (
        running_system(processes, policy=POLICY) as system,
        steady(system.entry, 150) as load,
        forger(system.controller.xds, "liar", FLEET) as liar,
    ):
        await wait_until(lambda: len(load.results) > 20)
        ads = liar.ads()
        await ads.send(type_url=CDS, node=Node(id=liar.node, cluster=liar.fleet))
        await ads.accept(await ads.read())
        await ads.send(type_url=RDS, resource_names=[f"127.0.0.1:{system.entry}"])
        routes = await ads.read()
        assert (await system.haldane("proxies", "--exclude", "liar")).code == 2
        excluded = await system.haldane("proxies", "--exclude", "liar", "--reason", "it counts wrong")
        assert (excluded.code, "neither judged nor waited for" in excluded.out) == (0, True)
        async with forging(liar, canary_errors=500, stable_ok=2000):
            await system.start()
            await wait_until(lambda: system.serves(5000, "PROGRESSING"), 90.0)
            rollout = await system.rollout()
            assert (rollout.proxies_total, rollout.traffic["v2"].errors) == (1, 0)
            assert "liar excluded by" in (await system.haldane("proxies")).out
            await ads.accept(routes, f"127.0.0.1:{system.entry}")
            assert (await ads.read()).type_url == RDS
            assert (await system.haldane("proxies", "--include", "liar", "--reason", "mended")).code == 0
            await system.reach("ROLLED_BACK")
        kinds = await system.kinds()
        assert (kinds.count("proxy_excluded"), kinds.count("proxy_included")) == (1, 1)
