"""Network namespaces on a bridge of their own, between which a test drops packets. Needs root, `ip` and `nft`."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

OURS = "haldn"
"""How the names of namespaces, and of the way into them, begin; the process id of the test comes next. The kernel
allows 15 characters."""
CUT_TABLE = """\
table ip cut {
  set sources { type ipv4_addr; }
  chain arriving { type filter hook prerouting priority raw; ip saddr @sources drop; }
}
"""
"""Packets are dropped where they arrive: no one is told, neither the sender nor its kernel."""


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace with one address. What runs in it reaches the other places and nothing else."""

    namespace: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command that runs another one there, as the same process."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}", "--")

    def nft(self, *words: str, rules: str = "") -> None:
        """Change its packet filter."""
        _run([*self.prefix, "nft", *words], rules)


@dataclass
class Network:
    """The places by name. The test's own process is the first address, and reaches them all."""

    number: int
    places: dict[str, Place] = field(default_factory=dict)

    @property
    def own(self) -> str:
        """The address of the test's process."""
        return self.address(1)

    def address(self, host: int) -> str:
        """An address of the block that RFC 2544 reserves for tests of networks."""
        return f"198.18.{self.number}.{host}"

    def add(self, name: str) -> Place:
        """A further place."""
        number = len(self.places) + 2
        place = self.places[name] = Place(f"{OURS}{os.getpid()}-{number}", self.address(number))
        hub = _hub()
        _ip(f"netns add {place.namespace}")
        _ip(f"link add eth0 netns {place.namespace} type veth peer name p{number} netns {hub}")
        _ip(f"-n {hub} link set p{number} master br0 up")
        _ip(f"-n {place.namespace} addr add {place.address}/24 dev eth0")
        _ip(f"-n {place.namespace} link set eth0 up")
        _ip(f"-n {place.namespace} link set lo up")
        place.nft("-f", "-", rules=CUT_TABLE)
        return place

    def cut(self, one: Sequence[Place], other: Sequence[Place], *, one_way: bool = False) -> None:
        """Drop all packets from these to those and, unless `one_way`, back."""
        for sender in one:
            for receiver in other:
                _drop(sender, receiver)
                if not one_way:
                    _drop(receiver, sender)

    def mend(self) -> None:
        """Every packet arrives again."""
        for place in self.places.values():
            place.nft("flush set ip cut sources")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """An empty network, which is gone at the end of the block with all that ran in it cut off."""
    remove_leftovers()
    hub = _hub()
    made = Network(os.getpid() % 254 + 1)
    try:
        _ip(f"netns add {hub}")
        _ip(f"-n {hub} link add br0 type bridge")
        _ip(f"-n {hub} link set br0 up")
        _ip(f"link add {hub} type veth peer name p1 netns {hub}")
        _ip(f"-n {hub} link set p1 master br0 up")
        _ip(f"addr add {made.own}/24 dev {hub}")
        _ip(f"link set {hub} up")
        yield made
    finally:
        _remove(os.getpid())


def why_not() -> str:
    """Why there can be no such network here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces are made by root alone"
    if missing := [name for name in ("ip", "nft", "nsenter") if not shutil.which(name)]:
        return f"no {', '.join(missing)} here"
    try:
        with network() as tried:
            tried.add("tried")
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    return ""


def remove_leftovers() -> None:
    """Remove the namespaces of tests that were killed before they could."""
    for pid in {int(found[1]) for name in _namespaces() if (found := re.match(rf"{OURS}(\d+)-", name))}:
        if not os.path.exists(f"/proc/{pid}"):
            _remove(pid)


def _drop(sender: Place, receiver: Place) -> None:
    receiver.nft(f"add element ip cut sources {{ {sender.address} }}")


def _hub() -> str:
    return f"{OURS}{os.getpid()}-1"


def _remove(pid: int) -> None:
    # A namespace goes later than the command that removes it says, and so would the way into it.
    with contextlib.suppress(subprocess.CalledProcessError):
        _ip(f"link del {OURS}{pid}-1")
    for name in _namespaces():
        if name.startswith(f"{OURS}{pid}-"):
            _ip(f"netns del {name}")


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _run(["ip", "netns"]).splitlines()]


def _ip(words: str) -> None:
    _run(["ip", *words.split()])


def _run(command: Sequence[str], given: str = "") -> str:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
