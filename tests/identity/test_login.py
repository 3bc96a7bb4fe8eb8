"""The login of the console: a whole controller with TLS, a real issuer, and a browser's cookies."""

import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession, web
from yarl import URL

from controller.core.access.binding import Binding
from controller.core.access.permission import Role
from controller.core.access.principal import Principal
from controller.core.model.actor import Proof
from controller.identity.login import LOGIN_COOKIE, Login
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_provider import FLOOR, OpenIdProvider
from controller.identity.sessions import LONGEST, Sessions
from controller.identity.token_verifier import TokenVerifier
from controller.ports.authenticator import SESSION_COOKIE
from tests.fakes.clock import FakeClock
from tests.support.http_server import http_server
from tests.support.issuer import AUDIENCE, CLIENT, SECRET, Issuer, issuer_open
from tests.support.secured import Secured, secured_controller

OPERATORS = (Binding(group="ml-oncall", role=Role.BREAKER),)


@dataclass
class World:
    """A controller, its issuer, and a browser that keeps cookies."""

    issuer: Issuer
    secured: Secured
    browser: ClientSession

    async def begin(self) -> tuple[URL, Morsel[str]]:
        """Where a login sends the browser to, and the cookie that it gets."""
        async with self.browser.get("/login", allow_redirects=False) as response:
            assert response.status == 302
            return URL(response.headers["Location"]), response.cookies[LOGIN_COOKIE]

    async def come_back(self, callback: str | URL) -> tuple[int, str, SimpleCookie]:
        """The page at the end of a login."""
        async with self.browser.get(callback) as response:
            return response.status, await response.text(), response.cookies

    async def log_in(self) -> Morsel[str]:
        """The session's cookie of a login that succeeds."""
        status, page, cookies = await self.come_back("/login")
        assert status == 200, page
        return cookies[SESSION_COOKIE]

    async def status(self, path: str = "/console/state") -> int:
        async with self.browser.get(path) as response:
            return response.status


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Alice is on call, and at the issuer already."""
    (tmp_path / "secret").write_text(SECRET)
    async with issuer_open() as issuer:
        issuer.person["groups"] = ["ml-oncall"]
        settings = Oidc(issuer=issuer.url, audience=AUDIENCE, client_id=CLIENT, client_secret_file=tmp_path / "secret")
        async with (
            secured_controller(tmp_path, OPERATORS, oidc=(settings,)) as secured,
            browser_of(secured) as browser,
        ):
            yield World(issuer, secured, browser)


@contextlib.asynccontextmanager
async def browser_of(secured: Secured) -> AsyncIterator[ClientSession]:
    """A browser without a certificate."""
    connector = aiohttp.TCPConnector(ssl=secured.client_context(None))
    jar = aiohttp.CookieJar(unsafe=True)  # the host is an address
    base = f"https://{secured.settings.http_listen}"
    async with ClientSession(base, connector=connector, cookie_jar=jar) as session:
        yield session


async def test_a_login_makes_a_session(world: World) -> None:
    """Without one there is no state; with it the page says who it is, and what it does is under that name."""
    assert await world.status() == 401
    cookie = await world.log_in()
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "Strict", "/")
    assert await world.status() == 200
    body = {"service": None, "reason": "incident 42"}
    async with world.browser.post("/freeze", json=body, headers={"Haldane-User": "mallory"}) as response:
        assert response.status == 200
        assert (await response.json())["who"] == "alice@example.com"


async def test_the_code_is_for_whoever_began(world: World) -> None:
    """The issuer gets a challenge and a nonce, and for the code the verifier and the client's secret."""
    where, cookie = await world.begin()
    assert (where.query["client_id"], where.query["scope"]) == (CLIENT, "openid email profile")
    assert where.query["redirect_uri"] == f"https://{world.secured.settings.http_listen}/login/callback"
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/login")
    status, page, _ = await world.come_back(where)
    assert status == 200
    assert 'http-equiv="refresh" content="0; url=/"' in page  # only a page of its own may send the Strict cookie
    assert base64.b64decode(world.issuer.asked["authorization"].removeprefix("Basic ")) == f"{CLIENT}:{SECRET}".encode()
    assert len({where.query["state"], where.query["nonce"], cookie.value, world.issuer.asked["code_verifier"]}) == 4


async def test_a_code_counts_once(world: World) -> None:
    """Whoever reads it in the browser's history gets nothing for it."""
    where, _ = await world.begin()
    async with world.browser.get(where, allow_redirects=False) as response:
        callback = response.headers["Location"]
    assert (await world.come_back(callback))[0] == 200
    status, page, cookies = await world.come_back(callback)
    assert (status, SESSION_COOKIE in cookies) == (400, False)
    assert "begun no such login" in page


