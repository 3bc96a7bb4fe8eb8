"""The HTTP API: liveness, readiness, metrics, and the kill switch for curl."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from controller.admin.doorkeeper import Doorkeeper
from controller.admin.http_guard import ADMISSION, admission_of, caller_of_request, guard, refuse_other_sites
from controller.admin.json_body import json_response, read_body
from controller.admin.request_fields import FieldErrors, scopes_of, ttl_of
from controller.admin.service_reader import ServiceReader
from controller.core.access.permission import Permission
from controller.core.base.errors import Code, Refusal, Violation, invalid
from controller.core.control.request_validation import freeze_violations, unfreeze_violations
from controller.core.model.freeze import ALL, Freeze
from controller.process.web_route import Route
from controller.runtime.operations import Operations

MAX_BODY = 64 * 1024
"""Bytes of a request's body. The longest reason and the longest name fit sixty times."""
BODY_WITHIN = 10.0
"""Seconds for a body to arrive."""

_STATUSES = {
    Code.UNAUTHENTICATED: 401,
    Code.DENIED: 403,
    Code.NOT_DURABLE: 503,
    Code.DRAINING: 503,
    Code.CONFLICT: 409,
    Code.TOO_MANY: 429,
}
"""Every other refusal is the caller's mistake: 400."""
_BODY_TYPES = {"application/json", "application/x-www-form-urlencoded", "application/octet-stream"}
"""JSON, and what curl (the second) and others (the third) send where no type is given."""

log = structlog.get_logger()


def make_http(
    operations: Operations,
    reader: ServiceReader,
    doorkeeper: Doorkeeper,
    probes: "Probes",
    *,
    pages: Iterable[Route] = (),
    body_within: float = BODY_WITHIN,
) -> web.Application:
    """The application.

    `pages` are further routes under the same guard. A request's body must arrive within `body_within` seconds.
    """
    switch = Switch(operations, reader, body_within)
    routes = [
        Route("GET", "/healthz", probes.alive, Permission.PUBLIC),
        Route("GET", "/readyz", probes.ready, Permission.PUBLIC),
        Route("GET", "/metrics", probes.metrics, Permission.VIEW),
        Route("GET", "/freeze", switch.list, Permission.VIEW),
        Route("POST", "/freeze", switch.freeze, Permission.FREEZE),
        Route("POST", "/unfreeze", switch.unfreeze, Permission.HOLD),
        *pages,
    ]
    app = web.Application(
        middlewares=[_answer_in_json, refuse_other_sites, guard(doorkeeper, routes)], client_max_size=MAX_BODY
    )
    app.add_routes([web.route(each.method, each.path, each.handler) for each in routes])
    return app


class Switch:
    """The kill switch over HTTP."""

    def __init__(self, operations: Operations, reader: ServiceReader, body_within: float) -> None:
        self._operations = operations
        self._reader = reader
        self._body_within = body_within

    async def list(self, request: web.Request) -> web.Response:
        """GET /freeze: the freezes in force."""
        view, caller = await self._reader.view(), caller_of_request(request)
        return json_response([_freeze_json(freeze) for freeze in view.freezes if caller.visible([freeze.scope])])

    async def freeze(self, request: web.Request) -> web.Response:
        """POST /freeze: the freeze, once it is durable."""
        body = await self._body(request, {"service", "reason", "ttl", "request_id"})
        wrong = FieldErrors()
        scopes: tuple[str, ...] = wrong.read(lambda: _scopes(body), (ALL,))
        reason = wrong.read(lambda: _text(body, "reason"), "")
        ttl = wrong.read(lambda: ttl_of(_text(body, "ttl")), None)
        request_id = wrong.read(lambda: _text(body, "request_id"), "")
        wrong.raise_if_any(also=freeze_violations(scopes, reason, ttl))
        caller = caller_of_request(request)
        caller.require(Permission.FREEZE, scopes)
        freezes, revision = await self._operations.freeze(
            scopes, who=caller.actor, reason=reason, ttl=ttl, request_id=request_id
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
        caller = caller_of_request(request)
        caller.require(Permission.HOLD, scopes)
        lifted = await self._operations.unfreeze(
            scopes, who=caller.actor, reason=reason, request_id=request_id, may_lift=caller.may_lift
        )
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
    """What machines read: liveness, readiness and metrics.

    `ready` returns why the controller is not ready, None if it is; /metrics shows what `metrics` reads, encoded in a
    thread; `role` returns what it is among those that share a store. `notes` returns what else is to be known while it
    is ready, by heading: `certificates` are those that expire soon, `workers` those that do not serve.
    """

    def __init__(
        self,
        ready: Callable[[], str | None],
        metrics: Callable[[], Awaitable[CollectorRegistry]],
        reader: ServiceReader,
        role: Callable[[], str],
        notes: Callable[[], Mapping[str, Mapping[str, str]]] = dict,
    ) -> None:
        self._unready = ready
        self._role = role
        self._read_metrics = metrics
        self._reader = reader
        self._notes = notes

    async def alive(self, _request: web.Request) -> web.Response:
        """GET /healthz: 200 while the process responds. Nothing else is checked, least of all the store."""
        return json_response({"status": "alive"})

    async def ready(self, _request: web.Request) -> web.Response:
        """GET /readyz: 200 while proxies are served and the store takes changes, else 503 with the reason.

        `problems` names the services that cannot be served as they stand: the others are, so it is ready all the same.
        So it is while a certificate is about to expire, or a worker is away.
        """
        unready = self._unready()
        if unready is None:
            more = {heading: dict(notes) for heading, notes in self._notes().items() if notes}
            problems = dict(self._reader.problems)
            return json_response({"status": "ready", "role": self._role(), "problems": problems, **more})
        return json_response({"status": "not ready", "reason": unready, "role": self._role()}, status=503)

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, for Prometheus: of all services, so for who may see all of them."""
        caller_of_request(request).require(Permission.VIEW, [ALL])
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        body = await asyncio.to_thread(encode, await self._read_metrics())
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})


@web.middleware
async def _answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is a JSON document; none ends more than its request."""
    try:
        return await handler(request)
    except Refusal as refusal:
        if ADMISSION in request:  # else the doorkeeper has recorded it
            admission_of(request).record(refusal)
        return _error(_STATUSES.get(refusal.code, 400), refusal.code.value, refusal.message, refusal.violations)
    except web.HTTPException as error:
        allow = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}
        return _error(error.status, HTTPStatus(error.status).name, f"{_line(request)}: {error.reason}", headers=allow)
    except Exception as error:
        log.error("call_failed", method=_line(request), exc_info=error)
        return _error(500, "INTERNAL", "an error of the controller's own; its log says more")


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
