"""A cluster of etcd on this machine."""

import os
import shutil
import signal
from dataclasses import dataclass

from controller.demo.harness.child_processes import Child, Children
from controller.demo.harness.free_ports import free_ports
from controller.demo.harness.missing import ProgramMissing

HOST = "127.0.0.1"


class EtcdMissing(ProgramMissing):
    """There is no `etcd` on PATH."""


@dataclass(slots=True)
class EtcdMember:
    """One member: its ports, and its process while it runs."""

    name: str
    port: int
    peer_port: int
    child: Child | None = None

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        child, self.child = self.child, None
        if child:
            os.kill(child.pid, signal.SIGKILL)
            child.process.wait()


class EtcdMembers:
    """Three members, which keep their data in the group's folder: one that is killed comes back with it."""

    def __init__(self, children: Children, count: int = 3) -> None:
        """Starts nothing. Raises `EtcdMissing`."""
        binary = shutil.which("etcd")
        if binary is None:
            raise EtcdMissing(
                "`etcd` is not on PATH: install it (Debian and Ubuntu: apt-get install etcd-server; elsewhere from "
                "github.com/etcd-io/etcd/releases)"
            )
        self._binary = binary
        self._children = children
        ports = free_ports(2 * count)
        self.members = [EtcdMember(f"etcd-{n + 1}", ports[2 * n], ports[2 * n + 1]) for n in range(count)]

    @property
    def store(self) -> str:
        """The setting `store` of a controller."""
        return "etcd:" + ",".join(f"{HOST}:{each.port}" for each in self.members)

    def start_missing(self) -> None:
        """Start those that do not run, for the first time or again."""
        for member in self.members:
            if member.child is None:
                member.child = self._start(member)

    def _start(self, member: EtcdMember) -> Child:
        client, peer = f"http://{HOST}:{member.port}", f"http://{HOST}:{member.peer_port}"
        cluster = ",".join(f"{each.name}=http://{HOST}:{each.peer_port}" for each in self.members)
        words = [
            *("--name", member.name, "--data-dir", str(self._children.folder / member.name)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", cluster, "--logger", "zap", "--log-level", "error"),
        ]
        return self._children.start(member.name, [self._binary, *words])
