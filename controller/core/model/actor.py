"""Who does something, how that is known, and how it is shown."""

from enum import StrEnum
from typing import Any, NamedTuple

CONTROLLER = "haldane"
"""The name of what Haldane does by itself. No claimed name is the same: those have an `@`."""


class Proof(StrEnum):
    """How the name of an actor was verified."""

    CLAIMED = ""
    """It was not: a client named it, and its address is beside it."""
    CERTIFICATE = "certificate"
    """By a client certificate."""
    OIDC = "oidc"
    """By a token of the OpenID Connect issuer."""
    TOKEN = "token"  # noqa: S105
    """By a token whose hash is in a file of the settings."""
    SOCKET = "socket"
    """By the operating system: the user at the other end of a UNIX socket."""
    FILE = "file"
    """By the controller itself: a file in the folder whose service files it applies says so."""


class Actor(NamedTuple):
    """Who does something. The ledger keeps both."""

    name: str
    proof: Proof = Proof.CLAIMED

    @property
    def unverified(self) -> bool:
        """Whether nothing has verified the name, and it is not the controller's own."""
        return self.proof is Proof.CLAIMED and self.name != CONTROLLER

    @property
    def described(self) -> str:
        """The name as it is shown."""
        return describe_actor(self.name, unverified=self.unverified)

    def plain(self) -> dict[str, Any]:
        """As JSON values, as the APIs show it."""
        return {"who": self.name, "verified_by": self.proof.value, "unverified": self.unverified}


def describe_actor(name: str, *, unverified: bool) -> str:
    """The name of an actor as it is shown wherever there is one: with a word where nothing has verified it."""
    return f"{name} (unverified)" if unverified else name
