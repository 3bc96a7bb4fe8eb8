"""The issuer at which the user of a command logs in. Slow to load: only for what asks it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from controller.cli.failure import Exit, Failure
from controller.cli.saved_login import AGAIN, SavedLogin
from controller.core.base.text import clean
from controller.identity.device_login import DeviceClient, DeviceCode, LoginError, Tokens, audiences_of, bearer_of
from controller.identity.oidc_settings import is_confidential
from controller.identity.openid_metadata import read_metadata
from controller.process.http_client import Unanswered
from controller.process.json_client import JsonClient

__all__ = ["Unanswered", "end", "log_in", "refreshed"]

_ENDS = {
    "access_denied": "the request was denied at the issuer's page",
    "expired_token": "nobody agreed in time, so the code has expired",
    "invalid_client": "the issuer does not accept the client: a client of `haldane login` needs no secret",
    "unauthorized_client": "the issuer does not allow this client device logins",
    "unsupported_grant_type": "the issuer has no device logins",
}
"""The codes of RFC 8628 and RFC 6749 that a person can do something about."""


def log_in(login: SavedLogin, scopes: tuple[str, ...], show: Callable[[DeviceCode], None]) -> SavedLogin:
    """The login with its first token, once the person has agreed at the page that `show` shows. Raises `Failure`."""

    async def ask() -> Tokens:
        client = await _client(login)
        code = await client.begin(scopes, login.audience)
        show(code)
        return await client.wait(code, asyncio.sleep, time.monotonic)

    try:
        tokens = asyncio.run(ask())
    except LoginError as error:
        raise Failure(Exit.FAILED, f"not logged in: {_described(error)}", code=error.code.upper()[:64]) from None
    except Unanswered as unanswered:
        message = f"not logged in: {login.issuer} does not answer as it should: {unanswered}"
        raise Failure(Exit.FAILED, message, code="ISSUER") from None
    return _with(login, tokens)


def refreshed(login: SavedLogin) -> SavedLogin:
    """The login with its next token. Raises `Unanswered`, and `Failure` if the issuer gives none any more."""

    async def ask() -> Tokens:
        return await (await _client(login)).refresh(login.refresh_token)

    try:
        tokens = asyncio.run(ask())
    except LoginError as error:
        message = f"your login at {login.admin} has ended: {_described(error)}"
        raise Failure(Exit.FAILED, message, code=error.code.upper()[:64], hint=AGAIN) from None
    return _with(login, tokens)


def end(login: SavedLogin) -> None:
    """End the login at the issuer too, if it can do that. Raises `Unanswered`."""

    async def ask() -> None:
        await (await _client(login)).revoke(login.refresh_token)

    if login.refresh_token:
        asyncio.run(ask())


async def _client(login: SavedLogin) -> DeviceClient:
    if not is_confidential(login.issuer):
        raise Unanswered("it has no https://, so others could read what is sent to it")
    client = JsonClient(Path(login.issuer_ca) if login.issuer_ca else None)
    return DeviceClient(client, await read_metadata(client, login.issuer), login.client_id)


def _with(login: SavedLogin, tokens: Tokens) -> SavedLogin:
    now = time.time()
    bearer = bearer_of(tokens, login.issuer, login.audience, now)
    if bearer is None:
        found = clean(", ".join(audiences_of(tokens)))[:200] or "nobody that can be read"
        message = f"the issuer's tokens are for {found}, and the controller wants {login.audience!r} in `aud`"
        hint = (
            "at the issuer, add the audience to the tokens of this client; or make `audience` in [oidc] the client's id"
        )
        raise Failure(Exit.FAILED, message, code="AUDIENCE", hint=hint)
    return replace(
        login,
        token=bearer.token,
        expires_at=now + bearer.lifetime if bearer.lifetime else 0.0,
        refresh_token=tokens.refresh_token or login.refresh_token,
    )


def _described(error: LoginError) -> str:
    words = _ENDS.get(error.code, "")
    given = clean(f"{error.code}: {error.description}" if error.description else error.code)
    return f"{words} ({given})" if words else given
