"""How values are written for people: times, lengths of time, weights, scopes.

Pure; `now` is Unix seconds.
"""

from collections.abc import Mapping
from datetime import datetime

from controller.core.base.units import format_weight
from controller.core.model.actor import describe_actor
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

NONE = "-"
"""Stands in a table where there is no value."""
EVERY = "*"
"""The API's scope for every service. (`core` defines it too, but importing that takes longer than
most commands.)"""


def format_time(at: float, now: float) -> str:
    """The local time of day; with the date if that is not today's. `-` for 0, which means never."""
    if not at:
        return NONE
    moment, today = datetime.fromtimestamp(at), datetime.fromtimestamp(now)
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def format_span(seconds: float) -> str:
    """A length of time in its two largest units: `42s`, `5m 03s`, `2h 07m`, `3d 04h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    for large, small, size in (("m", "s", 60), ("h", "m", 3600)):
        if whole < size * (60 if large == "m" else 24):
            part = size // 60
            return f"{whole // size}{large} {whole % size // part:02d}{small}"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def format_weights(shares: Mapping[str, int], stable: str = "") -> str:
    """Every version that has a share, the stable last: `v2 5%, v1 95%`."""
    names = sorted((name for name in shares if shares[name]), key=lambda name: (name == stable, name))
    return ", ".join(f"{name} {format_weight(shares[name])}" for name in names) or NONE


def format_proxies(synced: int, total: int) -> str:
    """How many proxies serve what was decided: `2/3 proxies in sync`."""
    return f"{synced}/{total} proxies in sync" if total else "no proxy is connected"


def format_actor(shown: pb.Event | pb.FreezeInfo | pb.Exclusion) -> str:
    """Who did it, with a word where nothing has verified the name."""
    return describe_actor(shown.who, unverified=shown.unverified)


def format_scope(scope: str) -> str:
    """What a freeze covers."""
    return "all services" if scope == EVERY else scope


def format_step_weight(weight: int) -> str:
    """The canary's weight at a step, in basis points; 0 is the shadow step's."""
    return format_weight(weight) if weight else "shadow"
