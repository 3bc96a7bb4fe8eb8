"""An Envoy that is moved from a controller to one that lags, around a rollback: nothing older than it has seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import pytest

from controller.core.model.rollout import Phase
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.store.etcd import last_known
from controller.store.etcd.state_folder import LAST_KNOWN
from tests.controllers.conftest import Make
from tests.controllers.test_members import leaders, until
from tests.faults.split_watcher import Split, watched
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.envoy import EnvoyProcess
from tests.support.load import steady
from tests.support.switch import Switch, switch
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import answers, wait_until

pytestmark = [pytest.mark.requires("etcd"), pytest.mark.envoy, pytest.mark.timeout(180)]

POLICY = """\
  steps: [50%]
  dwell: 10m
  warmup: 1s
  bake: 1s
"""
STABLE: Split = {"v1": 10_000}
HALF: Split = {"v1": 5000, "v2": 5000}


@dataclass
class Pair:
    """Two controllers: `etcd` is the way of the second one to the store, `xds` that of the Envoy to one of them."""

    ahead: ControllerProcess
    lagging: ControllerProcess
    etcd: Switch
    xds: Switch

    async def move(self, to: ControllerProcess) -> None:
        """Let the Envoy connect to that one, and wait until it has."""
        before = to.output.count("proxy_connected")
        self.xds.lead_to(to.xds)
        await wait_until(lambda: to.output.count("proxy_connected") > before)

    def by_the_switch(self, bootstrap: str) -> str:
        """An Envoy's bootstrap, with the way that leads to one of them."""
        return bootstrap.replace(self.ahead.xds.rpartition(":")[2], str(self.xds.port))

    async def roll_back(self) -> None:
        """An operator's rollback, at the controller that is ahead."""
        async with self.ahead.stubs() as stubs:
            request = pb.RollbackRequest(service=SERVICE, reason="test")
            await stubs.rollouts.Rollback(request, timeout=10)


@pytest.fixture
async def pair(controller: Make) -> AsyncIterator[Pair]:
    """Neither runs yet."""
    ahead, lagging = controller("ahead"), controller("lagging")
    endpoint, _, prefix = lagging.environment["HALDANE_STORE"].removeprefix("etcd:").partition("?")
    async with switch(endpoint) as etcd, switch(ahead.xds) as xds:
        lagging.environment["HALDANE_STORE"] = f"etcd:{etcd.address}?{prefix}"
        yield Pair(ahead, lagging, etcd, xds)


async def begin(system: System) -> None:
    """A rollout whose canary has half of the traffic."""
    await system.start()
    await system.reach("PROGRESSING")


async def moved_after(pair: Pair) -> None:
    """Envoy has the rollback when it comes to the one that does not know of it."""
    await pair.roll_back()


async def moved_at_once(pair: Pair) -> None:
    """It is moved in the moment in which the rollback is decided."""
    await asyncio.gather(pair.roll_back(), pair.move(pair.lagging))


async def moved_before(pair: Pair) -> None:
    """It is at the one that lags when the rollback is decided at the other one."""
    await pair.move(pair.lagging)
    await pair.roll_back()


@pytest.mark.parametrize(
    ("protocol", "moment"),
    [
        ("delta", moved_after),
        pytest.param("sotw", moved_after, marks=pytest.mark.soak),
        *(
            pytest.param(protocol, moment, marks=pytest.mark.soak)
            for protocol in ("sotw", "delta")
            for moment in (moved_at_once, moved_before)
        ),
    ],
)
async def test_a_proxy_gets_nothing_older_from_a_controller_that_lags(
    processes: Children, pair: Pair, protocol: str, moment: Callable[[Pair], Awaitable[None]]
) -> None:
    """Its routes stay what they are until that controller has caught up; then they are what was decided. And back."""
    async with running_system(
        processes, policy=POLICY, controller=pair.ahead, protocol=protocol, change=pair.by_the_switch
    ) as system:
        async with steady(system.entry, 50) as load, watched(system.envoy) as watcher:
            await until(pair.ahead, lambda every: leaders(every) == ["ahead"])
            await pair.lagging.start()
            await begin(system)
            await wait_until(lambda: watcher.split == HALF)
            async with pair.lagging.stubs() as stubs:
                await wait_until(lambda: _knows(stubs, "PROGRESSING"))
            pair.etcd.hold()
            await moment(pair)
            if moment is moved_after:
                await wait_until(lambda: watcher.split == STABLE)
                await pair.move(pair.lagging)
                await _answered(load, 100)  # for two seconds
                assert watcher.split == STABLE
            pair.etcd.release()
            await wait_until(lambda: watcher.split == STABLE)
            await pair.move(pair.ahead)
            await _answered(load, 25)
            assert watcher.splits == [STABLE, HALF, STABLE]
            assert [a for a in load.results if not a.ok] == []
        if moment is moved_after:
            await _check_without_store(processes, pair, system)


async def _answered(load: LoadGenerator, more: int) -> None:
    """Wait for so many responses more."""
    since = len(load.results)
    await wait_until(lambda: len(load.results) > since + more)


async def _knows(stubs: AdminStubs, phase: str) -> bool:
    told = await stubs.rollouts.GetRollout(pb.GetRolloutRequest(service=SERVICE))
    return bool(told.phase == phase)


async def _check_without_store(processes: Children, pair: Pair, system: System) -> None:
    """One that starts while etcd is away serves its last-known copy, says so, and accepts no freeze."""
    await wait_until(lambda: _saved(processes))
    pair.lagging.kill()
    pair.etcd.lead_to("")
    pair.lagging.launch()
    await wait_until(lambda: "last_known_served" in pair.lagging.output and _listening(pair.lagging))
    assert not await answers(f"http://{pair.lagging.http}/readyz")
    system.envoy.kill()
    pair.xds.lead_to(pair.lagging.xds)
    again = EnvoyProcess(processes, (processes.folder / "envoy.yaml").read_text(), "again")
    await again.start()
    async with watched(again) as watcher:
        await wait_until(lambda: watcher.split == STABLE)
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://{pair.lagging.http}/freeze", json={"service": None, "reason": "incident"}) as answer,
    ):
        assert answer.status == 503


def _saved(processes: Children) -> bool:
    """Whether both have the end of the rollback in their copy."""
    copies = [last_known.load(path) for path in processes.folder.glob(f"state-*/haldane/etcd-*/{LAST_KNOWN}")]
    phases = [copy and copy.view.services[SERVICE].rollout.phase for copy in copies]  # type: ignore[union-attr]
    return phases == [Phase.ROLLED_BACK] * 2


def _listening(controller: ControllerProcess) -> bool:
    return '"serving"' in controller.output.rpartition("last_known_served")[2]
