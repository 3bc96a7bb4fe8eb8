"""Real controllers over a real etcd, and an Envoy that is connected to one that does not decide."""

import uuid
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest

from controller.core.access.spiffe_names import CONTROLLER
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import FleetStub
from tests.controllers.conftest import Make
from tests.controllers.test_members import leaders, until
from tests.support.controller import ControllerProcess
from tests.support.etcd import shared_cluster
from tests.support.load import by_version, steady
from tests.support.model import Behaviour
from tests.support.mutual_tls import haldane
from tests.support.system import SERVICE, running_system
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd"), pytest.mark.envoy]

POLICY = """\
  steps: [20%, 50%]
  dwell: 30s
  warmup: 1s
  patience: 0s
  bake: 1s
"""

RATE = 100
"""Requests a second."""
LONG = """\
  steps: [50%]
  dwell: 5m
  warmup: 1s
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
        second.stubs() as follower,
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
        shown = await follower.rollouts.GetRollout(pb.GetRolloutRequest(service=SERVICE))
        assert (shown.judged.controller, shown.judged.problem, shown.proxies_total) == ("one", "", 1)
        assert shown.traffic["v2"].requests > 0
        assert shown.blocker.kind == seen.blocker.kind
        # What is stored of it is up to 30 s older: from the end of the warm-up.
        request = pb.ExplainRolloutRequest(service=SERVICE)
        theirs, explained = (
            await leader.rollouts.ExplainRollout(request),
            await follower.rollouts.ExplainRollout(request),
        )
        assert explained.gates[0].canary_n >= theirs.gates[0].canary_n > 0
        system.models["v2"].behaviour = Behaviour(errors=0.2)
        told = await system.reach("ROLLED_BACK")
        assert dict(told.weights) == {"v1": 10_000, "v2": 0}


async def uncounted(asked: ControllerProcess, load: LoadGenerator) -> Mapping[str, int]:
    """By version: how many of the responses are not part of the proof of no harm."""
    async with asked.stubs() as stubs:
        request = pb.ExplainRolloutRequest(service=SERVICE)
        explained = await stubs.rollouts.ExplainRollout(request, wait_for_ready=True)
    answered = by_version(load.results)
    gate = explained.gates[0]  # that of server errors
    return {"v2": answered["v2"] - gate.canary_n, "v1": answered["v1"] - gate.stable_n}


async def test_what_a_killed_leader_has_judged_counts_once(processes: Children, controller: Make) -> None:
    """Its successor goes on from the saved session, and reads what came after that: nothing twice, and all of it.

    Some requests are always on their way to the evidence, and stable had some before the rollout: as many before the
    kill as after it.
    """
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    async with (
        running_system(processes, policy=LONG, controller=second) as system,
        steady(system.entry, RATE, timeout=5.0) as load,
    ):
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 6 * RATE, 30.0)  # seconds: sessions are saved
        before = await uncounted(first, load)
        first.kill()
        await until(second, lambda every: leaders(every) == ["two"])
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 2 * RATE, 30.0)

        async def counts_all() -> bool:
            after = await uncounted(second, load)
            return all(abs(after[version] - before[version]) < 0.75 * RATE / 2 for version in before)

        await wait_until(counts_all)


async def test_controllers_pass_on_by_mutual_tls(processes: Children, tmp_path: Path) -> None:
    """By the role that the certificate has, in both directions; who else may not, `test_access_table` shows. A person's
    rights are checked where the person calls."""
    certs = tmp_path / "certs"
    haldane("certs", str(certs), "--operator", "alice", "--operator", "bob")
    store = f"etcd:{','.join(shared_cluster().endpoints)}?prefix=/{uuid.uuid4()}"

    def secured(name: str) -> ControllerProcess:
        config = tmp_path / f"{name}.toml"
        config.write_text(
            f'[tls]\ncertificate_file = "{certs}/controller/tls.crt"\nkey_file = "{certs}/controller/tls.key"\n'
            f'client_ca_file = "{certs}/ca.crt"\n[[access]]\nspiffe = "{CONTROLLER}"\nrole = "controller"\n'
            '[[access]]\nsubject = "alice"\nrole = "operator"\n[[access]]\nsubject = "bob"\nrole = "viewer"\n'
        )
        settings = {
            **{"HALDANE_STORE": store, "HALDANE_CONFIG": str(config), "HALDANE_NAME": name},
            **{"HALDANE_ADMIN_SOCKET": "none", "HALDANE_HTTP_SOCKET": "none"},
            "XDG_STATE_HOME": str(tmp_path / name),
        }
        return ControllerProcess(processes, settings, name)

    leader, follower = secured("one"), secured("two")
    leader.launch()
    await wait_until(lambda: "term_begun" in leader.output, 60)
    follower.launch()
    await wait_until(lambda: "relay_connected" in follower.output, 60)
    assert "controller_joined" in leader.output

    def fleet(asked: ControllerProcess, person: str) -> FleetStub:
        files = [certs / "ca.crt", certs / f"operator-{person}" / "tls.key", certs / f"operator-{person}" / "tls.crt"]
        credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
        return FleetStub(grpc.aio.secure_channel(asked.admin, credentials))  # type: ignore[no-untyped-call]

    listed = await fleet(follower, "bob").ListProxies(pb.ListProxiesRequest())
    assert (listed.judged.controller, listed.judged.problem) == ("one", "")
    for asked in (leader, follower):
        retried = await fleet(asked, "alice").Retry(pb.RetryRequest())
        assert not retried.unreached
        with pytest.raises(grpc.aio.AioRpcError, match="bob has no role that allows `operate`"):
            await fleet(asked, "bob").Retry(pb.RetryRequest())
    assert all('"event": "retried"' in each.output and '"who": "alice"' in each.output for each in (leader, follower))
