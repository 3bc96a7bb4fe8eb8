"""Real controllers over a real etcd, and an Envoy that is connected to one that does not decide."""

import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.controllers.conftest import Make
from tests.controllers.test_members import leaders, until
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import running_system
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd"), pytest.mark.envoy]

POLICY = """\
  steps: [20%, 50%]
  dwell: 30s
  warmup: 1s
  patience: 0s
  bake: 1s
"""


async def test_harm_at_a_follower_s_proxy_is_rolled_back_by_the_leader(processes: Children, controller: Make) -> None:
    """The one that decides has no proxy of its own: it sees and judges what the other one passes on."""
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    async with (
        running_system(processes, policy=POLICY, controller=second) as system,
        steady(system.entry, 100, timeout=5.0) as load,
        first.stubs() as leader,
    ):
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 200, 30.0)
        (proxy,) = (await leader.fleet.ListProxies(pb.ListProxiesRequest())).proxies
        assert (proxy.controller, proxy.cut_off, proxy.state) == ("two", False, "SYNCED")
        seen = await leader.rollouts.GetRollout(pb.GetRolloutRequest(service="fraud-scorer"))
        assert (seen.proxies_synced, seen.proxies_total) == (1, 1)
        system.models["v2"].behaviour = Behaviour(errors=0.2)
        told = await system.reach("ROLLED_BACK")
        assert dict(told.weights) == {"v1": 10_000, "v2": 0}
