"""How people log in to the console: OpenID Connect's code flow with PKCE (RFC 7636), and a cookie for what comes of it.

What a login must remember until the browser is back from the issuer is in a cookie of that browser, so that nobody can
fill the memory, and no other browser can finish it. The session's cookie is SameSite=Strict: a browser that comes from
the issuer's page does not send it on a redirect, so the last page of a login leads on to the console by itself.
"""

import asyncio
import base64
import hashlib
import hmac
import html
import secrets
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

import structlog
from aiohttp import hdrs, web
from yarl import URL

from controller.core.access.permission import Permission
from controller.core.base.errors import Refusal
from controller.core.base.text import clean
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_metadata import Metadata
from controller.identity.openid_provider import OpenIdProvider
from controller.identity.sessions import LONGEST, Sessions
from controller.identity.token_verifier import TokenVerifier
from controller.ports.authenticator import SESSION_COOKIE
from controller.process.counted_warning import CountedWarning
from controller.process.http_client import Unanswered, read_keys
from controller.process.json_client import JsonClient
from controller.process.web_route import Route

LOGIN_COOKIE = "haldane_login"
"""The cookie of a login that has begun."""
LOGIN_PATH = "/login"
CALLBACK_PATH = "/login/callback"
LOGIN_WITHIN = 600
"""Seconds for a login."""
MAX_EXCHANGES = 16
"""Codes at once that the issuer is asked about: strangers can make up as many as they like."""

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)

log = structlog.get_logger()