async def test_another_browser_cannot_finish_a_login(world: World) -> None:
    """An attacker's own code, sent to somebody, logs nobody in as the attacker."""
    where, _ = await world.begin()
    async with world.browser.get(where, allow_redirects=False) as response:
        callback = response.headers["Location"]
    async with browser_of(world.secured) as other:
        victim = World(world.issuer, world.secured, other)
        assert (await victim.come_back(callback))[0] == 400
        await victim.begin()
        assert (await victim.come_back(callback))[0] == 400
        assert await victim.status() == 401


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"nonce": None}, {"aud": AUDIENCE}, {"azp": "another"}, {"exp": 1}, {"iss": "https://x"}],
    ids=str,
)
async def test_an_id_token_of_something_else_is_refused(world: World, claims: dict[str, Any]) -> None:
    """Of another login, for another client, too old, of another issuer: no session comes of it."""
    world.issuer.id_token = claims
    status, page, cookies = await world.come_back("/login")
    assert (status, SESSION_COOKIE in cookies) == (403, False)
    assert "Not logged in" in page
    assert await world.status() == 401


async def test_what_the_issuer_says_is_shown_as_text(world: World) -> None:
    """Also if it is markup; and a stranger's words need a login that has begun."""
    where, _ = await world.begin()
    words = {"state": where.query["state"], "error": "<script>access_denied"}
    status, page, _ = await world.come_back(URL("/login/callback").with_query(words))
    assert status == 403
    assert "&lt;script&gt;access_denied" in page
    assert "<script" not in page
    assert (await world.come_back(URL("/login/callback").with_query({**words, "state": "x"})))[0] == 400


async def test_a_logout_ends_the_session(world: World) -> None:
    """For whoever has a copy of the cookie, too; the page itself is there for everybody."""
    cookie = await world.log_in()
    async with world.browser.post("/logout") as response:
        assert response.cookies[SESSION_COOKIE].value == ""
    world.browser.cookie_jar.update_cookies({SESSION_COOKIE: cookie.value}, world.browser._base_url or URL())
    assert await world.status() == 401
    assert await world.status("/") == 200
    assert await world.status("/login/config") == 200


async def test_other_sites_cannot_use_the_session(world: World) -> None:
    """Neither to freeze nor to log out, even if a browser sent the cookie."""
    await world.log_in()
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        for path in ("/freeze", "/logout"):
            async with world.browser.post(path, json={"service": None, "reason": "x"}, headers=headers) as response:
                assert response.status == 403, path
    assert await world.status() == 200


async def test_a_session_gives_what_its_holder_may(world: World) -> None:
    """Somebody whom no binding names is known, and may do nothing."""
    world.issuer.person = {"sub": "u2", "email": "bob@example.com"}
    await world.log_in()
    async with world.browser.get("/console/state") as response:
        assert response.status == 403
        assert "bob@example.com has no role" in (await response.json())["message"]


def test_sessions_end_with_their_token_or_after_twelve_hours() -> None:
    """Whichever comes first, by the wall clock."""
    clock = FakeClock()
    sessions = Sessions(clock)
    alice = Principal("alice", Proof.OIDC)
    short, long = sessions.open(alice, clock.wall() + 300), sessions.open(alice, clock.wall() + 10 * LONGEST)
    assert [sessions.principal(each) for each in (short, long, "", "x")] == [alice, alice, None, None]
    clock.advance(300)
    assert [sessions.principal(each) for each in (short, long)] == [None, alice]
    clock.advance(LONGEST - 300)
    assert sessions.principal(long) is None


def test_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more ends the one that would end first; those that have ended take no place."""
    monkeypatch.setattr("controller.identity.sessions.MAX_SESSIONS", 100)
    clock = FakeClock()
    sessions = Sessions(clock)
    alice = Principal("alice", Proof.OIDC)
    first = [sessions.open(alice, clock.wall() + 60 + number) for number in range(100)]
    last = sessions.open(alice, clock.wall() + 3600)
    assert [sessions.principal(each) for each in (first[0], first[1], last)] == [None, alice, alice]
    clock.advance(61)
    sessions.open(alice, clock.wall() + 3600)
    assert sessions.principal(first[2]) == alice


async def test_clients_learn_how_to_get_a_token() -> None:
    """Issuer, client, audience, scopes and endpoints; while the issuer was never read, that it does not answer."""
    async with issuer_open() as issuer:
        issuer.away = True
        clock = FakeClock()
        settings = Oidc(issuer=issuer.url, audience=AUDIENCE, client_id=CLIENT)
        provider = OpenIdProvider(settings, clock)
        app = web.Application()
        routes = Login(settings, provider, TokenVerifier(settings, provider, clock), Sessions(clock)).routes()
        app.add_routes([web.route(each.method, each.path, each.handler) for each in routes])
        async with http_server(app) as url, ClientSession(url) as session:
            for path in ("/login/config", "/login"):
                async with session.get(path, allow_redirects=False) as response:
                    assert response.status == 503
                    assert "HTTP 503" in await response.text()
            issuer.away = False
            clock.advance(FLOOR)
            async with session.get("/login/config") as response:
                assert await response.json() == {
                    "issuer": issuer.url,
                    "client_id": CLIENT,
                    "device_client_id": CLIENT,
                    "audience": AUDIENCE,
                    "scopes": ["openid", "email", "profile"],
                    "authorization_endpoint": f"{issuer.url}/authorize",
                    "token_endpoint": f"{issuer.url}/token",
                    "device_authorization_endpoint": f"{issuer.url}/device",
                }
