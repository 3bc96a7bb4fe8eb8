"""The routes of the HTTP door by which people log in: what clients need to know of the issuer."""

from aiohttp import hdrs, web

from controller.core.access.permission import Permission
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_provider import OpenIdProvider
from controller.process.http_client import Unanswered
from controller.process.web_route import Route


def login_routes(settings: Oidc, provider: OpenIdProvider) -> list[Route]:
    """The routes of a login by that issuer."""

    async def config(_request: web.Request) -> web.Response:
        """GET /login/config: what a client needs to ask the issuer for a token. An address that it lacks is null."""
        try:
            endpoints = await provider.endpoints()
        except Unanswered as unanswered:
            body = {"error": "UNAVAILABLE", "message": f"the issuer does not answer: {unanswered}"}
            return web.json_response(body, status=503, headers={hdrs.RETRY_AFTER: "30"})
        return web.json_response(
            {
                "issuer": settings.issuer,
                "client_id": settings.client_id,
                "audience": settings.audience,
                "scopes": settings.scopes,
                "authorization_endpoint": endpoints.authorization or None,
                "token_endpoint": endpoints.token or None,
                "device_authorization_endpoint": endpoints.device_authorization or None,
            }
        )

    return [Route("GET", "/login/config", config, Permission.PUBLIC)]