class LoginSecrets(NamedTuple):
    """What proves that a browser comes back with the login that it began: all derived from one secret of its cookie."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def of(cls, secret: str) -> "LoginSecrets":
        """Those of the login with that secret."""
        return cls(*(_derived(secret, name) for name in cls._fields))

    @property
    def challenge(self) -> str:
        """That of the verifier, by S256 (RFC 7636, section 4.2)."""
        return _coded(hashlib.sha256(self.verifier.encode()).digest())


class Login:
    """The routes by which people log in at one issuer."""

    def __init__(self, settings: Oidc, provider: OpenIdProvider, verifier: TokenVerifier, sessions: Sessions) -> None:
        self._settings = settings
        self._provider = provider
        self._verifier = verifier
        self._sessions = sessions
        self._client = JsonClient(settings.ca_file)
        self._exchanges = asyncio.Semaphore(MAX_EXCHANGES)
        self._failures = CountedWarning("login_failed")

    def routes(self) -> list[Route]:
        """For the HTTP door. Whoever can connect may log in; what that allows is for the settings to say."""
        return [
            Route("GET", "/login/config", self.config, Permission.PUBLIC),
            Route("GET", LOGIN_PATH, self.begin, Permission.PUBLIC),
            Route("GET", CALLBACK_PATH, self.finish, Permission.PUBLIC),
            Route("POST", "/logout", self.end, Permission.PUBLIC),
        ]

    async def config(self, _request: web.Request) -> web.Response:
        """GET /login/config: what a client needs to ask the issuer for a token. An address that it lacks is null."""
        try:
            metadata = await self._provider.metadata()
        except Unanswered as unanswered:
            body = {"error": "UNAVAILABLE", "message": f"the issuer does not answer: {unanswered}"}
            return web.json_response(body, status=503, headers={hdrs.RETRY_AFTER: "30"})
        return web.json_response(
            {
                "issuer": self._settings.issuer,
                "client_id": self._settings.client_id,
                "device_client_id": self._settings.device_client,
                "audience": self._settings.audience,
                "scopes": self._settings.scopes,
                "authorization_endpoint": metadata.authorization or None,
                "token_endpoint": metadata.token or None,
                "device_authorization_endpoint": metadata.device_authorization or None,
            }
        )

    async def begin(self, request: web.Request) -> web.Response:
        """GET /login: sends the browser to the issuer."""
        try:
            metadata = await self._metadata()
        except Unanswered as unanswered:
            return self._failed(f"the issuer does not answer: {unanswered}", 503)
        secret = secrets.token_urlsafe(32)
        login = LoginSecrets.of(secret)
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": _callback(request),
            "scope": " ".join(self._settings.scopes),
            "state": login.state,
            "nonce": login.nonce,
            "code_challenge": login.challenge,
            "code_challenge_method": "S256",
        }
        response = _page("Log in", "The issuer's page is next.", status=302)
        response.headers[hdrs.LOCATION] = str(URL(metadata.authorization).update_query(query))
        response.set_cookie(
            LOGIN_COOKIE,
            secret,
            max_age=LOGIN_WITHIN,
            path=LOGIN_PATH,
            secure=request.secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def finish(self, request: web.Request) -> web.Response:
        """GET /login/callback: where the issuer sends the browser back to, with a code for a token."""
        login = LoginSecrets.of(request.cookies.get(LOGIN_COOKIE, ""))
        query = request.query
        if LOGIN_COOKIE not in request.cookies or not _same(query.get("state", ""), login.state):
            return self._failed("this browser has begun no such login, or long ago", 400)
        if "code" not in query:
            return self._failed(f"the issuer says: {query.get('error', 'nothing')}", 403)
        try:
            token = await self._id_token(query["code"], login, _callback(request))
            verified = await self._verifier.verify_login(token, login.nonce)
        except Unanswered as unanswered:
            return self._failed(f"the issuer gives no token: {unanswered}", 502)
        except Refusal as refusal:
            return self._failed(refusal.message, 403)
        log.info("logged_in", who=verified.principal.name, issuer=self._settings.issuer)
        response = _page("Logged in", f"You are {verified.principal.name}.", onward=True)
        response.del_cookie(LOGIN_COOKIE, path=LOGIN_PATH)
        response.set_cookie(
            SESSION_COOKIE,
            self._sessions.open(verified.principal, verified.expires_at),
            max_age=int(LONGEST),
            path="/",
            secure=request.secure,
            httponly=True,
            samesite="Strict",
        )
        return response

    async def end(self, request: web.Request) -> web.Response:
        """POST /logout: ends the session. What the issuer remembers of the person is the issuer's."""
        self._sessions.close(request.cookies.get(SESSION_COOKIE, ""))
        response = web.json_response({"status": "logged out"})
        response.del_cookie(SESSION_COOKIE, path="/", secure=request.secure, httponly=True, samesite="Strict")
        return response

    async def _metadata(self) -> Metadata:
        metadata = await self._provider.metadata()
        if not (metadata.authorization and metadata.token):
            raise Unanswered("its metadata have no authorization_endpoint and token_endpoint")
        return metadata

    async def _id_token(self, code: str, login: LoginSecrets, callback: str) -> str:
        """The ID token for that code. Raises `Unanswered`."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": callback,
            "code_verifier": login.verifier,
        }
        async with self._exchanges:
            headers = await self._client_secret()
            if not headers:
                fields["client_id"] = self._settings.client_id
            answer = await self._client.post_form((await self._metadata()).token, fields, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unanswered("its answer has no ID token")
        return token

    async def _client_secret(self) -> Mapping[str, str]:
        """What proves that it is this client that asks (RFC 6749, section 2.3.1). Raises `Unanswered`."""
        file = self._settings.client_secret_file
        if file is None:
            return {}
        try:
            (secret, *_) = await asyncio.to_thread(read_keys, file)
        except (OSError, ValueError) as error:
            raise Unanswered(f"client_secret_file: {error}") from None
        pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret.get_secret_value(), safe='')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def _failed(self, why: str, status: int) -> web.Response:
        why = clean(why)[:500]
        self._failures.count(reason=why)
        return _page("Not logged in", f"{why[:1].upper()}{why[1:]}.", status=status)


def _page(title: str, text: str, *, status: int = 200, onward: bool = False) -> web.Response:
    """A page of a login. With `onward` it leads on to the console by itself."""
    refresh = '<meta http-equiv="refresh" content="0; url=/">' if onward else ""
    links = '<a href="/">The console</a>' + ("" if onward else f' <a href="{LOGIN_PATH}">Try again</a>')
    body = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>{title} - Haldane</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/console/console.css"></head>'
        f"<body><header><h1>{title}</h1></header><main><p>{html.escape(text)}</p><p>{links}</p></main></body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return web.Response(text=body, content_type="text/html", status=status, headers=headers)


def _callback(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}{CALLBACK_PATH}"


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())


def _derived(secret: str, name: str) -> str:
    return _coded(hmac.digest(secret.encode(errors="replace"), name.encode(), "sha256"))


def _coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
