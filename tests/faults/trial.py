"""A controller that is killed again and again, a real Envoy, a load on it, and everybody who saw what happened."""

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from controller.cli.ledger_verification import verify_events
from controller.core.base.units import TOTAL_WEIGHT
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.store.database import Database
from controller.store.ledger_replay import replay
from tests.faults.split_watcher import Split, SplitWatcher, check_counts, watched
from tests.support.load import steady
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import answers, wait_until

T = TypeVar("T")

POLICY = """\
  steps: [20%, 50%]
  dwell: 1s
  warmup: 1s
  bake: 2s
  deadline: 4s
  on_insufficient: advance   # so that a few seconds of a small load are enough
  latency: {tolerance: 100%}
"""
RATE = 50.0
"""Requests a second."""
ANSWERED_WITHIN = 10.0
"""Seconds after which a call is taken for lost: gRPC does not always tell a client that its server was killed."""


@dataclass
class Trial:
    """A running system under test. Each life of the controller may be armed with another fault."""

    system: System
    watcher: SplitWatcher
    load: LoadGenerator
    deaths: int = 0
    """How often the controller has killed itself."""
    blamed: frozenset[str] = frozenset()
    """The versions that may fail, since the test makes them."""
    _channels: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def split(self) -> Split:
        """How Envoy splits now."""
        return self.watcher.split

    def kill(self) -> None:
        """kill -9 from outside."""
        self.system.controller.kill()

    def fill_disk(self) -> None:
        """From now on no file of the controller's may grow: as on a disk that is full."""
        controller = self.system.controller
        log = controller.store.with_name(controller.store.name + "-wal")
        self._limit_files(log.stat().st_size)

    def empty_disk(self) -> None:
        """There is space again."""
        self._limit_files(resource.RLIM_INFINITY)

    def spoil(self) -> None:
        """From now on the canary fails half of its requests."""
        self.blamed = frozenset({"v2"})
        self.system.models["v2"].behaviour.errors = 0.5

    async def died(self, within: float = 10.0) -> None:
        """Wait until the controller has killed itself, at the point that it was armed with."""
        controller = self.system.controller
        await wait_until(lambda: not controller.running, within)
        assert controller.child.process.returncode == -signal.SIGKILL, "it ended otherwise"

    async def live(self, fault: str = "") -> None:
        """The next life of the controller: the same file, the same ports, armed with that fault; until it is ready."""
        await self.launch(fault)
        await wait_until(self._ready, 30)

    async def launch(self, fault: str = "") -> None:
        """The next life of the controller, which may be a short one."""
        controller = self.system.controller
        controller.environment |= armed(fault)
        controller.launch()
        self.system.stubs = await self._channels.enter_async_context(controller.stubs())

    async def told_to_end(self) -> None:
        """SIGTERM; and if it died while it drained, another life."""
        controller = self.system.controller
        code = await asyncio.to_thread(controller.stop, 30)  # the model servers live in this thread
        assert code in (0, -signal.SIGKILL)
        self.deaths += code != 0
        await self.live()

    async def insist(self, ask: Callable[[], Awaitable[T]], within: float = 20.0) -> T:
        """The first true answer; whenever the controller has died, it lives on, with no fault."""
        deadline = time.monotonic() + within
        while True:
            try:
                async with asyncio.timeout(ANSWERED_WITHIN):
                    if answer := await ask():
                        return answer
            except TimeoutError:
                pass  # asked at the very moment of a death
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            if not self.system.controller.running:
                await self.died()
                self.deaths += 1
                await self.live()
            assert time.monotonic() < deadline, f"not within {within:g} s; the ledger: {await self.kinds()}"
            await asyncio.sleep(0.05)

    async def connected(self) -> None:
        """Wait until Envoy is connected to this life of the controller."""
        await wait_until(self._proxies)

    async def start(self, request_id: str = "") -> admin.Rollout:
        """Start the canary."""
        request = admin.StartCanaryRequest(service=SERVICE, canary="v2", reason="test", request_id=request_id)
        told: admin.Rollout = await self.system.stubs.rollouts.StartCanary(request)
        return told

    async def freeze(self, request_id: str = "") -> admin.FreezeResponse:
        """Freeze everything."""
        request = admin.FreezeRequest(all=True, reason="incident 42", request_id=request_id)
        told: admin.FreezeResponse = await self.system.stubs.killswitch.Freeze(request)
        return told

    async def unfreeze(self, request_id: str = "") -> admin.UnfreezeResponse:
        """Lift it."""
        request = admin.UnfreezeRequest(all=True, reason="over", request_id=request_id)
        told: admin.UnfreezeResponse = await self.system.stubs.killswitch.Unfreeze(request)
        return told

    async def promoted(self) -> bool:
        """Whether the rollout has ended well."""
        return (await self.system.rollout()).phase == "PROMOTED"

    async def frozen(self) -> list[str]:
        """The reasons of the freezes in force."""
        told = await self.system.stubs.killswitch.ListFreezes(admin.ListFreezesRequest())
        return [freeze.reason for freeze in told.freezes]

    async def kinds(self) -> list[str]:
        """The ledger's kinds of lines about traffic and freezes, in order."""
        return [kind for kind in await self.system.kinds() if kind not in ("blind", "sight_back")]

    async def told(self, kind: str) -> bool:
        """Whether the ledger has a line of that kind."""
        return kind in await self.kinds()

    async def serves(self, split: Split, within: float = 10.0) -> None:
        """Wait until Envoy splits so."""
        await wait_until(lambda: self.split == split, within)

    async def dwell(self, seconds: float) -> None:
        """Let the load go on for so long."""
        until = time.monotonic() + seconds
        await wait_until(lambda: time.monotonic() > until, seconds + 10)

    async def check(self) -> None:
        """What must hold at every moment, now: no request failed, and no split was seen that the ledger does not tell.

        Splits come in the ledger's order and never go back; the clients' counts are those of the splits; the chain
        of the ledger holds.
        """
        failed = [a for a in self.load.results if not a.ok and a.version not in self.blamed]
        assert (failed[:3], self.load.unsent) == ([], 0), f"{failed[:3]} failed, {self.load.unsent} were never sent"
        events = await self.system.events()
        chain = verify_events(events, whole=True)
        assert chain.broken is None, chain.why
        assert in_order(self.watcher.splits, decided(events))
        assert check_counts(self.watcher.sights, list(self.load.results)) > 0

    async def end(self) -> None:
        """Kill the controller for the last time: what its ledger tells, done again, gives what is stored."""
        await self.check()
        self.kill()
        database = Database.open(self.system.controller.store)
        try:
            assert replay(database.rows(), database.checkpoint()).view == database.view
        finally:
            database.close()

    def _limit_files(self, size: int) -> None:
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(self.system.controller.child.pid, resource.RLIMIT_FSIZE, limits)

    async def _ready(self) -> bool:
        self.system.controller.child.check()
        return await answers(f"http://{self.system.controller.http}/readyz")

    async def _proxies(self) -> bool:
        told = await self.system.stubs.fleet.ListProxies(admin.ListProxiesRequest())
        return bool(told.proxies)


