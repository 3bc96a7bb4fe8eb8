"""Three controllers, three members of etcd and two Envoys, each in a network namespace of its own, under load.

The controllers speak mutual TLS, as on machines of their own; the test acts through their UNIX sockets, which no cut
concerns. Their state and etcd's data are on small disks, and each controller has a wall clock of its own.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from controller.core.access.spiffe_names import CONTROLLER
from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.controllers.trial import FLEET, LONG_TTL, PATIENCE, RATE, STARTS_WITHIN, Trial, apply, watched
from tests.support.controller import ControllerProcess
from tests.support.envoy import EnvoyProcess
from tests.support.load import steady
from tests.support.model import ModelServer
from tests.support.mutual_tls import haldane
from tests.support.network import Network, Place, network
from tests.support.process import Process
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import answers, wait_until
from tests.support.wall_clock import WallClock

CONTROLLERS = ("one", "two", "three")
MEMBERS = ("etcd-1", "etcd-2", "etcd-3")
ENVOYS = ("envoy-0", "envoy-1")
XDS, ADMIN, HTTP, CLIENTS, PEERS, ENVOY_ADMIN, ENTRY = 18000, 18001, 18002, 2379, 2380, 9901, 10000
"""Ports: each place has all of them for itself."""
ETCD_DISK = 160
"""MB: two segments of etcd's log, which it writes in full beforehand, and something for its data."""
STATE_DISK = 4
"""MB."""


class NetworkedController(ControllerProcess):
    """A controller at a place, with TLS at its ports."""

    def __init__(self, group: Children, name: str, place: Place, store: str, certs: Path, disk: SmallDisk) -> None:
        self.name, self.place, self.disk = name, place, disk
        self.clock = WallClock(group.folder, name)
        config = group.folder / f"{name}.toml"
        own = certs / "controller"
        config.write_text(
            f'[etcd]\nttl = {LONG_TTL}\n[tls]\ncertificate_file = "{own}/tls.crt"\nkey_file = "{own}/tls.key"\n'
            f'client_ca_file = "{certs}/ca.crt"\n[[access]]\nspiffe = "{CONTROLLER}"\nrole = "controller"\n'
        )
        sockets = {kind: str(group.folder / f"{name}.{kind}") for kind in ("admin", "http")}
        super().__init__(group, name=name, prefix=place.prefix)
        self.xds = f"{place.address}:{XDS}"
        self.admin = f"unix:{sockets['admin']}"
        self.http = sockets["http"]
        self.environment |= {
            "HALDANE_XDS_LISTEN": self.xds,
            "HALDANE_ADMIN_LISTEN": f"{place.address}:{ADMIN}",
            "HALDANE_HTTP_LISTEN": f"{place.address}:{HTTP}",
            "HALDANE_ADMIN": self.admin,
            "HALDANE_ADMIN_SOCKET": sockets["admin"],
            "HALDANE_HTTP_SOCKET": sockets["http"],
            "HALDANE_STORE": store,
            "HALDANE_CONFIG": str(config),
            "HALDANE_NAME": name,
            "XDG_STATE_HOME": str(disk.folder),
            **self.clock.environment,
        }

    async def ready(self) -> bool:
        """Whether it says that it is ready, asked through its socket."""
        self.child.check()
        with contextlib.suppress(aiohttp.ClientError):
            connector = aiohttp.UnixConnector(self.http)
            async with (
                aiohttp.ClientSession(connector=connector) as http,
                http.get("http://localhost/readyz") as response,
            ):
                return response.status == 200
        return False


