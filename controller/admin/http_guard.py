"""The guard of the HTTP door: who may send a request, and from which web page.

On loopback without TLS it may trust whoever can reach it, so no web page may reach it through a browser: requests under
another host's name (DNS rebinding) and requests that another site's page sends are refused.
"""

import ipaddress
from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from controller.admin.doorkeeper import Admission, Doorkeeper
from controller.admin.request_fields import user_of
from controller.core.access.caller import Caller
from controller.ports.authenticator import SESSION_COOKIE, Credentials
from controller.process.front import Peer, peer_of_transport
from controller.process.web_route import Route

ADMISSION = web.RequestKey("admission", Admission)
"""Where a request carries its `Admission`."""


@web.middleware
async def refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another web site makes a browser send."""
    host, origin = request.headers.get(hdrs.HOST, ""), request.headers.get(hdrs.ORIGIN)
    # Over TLS the certificate tells which site this is.
    if host and not request.secure and not _is_loopback(host):
        raise web.HTTPForbidden(reason=f"Host must be a loopback name, not {host[:80]}")
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        if origin is not None and origin != f"{request.scheme}://{host}":
            raise web.HTTPForbidden(reason="requests from other sites are refused")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(reason="requests from other sites are refused")
    response = await handler(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response


def guard(doorkeeper: Doorkeeper, routes: Iterable[Route]) -> Middleware:
    """Admits requests by the permission of their route. A path that is not there answers 404 to everybody."""
    permissions = {(each.method, each.path): each.permission for each in routes}

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None:
            method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
            permission = permissions.get((method, resource.canonical))
            request[ADMISSION] = await doorkeeper.admit(
                f"{request.method} {resource.canonical}", permission, _credentials(request)
            )
        return await handler(request)

    return admit


def _credentials(request: web.Request) -> Credentials:
    peer = peer_of_transport(request.transport) if request.transport else Peer("unknown")
    return Credentials(
        peer=peer.host,
        user=user_of(request.headers),
        authorization=request.headers.get(hdrs.AUTHORIZATION, ""),
        session=request.cookies.get(SESSION_COOKIE, ""),
        certificate=peer.certificate,
        user_id=peer.user_id,
    )


def admission_of(request: web.Request) -> Admission:
    """The admission of a request that has passed the guard."""
    return request[ADMISSION]


def caller_of_request(request: web.Request) -> Caller:
    """The caller of a request that has passed the guard."""
    return admission_of(request).caller


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine as seen from itself. A name that others can define does not."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]").lower()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