def armed(fault: str) -> dict[str, str]:
    """The settings of a controller with that fault, or ("") with none."""
    return {"HALDANE_TEST_MODE": "1", "HALDANE_FAULT_POINTS": fault}


def decided(events: Iterable[admin.Event]) -> list[Split]:
    """The splits that the ledger tells of, in order."""
    told = [dict(event.weights_after) for event in events if event.weights_after]
    assert all(sum(weights.values()) == TOTAL_WEIGHT for weights in told)
    return [{version: weight for version, weight in weights.items() if weight} for weights in told]


def in_order(seen: Iterable[Split], told: Iterable[Split]) -> bool:
    """Whether each of `seen` is in `told` after the one before it."""
    rest = iter(told)
    return all(split in rest for split in seen)


@contextlib.asynccontextmanager
async def trial(
    processes: Children, *, policy: str = POLICY, protocol: str = "delta", fault: str = "", seconds: float = 110.0
) -> AsyncIterator[Trial]:
    """Everything runs, the service is served by its stable, clients ask, for so many seconds at most. `fault` is in
    the controller's first life."""
    async with (
        contextlib.AsyncExitStack() as channels,
        running_system(processes, policy=policy, protocol=protocol, settings=armed(fault)) as made,
        steady(made.entry, RATE, seconds=seconds) as load,
        watched(made.envoy) as watcher,
    ):
        yield Trial(made, watcher, load, _channels=channels)


async def lost(call: Awaitable[object]) -> bool:
    """Whether the answer never came, since the controller died."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN):
            await call
    except TimeoutError:
        return True
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False
