"""`GET /login/config`: what clients need for a login, from the issuer's own metadata."""

from aiohttp import ClientSession, web

from controller.identity.login_routes import login_routes
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_provider import FLOOR, OpenIdProvider
from tests.fakes.clock import FakeClock
from tests.support.http_server import http_server
from tests.support.issuer import AUDIENCE, CLIENT, issuer_open


async def test_clients_learn_how_to_get_a_token() -> None:
    """Issuer, client, audience, scopes and endpoints; while the issuer was never read, that it does not answer."""
    async with issuer_open() as issuer:
        issuer.away = True
        clock = FakeClock()
        settings = Oidc(issuer=issuer.url, audience=AUDIENCE, client_id=CLIENT)
        app = web.Application()
        routes = login_routes(settings, OpenIdProvider(settings, clock))
        app.add_routes([web.route(each.method, each.path, each.handler) for each in routes])
        async with http_server(app) as url, ClientSession(url) as session:
            async with session.get("/login/config") as response:
                assert response.status == 503
                assert "HTTP 503" in (await response.json())["message"]
            issuer.away = False
            clock.advance(FLOOR)
            async with session.get("/login/config") as response:
                assert await response.json() == {
                    "issuer": issuer.url,
                    "client_id": CLIENT,
                    "audience": AUDIENCE,
                    "scopes": ["openid", "email", "profile"],
                    "authorization_endpoint": f"{issuer.url}/authorize",
                    "token_endpoint": f"{issuer.url}/token",
                    "device_authorization_endpoint": f"{issuer.url}/device",
                }
