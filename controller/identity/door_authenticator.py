"""Credentials -> a caller: the door's answer to who is there."""

import os
import pwd
from collections.abc import Sequence

from controller.core.access.binding import Binding
from controller.core.access.caller import Caller, caller_of
from controller.core.access.permission import Role
from controller.core.access.principal import Principal
from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Actor, Proof
from controller.identity.certificates import principal_of
from controller.identity.claimed_name import claimed_name
from controller.identity.sessions import Sessions
from controller.identity.static_tokens import StaticTokens
from controller.identity.token_verifier import BearerTokens
from controller.ports.authenticator import Credentials

BEARER = "bearer "

_OWN = (Binding(subject="the user of the controller", role=Role.ADMIN),)
"""Whoever runs the controller, or is root, could read its key and change its state by other means too."""


class DoorAuthenticator:
    """Verifies credentials, and finds out what the settings bind the caller to. Implements `ports.Authenticator`.

    Of several credentials the most specific one counts: a token, else a session, else a certificate, else the user of
    the socket. While the settings bind nobody, everybody may do everything, and a caller without credentials is whom it
    says it is.
    """

    def __init__(
        self,
        bindings: Sequence[Binding],
        tokens: StaticTokens,
        bearer_tokens: BearerTokens | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        self._bindings = tuple(bindings)
        self._tokens = tokens
        self._bearer_tokens = bearer_tokens or BearerTokens()
        self._sessions = sessions

    async def authenticate(self, credentials: Credentials) -> Caller:
        """The caller. `Refusal` with UNAUTHENTICATED for credentials that are not valid."""
        principal = await self._principal(credentials)
        if principal is None:
            claimed = Actor(claimed_name(credentials.user, credentials.peer))
            return Caller(claimed, () if self._bindings else None)
        if not self._bindings:
            return Caller(Actor(principal.name, principal.proof), None, principal)
        if principal.proof is Proof.SOCKET and credentials.user_id in (0, os.geteuid()):
            return Caller(Actor(principal.name, principal.proof), _OWN, principal)
        return caller_of(principal, self._bindings)

    async def _principal(self, credentials: Credentials) -> Principal | None:
        if credentials.authorization:
            return await self._bearer(credentials.authorization)
        # A browser sends the cookie of a session that has ended too, also to log in again: it counts as none.
        if self._sessions and (principal := self._sessions.principal(credentials.session)):
            return principal
        if credentials.certificate is not None:
            try:
                return principal_of(credentials.certificate)
            except ValueError as error:
                raise Refusal(Code.UNAUTHENTICATED, f"the client certificate names nobody: {error}") from None
        if credentials.user_id is not None:
            name = f"unix:{_user_name(credentials.user_id)}"
            return Principal(name, Proof.SOCKET, frozenset({name, f"unix:{credentials.user_id}"}))
        return None

    async def _bearer(self, authorization: str) -> Principal:
        if not authorization.lower().startswith(BEARER):
            raise Refusal(Code.UNAUTHENTICATED, "authorization: `Bearer TOKEN` is needed")
        token = authorization[len(BEARER) :].strip()
        return self._tokens.principal(token) or await self._bearer_tokens.principal(token)


def _user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:  # as in many containers
        return str(user_id)
