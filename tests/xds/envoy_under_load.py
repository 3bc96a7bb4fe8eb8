"""A real Envoy under load between model servers and the xDS server, which a test changes the world of."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import grpc

from controller.bootstrap import render
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.process.clock import SystemClock
from controller.xds.limits import DEFAULT
from controller.xds.server import XdsServer, make_grpc_server
from tests.support.envoy import EnvoyProcess
from tests.support.load import steady
from tests.support.model import ModelServer
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.xds.views import endpoint, service, view

ServerFactory = Callable[[str], Awaitable[ModelServer]]


@dataclass
class EnvoyUnderLoad:
    """An Envoy, its models and its xDS server. `port` is where clients send requests."""

    models: Sequence[ModelServer]
    xds_port: int
    port: int = field(default_factory=free_port)
    revision: int = 0
    xds: XdsServer = field(default_factory=lambda: XdsServer(clock=SystemClock()))
    view: View | None = None
    _server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def fraud(self, canary: int = 0, **changes: object) -> ServiceState:
        """The service under load: v1 is stable, v2 may be the canary."""
        versions = {f"v{n}": [model.address] for n, model in enumerate(self.models[:2], 1)}
        given = {"versions": versions, "canary": ("v2", canary) if canary else None, **changes}
        return service(port=self.port, **given)  # type: ignore[arg-type]

    async def publish_and_sync(self, *states: ServiceState) -> None:
        """Publish, and wait until the proxy has ACKed everything."""
        self.publish(*states)
        await self.in_sync()

    def publish(self, *states: ServiceState) -> None:
        """Publish the next revision."""
        self.revision += 1
        self.view = view(self.revision, *states)
        self.xds.publish(self.view)

    def publish_endpoints(self, **versions: Sequence[ModelServer]) -> None:
        """Publish the same revision, with these servers as the endpoints of versions of `fraud` that have a source."""
        assert self.view
        read = {version: tuple(endpoint(model.address) for model in models) for version, models in versions.items()}
        self.xds.publish(self.view, {"fraud": read})

    async def in_sync(self) -> None:
        """Until every proxy has everything."""

        def synced() -> bool:
            return [proxy.state for proxy in self.xds.proxies()] == ["SYNCED"]

        # Less than the 15 s after which Envoy gives up on a cluster that was never given its endpoints.
        await wait_until(synced, 12.0)

    async def envoy(self, processes: Children, protocol: str, change: Callable[[str], str] = str) -> EnvoyProcess:
        """An Envoy that has everything; `change` makes another bootstrap of the usual one."""
        bootstrap = render(
            fleet="edge",
            node="edge-1",
            xds=f"127.0.0.1:{self.xds_port}",
            envoy_admin=f"127.0.0.1:{free_port()}",
            protocol=protocol,  # type: ignore[arg-type]
        )
        envoy = EnvoyProcess(processes, change(bootstrap))
        await envoy.start()
        await self.in_sync()
        return envoy

    async def open(self) -> None:
        """Open the xDS port; the same one each time."""
        self._server = make_grpc_server(DEFAULT)
        self._server.add_generic_rpc_handlers(self.xds.handlers())
        self._server.add_insecure_port(f"127.0.0.1:{self.xds_port}")
        await self._server.start()

    async def close(self) -> None:
        """Close it at once: every connection is cut."""
        if self._server:
            await self._server.stop(0)
            self._server = None

    async def restart(self) -> None:
        """The server dies and another takes its place, which knows only what is published."""
        await self.close()
        self.xds = XdsServer(clock=SystemClock())
        assert self.view
        self.xds.publish(self.view)
        await self.open()


@contextlib.asynccontextmanager
async def envoy_under_load(
    processes: Children,
    model_server: ServerFactory,
    protocol: str,
    rate: float = 200.0,
    *,
    seconds: float = 120.0,
    first: Callable[[EnvoyUnderLoad], ServiceState] = EnvoyUnderLoad.fraud,
    change: Callable[[EnvoyUnderLoad, str], str] = lambda _, bootstrap: bootstrap,
) -> AsyncIterator[tuple[EnvoyUnderLoad, LoadGenerator]]:
    """An Envoy in sync and under load. When the block ends, no response may be an error.

    The load ends after `seconds`. `first` is what it is served at the start; `change` makes another bootstrap of the
    usual one.
    """
    models = [await model_server(version) for version in ("v1", "v2", "v3")]
    async with EnvoyUnderLoad(models, free_port()) as playing:
        playing.publish(first(playing))
        await playing.open()
        await playing.envoy(processes, protocol, lambda bootstrap: change(playing, bootstrap))
        async with steady(playing.port, rate, seconds=seconds) as load:
            await wait_until(lambda: len(load.results) > 20)
            yield playing, load
            seen = len(load.results)
            await wait_until(lambda: len(load.results) > seen + 20)
    bad = [(answer.outcome, answer.status) for answer in load.results if not answer.ok]
    assert not bad, f"{len(bad)} of {len(load.results)} requests failed: {sorted(set(bad))}"
    assert not load.unsent


async def versions_answer(load: LoadGenerator, *wanted: str) -> None:
    """Until the last answers come from exactly these versions."""

    def seen() -> bool:
        since = max((answer.sent for answer in load.results), default=0.0) - 0.1
        return {answer.version for answer in load.results[-40:] if answer.sent >= since} == set(wanted)

    await wait_until(seen)
