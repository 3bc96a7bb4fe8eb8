"""Who does something, and how that is known."""

from enum import StrEnum
from typing import NamedTuple


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


class Actor(NamedTuple):
    """Who does something. The ledger keeps both."""

    name: str
    proof: Proof = Proof.CLAIMED
