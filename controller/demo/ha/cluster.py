"""Three members of etcd, three controllers, two Envoys, and the model servers behind them."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp

from controller.demo.digit_models import ModelFault
from controller.demo.environment import (
    FLEET,
    HOST,
    MODEL_VERSIONS,
    SERVICE,
    NotReady,
    Ports,
    is_ok,
    load_build,
    start_envoy,
    start_model,
    wait_until_ok,
)
from controller.demo.ha.etcd_members import EtcdMembers
from controller.demo.haldane_command import CommandResult, run_haldane
from controller.demo.harness.child_processes import Child, Children
from controller.demo.harness.free_ports import free_ports

NAMES = ("one", "two", "three")
"""Of the controllers."""


@dataclass(slots=True)
class Replica:
    """A controller, and its process while it runs."""

    name: str
    xds: str
    admin: str
    http: str
    child: Child | None = None


@dataclass(frozen=True, slots=True)
class EnvoyPort:
    """An Envoy: its own admin interface, its variant of xDS, and the controllers in the order in which it tries
    them."""

    name: str
    admin: str
    protocol: str
    xds: Sequence[str]


@dataclass(slots=True)
class Cluster:
    """Everything that runs. `ttl` is the lease's, in seconds. Raises `EtcdMissing` when it is made."""

    children: Children
    http: aiohttp.ClientSession
    ttl: int
    etcd: EtcdMembers = field(init=False)
    controllers: list[Replica] = field(init=False)
    envoys: list[EnvoyPort] = field(init=False)
    models: dict[str, int] = field(init=False)
    entry: int = field(init=False)
    """Where clients are answered: both Envoys listen there (SO_REUSEPORT), and the kernel spreads connections."""

    def __post_init__(self) -> None:
        self.etcd = EtcdMembers(self.children)
        ports = iter(free_ports(3 * len(NAMES) + 3 + len(MODEL_VERSIONS)))
        self.controllers = [
            Replica(name, f"{HOST}:{next(ports)}", f"{HOST}:{next(ports)}", f"{HOST}:{next(ports)}") for name in NAMES
        ]
        xds = [each.xds for each in self.controllers]
        self.envoys = [
            EnvoyPort("envoy-a", f"{HOST}:{next(ports)}", "delta", xds),
            EnvoyPort("envoy-b", f"{HOST}:{next(ports)}", "sotw", [*xds[1:], xds[0]]),
        ]
        self.entry = next(ports)
        self.models = {model.version: next(ports) for model in MODEL_VERSIONS}

    @property
    def entry_url(self) -> str:
        """Where clients send their requests."""
        return f"http://{HOST}:{self.entry}/v2/models/{SERVICE}/infer"

    @property
    def running(self) -> list[Replica]:
        """The controllers that have a process."""
        return [each for each in self.controllers if each.child]

    def settings(self, replica: Replica) -> dict[str, str]:
        """Of one controller, and of commands that are sent to it."""
        return {
            "HALDANE_XDS_LISTEN": replica.xds,
            "HALDANE_ADMIN_LISTEN": replica.admin,
            "HALDANE_HTTP_LISTEN": replica.http,
            "HALDANE_ADMIN": replica.admin,
            "HALDANE_NAME": replica.name,
            "HALDANE_STORE": self.etcd.store,
            "HALDANE_CONFIG": str(self.children.folder / "haldane.toml"),
            "HALDANE_ADMIN_SOCKET": "none",
            "HALDANE_HTTP_SOCKET": "none",
            "XDG_STATE_HOME": str(self.children.folder / f"state-{replica.name}"),
        }

    async def set_up(self, show: Callable[[str], None]) -> None:
        """Start everything, and wait until clients are answered. Raises `NotReady` or `ChildDied`."""
        show("starting three members of etcd and three model servers (scikit-learn)")
        self.etcd.start_missing()
        for model in MODEL_VERSIONS:
            start_model(self.children, model, self.models[model.version])
        (self.children.folder / "haldane.toml").write_text(f"[etcd]\nttl = {self.ttl}\n")
        show(f"starting three controllers: haldane serve --store {self.etcd.store}")
        for replica in self.controllers:
            self.start(replica)
        for replica in self.controllers:
            await self.until_ready(replica)
        file = self.children.folder / "service.yaml"
        file.write_text(Ports(0, 0, 0, 0, self.entry, self.models).service_file())
        show("haldane apply -f service.yaml")
        await self.command(self.controllers[-1], "apply", "-f", str(file), "--reason", "the demo begins")
        show("starting two Envoys, one with Delta and one with SotW xDS; each knows all three controllers")
        for envoy in self.envoys:
            await self._start_envoy(envoy)
        for version, port in self.models.items():
            await self._until_ok(f"the model server of {version}", f"http://{HOST}:{port}/v2/health/ready")
        for envoy in self.envoys:
            await self._until_ok(envoy.name, f"http://{envoy.admin}/ready")
        await self._until_ok("Envoy", f"http://{HOST}:{self.entry}/v2/models/{SERVICE}/ready")

    def start(self, replica: Replica) -> None:
        """Start a controller, for the first time or again."""
        words = [sys.executable, "-m", "controller", "serve"]
        replica.child = self.children.start(f"controller-{replica.name}", words, self.settings(replica))

    def end(self, replica: Replica, signum: signal.Signals = signal.SIGKILL) -> float:
        """Send a running controller the signal, and wait for its end: when it was sent, in monotonic seconds."""
        child, replica.child = replica.child, None
        assert child is not None, f"{replica.name} does not run"
        at = time.monotonic()
        os.kill(child.pid, signum)
        child.process.wait(15)
        return at

    async def until_ready(self, replica: Replica) -> None:
        """Wait until it serves. Raises `NotReady` or `ChildDied`."""
        await self._until_ok(f"the controller {replica.name}", f"http://{replica.http}/readyz")

    async def is_ready(self, replica: Replica) -> bool:
        """Whether it says so."""
        return await is_ok(self.http, f"http://{replica.http}/readyz")

    async def command(self, replica: Replica, *words: str) -> str:
        """Run a `haldane` command on that controller, which must succeed: what it printed. Raises `NotReady`."""
        result = await self.try_command(replica, *words)
        if result.code:
            self.check()
            raise NotReady(f"`haldane {' '.join(words)}` ended with exit code {result.code}: {result.err}")
        return result.out

    async def try_command(self, replica: Replica, *words: str) -> CommandResult:
        """Run a `haldane` command on that controller."""
        return await run_haldane(self.settings(replica), *words)

    async def load_build(self, version: str, fault: ModelFault) -> None:
        """Let a model server load a new build of its model."""
        await load_build(self.http, self.models[version], fault)

    def check(self) -> None:
        """Raise `ChildDied` if a process that should run has ended."""
        for child in self._expected():
            child.check()

    def _expected(self) -> Iterator[Child]:
        """Those that were not ended on purpose."""
        ours = [*(each.child for each in self.controllers), *(each.child for each in self.etcd.members)]
        for child in self.children:
            if child in ours or not child.name.startswith(("controller-", "etcd-")):
                yield child

    async def _start_envoy(self, envoy: EnvoyPort) -> None:
        bootstrap = await self.command(
            self.controllers[0],
            *("bootstrap", "--fleet", FLEET, "--node", envoy.name, "--protocol", envoy.protocol),
            *("--xds", ",".join(envoy.xds), "--envoy-admin", envoy.admin),
        )
        start_envoy(self.children, envoy.name, bootstrap)

    async def _until_ok(self, what: str, url: str) -> None:
        await wait_until_ok(self.http, what, url, self.check)
