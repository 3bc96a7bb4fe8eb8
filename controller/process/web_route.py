"""A route of the HTTP door, with what it asks of its caller beside it."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from controller.core.access.permission import Permission


class Route(NamedTuple):
    """One method of one path. A path without an entry is refused, like everything that declares no permission."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    permission: Permission
    """What the caller must be allowed for some service. What a request names is checked by its handler."""
