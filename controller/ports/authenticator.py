"""Who is at the other end of a request."""

from typing import NamedTuple, Protocol

from controller.core.access.caller import Caller

SESSION_COOKIE = "haldane_session"
"""The cookie of the console's session."""


class Credentials(NamedTuple):
    """What a request says of its caller, as a door received it."""

    peer: str
    """The host at the other end, or `unix` for a socket."""
    user: str = ""
    """The name that the client claims. It counts only where nobody is bound and nothing else is known."""
    authorization: str = ""
    """The `authorization` header: `Bearer TOKEN`."""
    session: str = ""
    """The session cookie of the console."""
    certificate: bytes | None = None
    """The client's certificate (DER), verified in the handshake."""
    user_id: int | None = None
    """The user at the other end of a UNIX socket, as the operating system knows it."""


class Authenticator(Protocol):
    """Turns credentials into a caller."""

    async def authenticate(self, credentials: Credentials) -> Caller:
        """The caller. Without any credentials it is anonymous, and may do what is `public`, unless nobody is bound.

        `Refusal` with UNAUTHENTICATED for credentials that are not valid, which never count as none, but for a session
        that has ended; with INVALID for a claimed name that cannot be stored.
        """
        ...
