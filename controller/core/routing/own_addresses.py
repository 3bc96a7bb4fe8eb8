"""The controller's own addresses: no service may listen there, or a proxy would take the controller's clients."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from controller.core.model.service import Listen
from controller.core.routing.clashes import ANY_ADDRESS

LOCALHOST = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """Where the controller listens, and which setting says so."""

    setting: str
    hosts: tuple[str, ...]
    port: int

    def taken_by(self, listen: Listen | None) -> str:
        """Why a service cannot listen there; empty if it can. Every address includes this one, and the other way
        round."""
        if listen is None or listen.port != self.port:
            return ""
        if listen.address not in self.hosts and not ANY_ADDRESS & {listen.address, *self.hosts}:
            return ""
        return f"{listen} is the controller's own: {self.setting} has its port {self.port}"


def own_addresses(settings: Mapping[str, str]) -> tuple[OwnAddress, ...]:
    """The addresses in these settings, by name: each HOST:PORT. Anything else, such as a socket's path, has no port."""
    own = []
    for setting, text in settings.items():
        host, _, port = text.rpartition(":")
        if port.isdecimal():
            own.append(OwnAddress(setting, _addresses(host.strip("[]")), int(port)))
    return tuple(own)


def occupied(listen: Listen | None, own: Iterable[OwnAddress]) -> str:
    """Why a service cannot listen there; empty if none of the controller's own addresses is in the way."""
    return next(filter(None, (address.taken_by(listen) for address in own)), "")


def _addresses(host: str) -> tuple[str, ...]:
    """The IP addresses of a host, spelt as in a service; of another name than localhost none is known."""
    if host == "localhost":
        return LOCALHOST
    try:
        ip = ip_address(host)
    except ValueError:
        return ()
    return (((ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip).compressed,)