class PlacedMember(Process):
    """A member of etcd at a place, with its data on a small disk."""

    def __init__(self, group: Children, name: str, places: dict[str, Place], disk: SmallDisk) -> None:
        self.name, self.place, self.disk = name, places[name], disk
        binary = shutil.which("etcd")
        assert binary
        client, peer = (f"http://{self.place.address}:{port}" for port in (CLIENTS, PEERS))
        words = [
            *("--name", name, "--data-dir", str(disk.folder / "data")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", ",".join(f"{each}=http://{places[each].address}:{PEERS}" for each in MEMBERS)),
            *("--snapshot-count", "1000", "--max-wals", "1", "--max-snapshots", "1"),  # so that little space suffices
            *("--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1m"),
            *("--logger", "zap", "--log-level", "error"),
        ]
        super().__init__(group, name, [*self.place.prefix, binary, *words])

    def kill(self) -> None:
        """kill -9, if it has not ended by itself."""
        if self.running:
            super().kill()


@dataclass
class PlacedMembers:
    """All members of etcd."""

    members: list[PlacedMember]

    def start_missing(self) -> None:
        """Start those that do not run."""
        for member in self.members:
            if not member.running:
                member.launch()


@dataclass
class NetworkedTrial(Trial):
    """A trial whose network, clocks and disks fail too."""

    network: Network = field(default_factory=lambda: Network(0))

    def all_controllers(self) -> Iterator[NetworkedController]:
        """Each of them."""
        for each in self.controllers:
            assert isinstance(each, NetworkedController)
            yield each

    async def leading(self) -> NetworkedController:
        """The one that decides, waited for."""
        found = await self.leader()
        assert isinstance(found, NetworkedController)
        return found

    async def followers(self) -> list[NetworkedController]:
        """Those that do not decide."""
        leader = await self.leading()
        return [each for each in self.all_controllers() if each is not leader]

    @property
    def etcd_places(self) -> list[Place]:
        """Where the members of etcd are."""
        return [self.network.places[name] for name in MEMBERS]

    async def controller_of(self, envoy: str) -> NetworkedController:
        """The one that an Envoy is connected to, as the leader tells it; waited for."""

        async def found() -> NetworkedController | None:
            told = await self.insist(lambda stubs: stubs.fleet.ListProxies(pb.ListProxiesRequest()))
            assert isinstance(told, pb.ListProxiesResponse)
            names = [each.controller for each in told.proxies if each.node == envoy and not each.cut_off]
            return next((each for each in self.all_controllers() if each.name in names), None)

        which = await wait_until(found, 30)
        assert isinstance(which, NetworkedController)
        return which

    @contextlib.contextmanager
    def cut(self, one: list[Place], other: list[Place], *, one_way: bool = False) -> Iterator[None]:
        """Nothing passes between them, or from the first to the others, until the end of the block."""
        self.network.cut(one, other, one_way=one_way)
        try:
            yield
        finally:
            self.network.mend()


@contextlib.asynccontextmanager
async def networked_trial(processes: Children, seconds: float) -> AsyncIterator[NetworkedTrial]:
    """Everything runs, the service is served by v1 at both Envoys, clients ask, for so many seconds at most."""
    async with contextlib.AsyncExitStack() as stack:
        made = stack.enter_context(network())
        places = {name: made.add(name) for name in (*CONTROLLERS, *MEMBERS, *ENVOYS)}
        sizes = dict.fromkeys(CONTROLLERS, STATE_DISK) | dict.fromkeys(MEMBERS, ETCD_DISK)
        disks = {name: stack.enter_context(small_disk(processes.folder / name, mb)) for name, mb in sizes.items()}
        stack.callback(processes.stop)  # before their disks and networks are taken away
        members = PlacedMembers([PlacedMember(processes, name, places, disks[name]) for name in MEMBERS])
        members.start_missing()
        certs = processes.folder / "certs"
        hosts = (word for name in CONTROLLERS for word in ("--host", places[name].address))
        await asyncio.to_thread(haldane, "certs", str(certs), "--fleet", FLEET, *hosts)
        store = "etcd:" + ",".join(f"{places[name].address}:{CLIENTS}" for name in MEMBERS)
        controllers = [
            NetworkedController(processes, name, places[name], store, certs, disks[name]) for name in CONTROLLERS
        ]
        for each in controllers:
            each.launch()
        models = {version: ModelServer(version, host=made.own) for version in ("v1", "v2")}
        for model in models.values():
            await model.start()
        for each in controllers:
            await wait_until(each.ready, STARTS_WITHIN)
        await apply(controllers[-1], ENTRY, models, "0.0.0.0")
        xds = [each.xds for each in controllers]
        envoys = [
            _envoy(processes, "envoy-0", "delta", xds, places["envoy-0"], certs),
            _envoy(processes, "envoy-1", "sotw", [*xds[1:], xds[0]], places["envoy-1"], certs),
        ]
        for envoy in envoys:
            await envoy.start()
            await wait_until(lambda envoy=envoy: answers(f"http://{envoy.host}:{ENTRY}/"))
        loads = [
            await stack.enter_async_context(
                steady(ENTRY, RATE / 2, host=envoy.host, seconds=seconds, timeout=2 * PATIENCE)
            )
            for envoy in envoys
        ]
        trial = NetworkedTrial(list(controllers), members, models, loads, envoys, ttl=LONG_TTL, network=made)
        async with watched(trial):
            yield trial


def _envoy(processes: Children, node: str, protocol: str, xds: list[str], place: Place, certs: Path) -> EnvoyProcess:
    """An Envoy at a place, which tries these controllers in this order."""
    sds = processes.folder / f"{node}-sds"
    words = ("--fleet", FLEET, "--node", node, "--xds", ",".join(xds), "--protocol", protocol)
    tls = ("--tls", str(certs / f"fleet-{FLEET}"), "--sds", str(sds), "--write-sds", str(sds))
    page = ("--envoy-admin", f"{place.address}:{ENVOY_ADMIN}")
    return EnvoyProcess(processes, haldane("bootstrap", *words, *page, *tls), node, prefix=place.prefix)
