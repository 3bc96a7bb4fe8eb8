"""`haldane serve` as a process, with all of its ports on free ones of the loopback."""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import grpc

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1.admin_pb2_grpc import (
    CatalogStub,
    FleetStub,
    KillSwitchStub,
    LedgerStub,
    RolloutsStub,
)
from tests.support.process import Process, free_port
from tests.support.waiting import answers, wait_until


@dataclass(frozen=True, slots=True)
class AdminStubs:
    """The admin API's stubs."""

    catalog: CatalogStub
    rollouts: RolloutsStub
    killswitch: KillSwitchStub
    fleet: FleetStub
    ledger: LedgerStub


class ControllerProcess(Process):
    """A controller with a state file in the group's folder. It comes back on the same ports, with the same state.

    `prefix` is a command that runs it, such as one that lowers a limit first.
    """

    def __init__(
        self,
        group: Children,
        settings: Mapping[str, str] | None = None,
        name: str = "controller",
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        self.xds, self.admin, self.http = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.store = group.folder / f"{name}.db"
        self.environment = {
            "HALDANE_XDS_LISTEN": self.xds,
            "HALDANE_ADMIN_LISTEN": self.admin,
            "HALDANE_HTTP_LISTEN": self.http,
            "HALDANE_ADMIN": self.admin,
            "HALDANE_STORE": f"sqlite:{self.store}",
            "HALDANE_STORE_RESERVE": str(1024 * 1024),
            **(settings or {}),
        }
        super().__init__(group, name, [*prefix, sys.executable, "-m", "controller", "serve"], self.environment)

    async def start(self, within: float = 60.0) -> None:
        """Start it and wait until it says that it is ready."""
        self.launch()
        await wait_until(self.ready, within)

    @contextlib.asynccontextmanager
    async def stubs(self) -> AsyncIterator[AdminStubs]:
        """The admin API, until the end of the block; after a restart within it too, for calls with `wait_for_ready`."""
        async with self.channel() as channel:
            yield AdminStubs(
                CatalogStub(channel),  # type: ignore[no-untyped-call]
                RolloutsStub(channel),  # type: ignore[no-untyped-call]
                KillSwitchStub(channel),  # type: ignore[no-untyped-call]
                FleetStub(channel),  # type: ignore[no-untyped-call]
                LedgerStub(channel),  # type: ignore[no-untyped-call]
            )

    def channel(self) -> grpc.aio.Channel:
        """A connection to the admin API."""
        quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
        return grpc.aio.insecure_channel(self.admin, quick)

    async def ready(self) -> bool:
        """Whether it says that it is ready. `ChildDied` if it has ended."""
        self.child.check()
        return await answers(f"http://{self.http}/readyz")
