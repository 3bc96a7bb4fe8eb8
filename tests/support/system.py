"""The whole system for one test: `haldane serve`, a real Envoy that follows it, a model server for each version."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from controller.bootstrap import render
from controller.demo.harness.child_processes import Children, clean_environment
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.builders import service_file
from tests.support import preloaded
from tests.support.command import Done
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.envoy import EnvoyProcess
from tests.support.model import ModelServer
from tests.support.process import free_port
from tests.support.waiting import answers, wait_until

SERVICE = "fraud-scorer"
FLEET = "edge"

QUICK = """\
  steps: [20%, 50%]
  dwell: 1s
  warmup: 1s
  bake: 1s
"""
POLICY = """\
  steps: [10%, 50%]
  dwell: 1s
  warmup: 1s
  bake: 2s
"""


@dataclass
class System:
    """Everything that runs."""

    processes: Children
    controller: ControllerProcess
    envoy: EnvoyProcess
    entry: int
    models: dict[str, ModelServer]
    stubs: AdminStubs
    policy: str = POLICY
    endpoints: Mapping[str, str] = field(default_factory=dict)
    served: str = "http"
    more: str = ""
    """More lines of the service file."""

    async def rollout(self) -> admin.Rollout:
        """The rollout as the controller tells it."""
        told: admin.Rollout = await self.stubs.rollouts.GetRollout(
            admin.GetRolloutRequest(service=SERVICE), wait_for_ready=True
        )
        return told

    async def apply(self) -> None:
        """Declare the service."""
        await self.stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=self.file(), reason="the test begins"))

    async def start(self, canary: str = "v2") -> None:
        """Start a rollout."""
        await self.stubs.rollouts.StartCanary(admin.StartCanaryRequest(service=SERVICE, canary=canary, reason="test"))

    async def reach(self, phase: str, within: float = 60.0) -> admin.Rollout:
        """Wait until the rollout is in that phase."""
        told: admin.Rollout = await wait_until(lambda: self._in_phase(phase), within)
        return told

    async def events(self) -> list[admin.Event]:
        """The ledger."""
        told = await self.stubs.ledger.ListEvents(admin.ListEventsRequest(), wait_for_ready=True)
        return list(told.events)

    async def kinds(self) -> list[str]:
        """What the ledger says happened, in order."""
        return [event.kind for event in await self.events()]

    def file(self) -> str:
        """The service file."""
        places = {version: model.address for version, model in self.models.items()} | dict(self.endpoints)
        more = f"fleets: [{FLEET}]\ntimeout: 2s\nprotocol: {self.served}\n{self.more}"
        return service_file(SERVICE, self.entry, endpoints=places, address="127.0.0.1", more=more, policy=self.policy)

    async def haldane(self, *args: str) -> Done:
        """Run a command against the controller."""
        words = ("--admin", self.controller.admin, *args)
        return await asyncio.to_thread(preloaded.run, *words, env=clean_environment())

    async def serves(self, weight: int, phase: str) -> bool:
        """Whether the canary has that weight at the proxy, in that phase."""
        told = await self.rollout()
        return (told.weights["v2"], told.phase, told.proxies_synced) == (weight, phase, told.proxies_total)

    async def in_sync(self) -> bool:
        """Whether the proxy has what it should."""
        told = await self.stubs.fleet.ListProxies(admin.ListProxiesRequest())
        return [proxy.state for proxy in told.proxies] == ["SYNCED"]

    async def ready(self) -> bool:
        """Whether the proxy serves what it should."""
        if not await self.in_sync():
            return False
        return self.served == "grpc" or await answers(f"http://127.0.0.1:{self.entry}/")

    async def _in_phase(self, phase: str) -> admin.Rollout | None:
        told = await self.rollout()
        return told if told.phase == phase else None


@contextlib.asynccontextmanager
async def running_system(
    processes: Children,
    *,
    policy: str = POLICY,
    protocol: str = "delta",
    endpoints: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    controller: ControllerProcess | None = None,
    change: Callable[[str], str] = str,
    served: str = "http",
    more: str = "",
    entry: int = 0,
    answering: bool = True,
) -> AsyncIterator[System]:
    """A controller, an Envoy and model servers, with the service applied and answering.

    `endpoints` are those of versions whose servers are elsewhere; `change` makes another bootstrap of the usual one;
    `controller` is another one than the usual; `served` is the service's protocol; `more` are lines for its file;
    `entry` is the port of clients, any free one unless given; unless `answering`, `/` need not respond there.
    """
    controller = controller or ControllerProcess(processes, settings)
    await controller.start()
    models = {version: ModelServer(version) for version in ("v1", "v2")}
    bootstrap = render(
        fleet=FLEET,
        xds=controller.xds,
        envoy_admin=f"127.0.0.1:{free_port()}",
        protocol=protocol,  # type: ignore[arg-type]
    )
    async with contextlib.AsyncExitStack() as stack:
        for model in models.values():
            await model.start()
            stack.push_async_callback(model.crash)
        stubs = await stack.enter_async_context(controller.stubs())
        envoy = EnvoyProcess(processes, change(bootstrap))
        made = System(
            processes, controller, envoy, entry or free_port(), models, stubs, policy, endpoints or {}, served, more
        )
        await made.apply()
        await envoy.start()
        await wait_until(made.ready if answering else made.in_sync)
        yield made
