"""What a NACK's message says: which resources it is about, and whether it may pass without a change of them. Pure."""

import re
from collections.abc import Iterable

from controller.xds.resources.resource import EncodedVirtualHost, Resource

_ENVIRONMENT = re.compile(r"cannot bind|address already in use|cannot assign requested address", re.IGNORECASE)
"""Envoy's words for a listener whose port or address is not free at the proxy."""

_LOGGERS = re.compile(r"access_?log|ResponseFlag|stats\.v3|StreamInfo", re.IGNORECASE)
"""Envoy's words for a listener whose access loggers it does not know, or a field of them."""


def is_about_loggers(error_detail: str) -> bool:
    """Whether a NACK's message is about the access loggers of a listener."""
    return _LOGGERS.search(error_detail) is not None


def is_named(error_detail: str, name: str) -> bool:
    """Whether a NACK's message contains this name, and not only a longer name that contains it."""
    return (
        name in error_detail and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", error_detail) is not None
    )


def environmental(error_detail: str, units: Iterable[EncodedVirtualHost | Resource]) -> frozenset[str]:
    """The content hashes of those that the proxy cannot use as long as its environment is as it is.

    The same content may be accepted later: another program has the port. Each line of Envoy's message is about one
    listener. A line that says anything else is about the content.
    """
    lines = [line for line in error_detail.splitlines() if _ENVIRONMENT.search(line)]
    return frozenset(unit.content for unit in units if any(is_named(line, unit.name) for line in lines))
