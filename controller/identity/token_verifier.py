"""Tokens of OpenID Connect issuers -> who holds them."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError

from controller.core.access.principal import Principal, is_nameable
from controller.core.base.errors import Code, Refusal
from controller.core.base.text import clean
from controller.core.model.actor import Proof
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_provider import OpenIdProvider
from controller.identity.signature_keys import KEY_TYPES
from controller.ports.clock import Clock

MAX_TOKEN = 16_384
"""Characters of a token."""
MAX_GROUPS = 1000
LEEWAY = 60
"""Seconds by which the clocks of the issuer and of this machine may differ."""


class VerifiedToken(NamedTuple):
    """A token that is valid now."""

    principal: Principal
    expires_at: float
    """Unix seconds."""


class TokenVerifier:
    """Verifies the tokens of one issuer: who signed them, whom they are for, and when they are valid."""

    def __init__(self, settings: Oidc, provider: OpenIdProvider, clock: Clock) -> None:
        self._settings = settings
        self._provider = provider
        self._clock = clock

    @property
    def issuer(self) -> str:
        """Whose tokens it verifies."""
        return self._settings.issuer

    async def verify_bearer(self, token: str) -> VerifiedToken:
        """A token that a client brought for this controller. `Refusal` with UNAUTHENTICATED if it is not valid."""
        return self._verified(await self._claims(token, self._settings.audience))

    async def verify_login(self, token: str, nonce: str) -> VerifiedToken:
        """The ID token of a login with that nonce (OpenID Connect Core 1.0, section 3.1.3.7). `Refusal` with
        UNAUTHENTICATED if it is not valid."""
        client = self._settings.client_id
        claims = await self._claims(token, client)
        if claims.get("nonce") != nonce:
            raise _not_valid("it is of another login")
        if claims.get("azp", client) != client:
            raise _not_valid("it was issued to another client")
        return self._verified(claims)

    async def _claims(self, token: str, audience: str) -> Mapping[str, Any]:
        header, _ = read_unverified(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
            raise _not_valid("its signature's algorithm is not accepted")
        if not isinstance(key_id, str | None):
            raise _not_valid("the id of its key is no text")
        key = await self._provider.key(key_id, algorithm)
        expected = jwt.JWTClaimsRegistry(
            now=int(self._clock.wall()),
            leeway=LEEWAY,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, key.key, algorithms=[algorithm]).claims
            expected.validate(claims)
        except ExpiredTokenError:
            raise Refusal(Code.UNAUTHENTICATED, "the token has expired") from None
        except (JoseError, ValueError) as error:
            raise _not_valid(clean(str(error))[:200]) from None
        return claims

    def _verified(self, claims: Mapping[str, Any]) -> VerifiedToken:
        subject, email = claims["sub"], claims.get("email")
        names = [subject]
        # An address that the issuer has not verified is whatever its holder has typed there.
        if isinstance(email, str) and claims.get("email_verified") is True:
            names.insert(0, email)
        if not all(map(is_nameable, names)):
            raise _not_valid("its subject cannot be stored and shown")
        groups = claims.get(self._settings.groups_claim)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        principal = Principal(
            name=names[0],
            proof=Proof.OIDC,
            subjects=frozenset(names),
            groups=frozenset(group for group in listed[:MAX_GROUPS] if isinstance(group, str)),
            issuer=self._settings.issuer,
        )
        return VerifiedToken(principal, claims["exp"])


class BearerTokens:
    """The tokens of all issuers of the settings."""

    def __init__(self, verifiers: Iterable[TokenVerifier] = ()) -> None:
        self._verifiers = {each.issuer: each for each in verifiers}

    async def principal(self, token: str) -> Principal:
        """Whose token it is. `Refusal` with UNAUTHENTICATED if it is not valid."""
        _, claims = read_unverified(token)
        issuer = claims.get("iss")
        verifier = self._verifiers.get(issuer) if isinstance(issuer, str) else None
        if verifier is None:
            raise _not_valid("its issuer is not among those of the settings")
        return (await verifier.verify_bearer(token)).principal


def read_unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a token says of itself: its header and its claims, which anyone may have written. `Refusal` with
    UNAUTHENTICATED if it is no signed JSON Web Token."""
    if len(token) > MAX_TOKEN:
        raise _not_valid(f"it has more than {MAX_TOKEN} characters")
    parts = token.split(".")
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
    except (ValueError, binascii.Error, RecursionError):
        header = claims = None
    if len(parts) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
        raise Refusal(Code.UNAUTHENTICATED, "the token is not valid")
    return header, claims


def _not_valid(why: str) -> Refusal:
    return Refusal(Code.UNAUTHENTICATED, f"the token is not valid: {why}")
