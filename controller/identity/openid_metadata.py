"""What an OpenID Connect issuer says of itself (OpenID Connect Discovery 1.0)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from controller.identity.oidc_settings import is_confidential
from controller.process.http_client import Unanswered
from controller.process.json_client import JsonClient

WELL_KNOWN = "/.well-known/openid-configuration"
"""Where an issuer's metadata is, below its address (section 4)."""


class Metadata(NamedTuple):
    """The addresses of an issuer, "" for those that it does not have."""

    jwks: str
    authorization: str
    token: str
    device_authorization: str
    revocation: str
    offline_access: bool
    """Whether it says that the scope `offline_access` asks for a refresh token."""


async def read_metadata(client: JsonClient, issuer: str, headers: Mapping[str, str] | None = None) -> Metadata:
    """The metadata of that issuer. Raises `Unanswered`, also for those of another one, and for an address in them to
    which secrets would be sent in the clear."""
    found = await client.get(issuer.rstrip("/") + WELL_KNOWN, headers)
    if found.get("issuer") != issuer:
        raise Unanswered("its metadata are those of another issuer")
    scopes = found.get("scopes_supported")
    return Metadata(
        jwks=_address(found, "jwks_uri", needed=True),
        authorization=_address(found, "authorization_endpoint"),
        token=_address(found, "token_endpoint"),
        device_authorization=_address(found, "device_authorization_endpoint"),
        revocation=_address(found, "revocation_endpoint"),
        offline_access=isinstance(scopes, list) and "offline_access" in scopes,
    )


def _address(metadata: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    address = metadata.get(name)
    if address is None and not needed:
        return ""
    if not isinstance(address, str) or not is_confidential(address):
        raise Unanswered(f"its metadata have no {name} with https://")
    return address
