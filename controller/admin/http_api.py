"""The HTTP API: liveness, readiness, metrics, and the kill switch for curl.

It listens on loopback and trusts whoever can reach it, so no web page may reach it through a browser: requests under
another host's name (DNS rebinding) and requests that another site's page sends are refused.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from controller.admin.json_body import json_response, read_body
from controller.admin.request_fields import FieldErrors, caller, scopes_of, ttl_of, user_of
from controller.admin.service_reader import ServiceReader
from controller.core.base.errors import Code, Refusal, Violation, invalid
from controller.core.control.request_validation import freeze_violations, unfreeze_violations
from controller.core.model.freeze import ALL, Freeze
from controller.runtime.operations import Operations

MAX_BODY = 64 * 1024
"""Bytes of a request's body. The longest reason and the longest name fit sixty times."""
BODY_WITHIN = 10.0
"""Seconds for a body to arrive."""

_STATUSES = {Code.NOT_DURABLE: 503, Code.DRAINING: 503, Code.CONFLICT: 409, Code.TOO_MANY: 429}
"""Every other refusal is the caller's mistake: 400."""
_BODY_TYPES = {"application/json", "application/x-www-form-urlencoded", "application/octet-stream"}
"""JSON, and what curl (the second) and others (the third) send where no type is given."""

log = structlog.get_logger()


def make_http(
    operations: Operations,
    reader: ServiceReader,
    *,
    ready: Callable[[], str | None],
    registry: CollectorRegistry,
    pages: Iterable[web.RouteDef] = (),
    body_within: float = BODY_WITHIN,
) -> web.Application:
    """The application. `ready` returns why the controller is not ready, None if it is; /metrics shows `registry`.

    `pages` are further routes under the same guard. A request's body must arrive within `body_within` seconds.
    """
    app = web.Application(middlewares=[_answer_in_json, _refuse_other_sites], client_max_size=MAX_BODY)
    probes = Probes(ready, registry, reader)
    switch = Switch(operations, reader, body_within)
    app.add_routes(
        [
            web.get("/healthz", probes.alive),
            web.get("/readyz", probes.ready),
            web.get("/metrics", probes.metrics),
            web.get("/freeze", switch.list),
            web.post("/freeze", switch.freeze),
            web.post("/unfreeze", switch.unfreeze),
            *pages,
        ]
    )
    return app


class Switch:
    """The kill switch over HTTP."""

    def __init__(self, operations: Operations, reader: ServiceReader, body_within: float) -> None:
        self._operations = operations
        self._reader = reader
        self._body_within = body_within

    async def list(self, _request: web.Request) -> web.Response:
        """GET /freeze: the freezes in force."""
        view = await self._reader.view()
        return json_response([_freeze_json(freeze) for freeze in view.freezes])

    async def freeze(self, request: web.Request) -> web.Response:
        """POST /freeze: the freeze, once it is durable."""
        body = await self._body(request, {"service", "reason", "ttl", "request_id"})
        wrong = FieldErrors()
        scopes: tuple[str, ...] = wrong.read(lambda: _scopes(body), (ALL,))
        reason = wrong.read(lambda: _text(body, "reason"), "")
        ttl = wrong.read(lambda: ttl_of(_text(body, "ttl")), None)
        request_id = wrong.read(lambda: _text(body, "request_id"), "")
        wrong.raise_if_any(also=freeze_violations(scopes, reason, ttl))
        freezes, revision = await self._operations.freeze(
            scopes, who=_who(request), reason=reason, ttl=ttl, request_id=request_id
        )
        return json_response({**_freeze_json(freezes[0]), "revision": revision})

    async def unfreeze(self, request: web.Request) -> web.Response:
        """POST /unfreeze: what was lifted, once it is durable."""
        body = await self._body(request, {"service", "reason", "request_id"})
        wrong = FieldErrors()
        scopes: tuple[str, ...] = wrong.read(lambda: _scopes(body), (ALL,))
        reason = wrong.read(lambda: _text(body, "reason"), "")
        request_id = wrong.read(lambda: _text(body, "request_id"), "")
        wrong.raise_if_any(also=unfreeze_violations(scopes, reason))
        lifted = await self._operations.unfreeze(scopes, who=_who(request), reason=reason, request_id=request_id)
        answer = {
            "lifted": [_freeze_json(freeze) for freeze in lifted.freezes],
            "standing": [_freeze_json(freeze) for freeze in lifted.standing],
            "revision": lifted.revision,
        }
        return json_response(answer)

    async def _body(self, request: web.Request, known: set[str]) -> Mapping[str, Any]:
        """The JSON object in a request's body."""
        if request.content_type not in _BODY_TYPES:
            raise web.HTTPUnsupportedMediaType(reason="a body of application/json is needed")
        try:
            async with asyncio.timeout(self._body_within):
                data = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason=f"the body did not arrive within {self._body_within:g} s") from None
        return read_body(data, known)


