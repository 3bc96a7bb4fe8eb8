"""Where people log in."""

from typing import NamedTuple


class LoginConfig(NamedTuple):
    """What a client asks the issuer for a token with. The defaults are those of a controller where nobody logs in."""

    issuer: str = ""
    """The OpenID Connect issuer."""
    client_id: str = ""
    """The client of device logins."""
    audience: str = ""
    """What a token must have in `aud`."""
    scopes: tuple[str, ...] = ()
