"""The console: one page that shows what is served, why, and what happened last; its one act is the kill switch, by
the same API as for curl (`POST /freeze`).

Everything is in the package: no asset comes from elsewhere, and the page may load nothing that is not ours.
"""

import math
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from controller.console.page_state import LedgerTail, page_state, refresh
from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.text import clean_values
from controller.ports.fleet import Fleet
from controller.ports.observatory import Observatory
from controller.process.web_route import Route
from controller.runtime.membership import Membership
from controller.runtime.operations import Operations

ASSETS = {
    "console.css": "text/css",
    "words.js": "text/javascript",
    "caller.js": "text/javascript",
    "service.js": "text/javascript",
    "switch.js": "text/javascript",
    "console.js": "text/javascript",
}

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""What the page may load: its own style, script and state."""


def console_routes(  # noqa: PLR0913  # what the page shows comes from six places
    operations: Operations,
    observatory: Observatory,
    fleet: Fleet,
    *,
    ready: Callable[[], str | None],
    caller_of: Callable[[web.Request], Caller],
    membership: Membership,
    login_path: str = "",
) -> list[Route]:
    """The routes of the console, for the HTTP API. `caller_of` tells who has sent a request, `login_path` is where
    people log in, if they can."""
    tail = LedgerTail(operations, observatory)

    async def state(request: web.Request) -> web.Response:
        await refresh(observatory, fleet, caller_of(request))
        shown = page_state(observatory, fleet, caller_of(request), await tail.lines(), ready())
        return web.json_response(_finite(clean_values({**shown, **_standing(membership)})))

    return [
        Route("GET", "/", _page(login_path), Permission.PUBLIC),
        *(
            Route("GET", f"/console/{name}", _fixed(_content(name), content_type), Permission.PUBLIC)
            for name, content_type in ASSETS.items()
        ),
        Route("GET", "/console/state", state, Permission.VIEW),
    ]


def _standing(membership: Membership) -> Mapping[str, str]:
    """Which controller the page shows, what it does, and who decides."""
    return {"controller": membership.name, "role": membership.role(), "leader": membership.leader}


def _page(login_path: str) -> Handler:
    content = _content("console.html").replace(b'data-login=""', f'data-login="{login_path}"'.encode())
    return _fixed(content, "text/html")


def _content(name: str) -> bytes:
    return files("controller.console").joinpath(name).read_bytes()


def _fixed(body: bytes, content_type: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    return answer


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: null stands for both."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value