class Probes:
    """What machines read: liveness, readiness and metrics."""

    def __init__(self, ready: Callable[[], str | None], registry: CollectorRegistry, reader: ServiceReader) -> None:
        self._unready = ready
        self._registry = registry
        self._reader = reader

    async def alive(self, _request: web.Request) -> web.Response:
        """GET /healthz: 200 while the process responds. Nothing else is checked, least of all the store."""
        return json_response({"status": "alive"})

    async def ready(self, _request: web.Request) -> web.Response:
        """GET /readyz: 200 while proxies are served and the store takes changes, else 503 with the reason.

        `problems` names the services that cannot be served as they stand: the others are, so it is ready all the same.
        """
        unready = self._unready()
        if unready is None:
            return json_response({"status": "ready", "problems": dict(self._reader.problems)})
        return json_response({"status": "not ready", "reason": unready}, status=503)

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=encode(self._registry), headers={hdrs.CONTENT_TYPE: content_type})


@web.middleware
async def _answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is a JSON document; none ends more than its request."""
    try:
        return await handler(request)
    except Refusal as refusal:
        log.info("refused", method=_line(request), code=refusal.code.value, reason=refusal.message)
        return _error(_STATUSES.get(refusal.code, 400), refusal.code.value, refusal.message, refusal.violations)
    except web.HTTPException as error:
        allow = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
        return _error(error.status, HTTPStatus(error.status).name, f"{_line(request)}: {error.reason}", headers=allow)
    except Exception as error:
        log.error("call_failed", method=_line(request), exc_info=error)
        return _error(500, "INTERNAL", "an error of the controller's own; its log says more")


@web.middleware
async def _refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    host, origin = request.headers.get(hdrs.HOST, ""), request.headers.get(hdrs.ORIGIN)
    if host and not _is_loopback(host):
        raise web.HTTPForbidden(reason=f"Host must be a loopback name, not {host[:80]}")
    if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
        if origin is not None and origin != f"http://{host}":
            raise web.HTTPForbidden(reason="requests from other sites are refused")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(reason="requests from other sites are refused")
    response = await handler(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response


def _scopes(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The scope that a body names. It must name one: leaving it out does not freeze everything."""
    if "service" not in body:
        raise invalid([Violation("service", "is missing: a service's name, or null for all")])
    service = _text(body, "service")
    return (ALL,) if body["service"] is None else scopes_of([service], everything=False)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise invalid([Violation(key, f"text is needed, not {type(value).__name__}")])
    if value and not value.isascii() and key != "reason":
        raise invalid([Violation(key, "ASCII alone is needed")])
    return value or ""


def _who(request: web.Request) -> str:
    return caller(user_of(request.headers), request.remote or "unknown")


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine as seen from itself. A name that others can define does not."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]").lower()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _freeze_json(freeze: Freeze) -> dict[str, Any]:
    """A freeze; `service` is null for all, times are Unix seconds."""
    plain = freeze.plain()
    scope = plain.pop("scope")
    return {"service": None if scope == ALL else scope, **plain}


def _error(
    status: int,
    code: str,
    message: str,
    violations: tuple[Violation, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    body: dict[str, Any] = {"error": code, "message": message}
    if violations:
        body["violations"] = [{"field": v.field, "message": v.message} for v in violations]
    return json_response(body, status=status, headers=headers)


def _line(request: web.Request) -> str:
    return f"{request.method} {request.path[:80]}"
