"""A real OpenID Connect issuer on loopback: metadata, keys, a login with PKCE."""

import asyncio
import base64
import contextlib
import functools
import hashlib
import html
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.support.http_server import http_server

AUDIENCE = "haldane"
CLIENT = "haldane-console"
SECRET = "s3cret-of-the-console"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

Key = ECKey | RSAKey


def ec_key(kid: str) -> ECKey:
    """A new key for ES256."""
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})


@functools.cache
def rsa_key(kid: str) -> RSAKey:
    """The key of that id for RS256: to make one takes 0.1 s of CPU."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass
class Issuer:
    """What it publishes and issues, and what it was asked for. Tests change it as they like."""

    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [ec_key("first")])
    more_keys: list[Any] = field(default_factory=list)
    """Entries of the key set that are shown beside."""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "u1", "email": "alice@example.com"})
    """The claims of whoever logs in; a verified address unless it says otherwise."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the metadata have in place of what is right."""
    id_token: dict[str, Any] = field(default_factory=dict)
    """What the ID tokens of logins have in place of what is right."""
    asks: bool = False
    """Whether it shows the person a page with a link to go on (`#go`), else it knows the person at once."""
    away: bool = False
    """Whether it answers 503 to everything."""
    reads: int = 0
    """How often its keys were read."""
    authorizations: list[str] = field(default_factory=list)
    """The `authorization` headers with which its keys were read."""
    asked: Mapping[str, str] = field(default_factory=dict)
    """The last request to the token endpoint."""
    lifetime: float = 300.0
    """Seconds for which tokens are valid."""
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=lambda: {"interval": 0.01})
    """What a device login's beginning has in place of what is right."""
    device_answers: list[Any] = field(default_factory=list)
    """What a device that asks for its token gets first: a code of an error, or a status; and then the token."""
    device_tokens: dict[str, Any] = field(default_factory=dict)
    """What devices get in place of what is right; None leaves one out."""
    begun: list[Mapping[str, str]] = field(default_factory=list)
    """The requests that began a device login."""
    polls: int = 0
    """How often devices have asked for a token."""
    refresh_tokens: set[str] = field(default_factory=set)
    """Those that give another token: each of them once."""
    refreshes: int = 0
    revoked: list[str] = field(default_factory=list)

    def claims(self, **others: Any) -> dict[str, Any]:
        """Those of a good access token, with others in place; None leaves one out."""
        now = int(time.time())
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + int(self.lifetime),
            "email_verified": True,
            **self.person,
            **others,
        }
        return {name: value for name, value in good.items() if value is not None}

    def token(self, key: Key | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A good access token, changed so."""
        key = key or self.keys[0]
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        named = {"kid": key.kid} if key.kid is not None else {}
        return jwt.encode(
            {"alg": algorithm, **named, **(header or {})}, self.claims(**claims), key, algorithms=[algorithm]
        )

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[self._unless_away])
        app.router.add_get("/.well-known/openid-configuration", self._metadata)
        app.router.add_get("/keys", self._keys)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_post("/device", self._begin_device)
        app.router.add_post("/revoke", self._revoke)
        return app

    @web.middleware
    async def _unless_away(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.away:
            raise web.HTTPServiceUnavailable
        return await handler(request)

    async def _metadata(self, _request: web.Request) -> web.Response:
        right = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "revocation_endpoint": f"{self.url}/revoke",
            "scopes_supported": ["openid", "offline_access"],
        }
        return web.json_response(_without_none({**right, **self.metadata}))

    async def _keys(self, request: web.Request) -> web.Response:
        self.reads += 1
        self.authorizations.append(request.headers.get("Authorization", ""))
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys] + self.more_keys})

    async def _authorize(self, request: web.Request) -> web.Response:
        """Sends the browser back with a code, at once or from a page of its own."""
        query = dict(request.query)
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        if not self.asks:
            raise web.HTTPFound(back)
        return web.Response(text=f'<a id="go" href="{html.escape(back)}">I am alice</a>', content_type="text/html")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked = {**form, "authorization": request.headers.get("Authorization", "")}
        if form.get("grant_type") in (DEVICE_GRANT, "refresh_token"):
            return self._device_token(form)
        query = self.codes.pop(form.get("code", ""), None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            query is None
            or query["code_challenge_method"] != "S256"
            or query["code_challenge"] != base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
            or query["redirect_uri"] != form.get("redirect_uri")
            or form.get("grant_type") != "authorization_code"
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = {"aud": query["client_id"], "nonce": query["nonce"], **self.id_token}
        token = self.token(**claims)
        return web.json_response({"access_token": self.token(), "token_type": "Bearer", "id_token": token})

    async def _begin_device(self, request: web.Request) -> web.Response:
        """RFC 8628, section 3.2."""
        self.begun.append({name: str(value) for name, value in (await request.post()).items()})
        right = {
            "device_code": f"device-{len(self.begun)}",
            "user_code": "WDJB-MJHT",
            "verification_uri": f"{self.url}/activate",
            "verification_uri_complete": f"{self.url}/activate?user_code=WDJB-MJHT",
            "expires_in": 600,
        }
        return web.json_response(_without_none({**right, **self.device}))

    def _device_token(self, form: Mapping[str, str]) -> web.Response:
        """RFC 8628, section 3.4, and RFC 6749, section 6, with refresh tokens that are good for once."""
        if form["grant_type"] == DEVICE_GRANT:
            self.polls += 1
            if form.get("device_code") != f"device-{len(self.begun)}" or form.get("client_id") is None:
                return web.json_response({"error": "invalid_grant"}, status=400)
            if self.device_answers:
                answer = self.device_answers.pop(0)
                if isinstance(answer, int):
                    return web.Response(status=answer)
                return web.json_response({"error": answer, "error_description": f"it is {answer}"}, status=400)
        else:
            self.refreshes += 1
            if form.get("refresh_token") not in self.refresh_tokens:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refresh_tokens.remove(form["refresh_token"])
        next_one = f"refresh-{self.polls}-{self.refreshes}"
        self.refresh_tokens.add(next_one)
        right = {
            "access_token": self.token(jti=next_one),
            "token_type": "Bearer",
            "id_token": self.token(aud=form["client_id"]),
            "expires_in": int(self.lifetime),
            "refresh_token": next_one,
        }
        return web.json_response(_without_none({**right, **self.device_tokens}))

    async def _revoke(self, request: web.Request) -> web.Response:
        """RFC 7009."""
        token = str((await request.post()).get("token"))
        self.refresh_tokens.discard(token)
        self.revoked.append(token)
        return web.Response()


def _without_none(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


@contextlib.asynccontextmanager
async def issuer_open(issuer: Issuer | None = None, port: int = 0) -> AsyncIterator[Issuer]:
    """A running issuer, until the end of the block."""
    issuer = issuer or Issuer()
    async with http_server(issuer.app(), port) as url:
        issuer.url = url
        yield issuer


@contextlib.contextmanager
def issuer_in_a_thread(issuer: Issuer) -> Iterator[Issuer]:
    """The same for tests that have no event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = contextlib.AsyncExitStack()
    try:
        yield asyncio.run_coroutine_threadsafe(stack.enter_async_context(issuer_open(issuer)), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
