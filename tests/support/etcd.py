"""A real etcd cluster on free ports of loopback, whose members tests kill, pause and start again."""

import atexit
import contextlib
import functools
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.process import free_port


@dataclass
class Member:
    """One member of a cluster. With `certificate`, `key` and `ca` among its files it speaks TLS, and asks clients for
    a certificate."""

    name: str
    folder: Path
    secured: bool = False
    port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """What it stores."""
        return self.folder / self.name

    def start(self, cluster: str) -> None:
        """Start it, for the first time or again."""
        scheme = "https" if self.secured else "http"
        client, peer = f"{scheme}://{self.endpoint}", f"http://127.0.0.1:{self.peer_port}"
        files = {"cert-file": "certificate", "key-file": "key", "trusted-ca-file": "ca"} if self.secured else {}
        beat = "50" if "," in cluster else "10"  # of others; who is alone need not wait for any
        command = [
            *("etcd", "--name", self.name, "--data-dir", str(self.data)),
            *(part for option, name in files.items() for part in (f"--{option}", str(self.folder / name))),
            *(["--client-cert-auth"] if self.secured else []),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", cluster, "--heartbeat-interval", beat, "--election-timeout", f"{beat}0"),
            *("--log-level", "error", "--logger", "zap", "--bcrypt-cost", "4"),
        ]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def send(self, signum: int) -> None:
        """Send it a signal."""
        assert self.process
        self.process.send_signal(signum)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class EtcdCluster:
    """A cluster of so many members."""

    folder: Path
    size: int = 1
    secured: bool = False
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.members = [Member(f"m{number}", self.folder, self.secured) for number in range(self.size)]

    @property
    def endpoints(self) -> list[str]:
        """Where clients connect to."""
        return [member.endpoint for member in self.members]

    def start(self, member: Member) -> None:
        """Start a member, for the first time or again."""
        member.start(",".join(f"{each.name}=http://127.0.0.1:{each.peer_port}" for each in self.members))

    def stop(self) -> None:
        """End every member."""
        for member in self.members:
            member.kill()


@contextlib.contextmanager
def etcd_cluster(folder: Path, size: int = 1, *, secured: bool = False) -> Iterator[EtcdCluster]:
    """A running cluster, until the end of the block. One that is secured has its files in that folder already."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = EtcdCluster(folder, size, secured)
    try:
        for member in cluster.members:
            cluster.start(member)
        yield cluster
    finally:
        cluster.stop()


@functools.cache
def shared_cluster() -> EtcdCluster:
    """One member that the tests of this process share, each below a prefix of its own; it ends with the process."""
    folder = Path(tempfile.mkdtemp(prefix="haldane-etcd-"))
    running = contextlib.ExitStack()
    running.callback(shutil.rmtree, folder, ignore_errors=True)
    cluster = running.enter_context(etcd_cluster(folder))
    atexit.register(running.close)
    return cluster
