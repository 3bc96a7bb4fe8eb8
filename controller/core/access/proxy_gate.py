"""Who may open which streams on the xDS port, where proxies prove who they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.core.access.fleet_rule import FleetRule, check_fleet
from controller.core.access.peer_certificate import peer_principal
from controller.core.base.errors import Code, Refusal


@dataclass(frozen=True, slots=True)
class ProxyGate:
    """Lets proxies in by what their connections prove. Unless it is `secured`, nothing is, and all are let in."""

    rules: tuple[FleetRule, ...] = ()
    secured: bool = False

    def identity(self, properties: Mapping[str, Iterable[bytes]]) -> str | None:
        """Who is at the other end of a connection with these properties (`auth_context`); None if it is not known."""
        principal = peer_principal(properties) if self.secured else None
        return principal.name if principal else None

    def admit(self, properties: Mapping[str, Iterable[bytes]], fleet: str) -> str | None:
        """The identity of a proxy that says that it is of that fleet.

        `Refusal`: UNAUTHENTICATED for a certificate that names nobody, DENIED for one of another fleet.
        """
        if not self.secured:
            return None
        principal = peer_principal(properties)
        if principal is None:
            raise Refusal(Code.UNAUTHENTICATED, "the client certificate names nobody: it needs a SPIFFE ID or a name")
        check_fleet(principal, fleet, self.rules)
        return principal.name


OPEN = ProxyGate()
"""The gate of a port where nothing is proved."""
