"""Envoy's own fields: checked against envoy-data-plane's messages, and encoded by them.

It takes 0.4 s to load, so this module is imported when a service has such fields.
"""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from betterproto2 import Message
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.route.v3 import Route
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager

from controller.core.model.envoy_fields import EnvoyMessage

MESSAGES: Mapping[EnvoyMessage, type[Message]] = {
    EnvoyMessage.CLUSTER: Cluster,
    EnvoyMessage.ROUTE: Route,
    EnvoyMessage.HTTP_CONNECTION_MANAGER: HttpConnectionManager,
}
MOST_ENCODED = 1024
"""Different fields that are remembered."""
TYPE = "@type"
_TYPE_URL = re.compile(r"type\.googleapis\.com/((?:[a-z][a-z0-9_]*\.)+)([A-Z][A-Za-z0-9]*)\Z", re.ASCII)
_ENVOYS = re.compile(r"envoy_data_plane\.(?!google\.)")
"""The modules of messages whose fields are looked at one by one; those of Google's are single values in JSON."""

Problem = tuple[tuple[str | int, ...], str]
"""Where in the fields, and what is wrong there."""


@lru_cache(MOST_ENCODED)
def encoded(message: EnvoyMessage, fields: str) -> bytes:
    """These fields, which were checked before, as a serialised message."""
    tree = json.loads(fields)
    for _ in _problems(MESSAGES[message], tree, ()):
        pass  # loads the types that are named in it
    return _made(MESSAGES[message], tree)


def problems(message: EnvoyMessage, fields: Mapping[str, Any]) -> Iterator[Problem]:
    """Every field that Envoy does not know, or has another type for."""
    yield from _problems(MESSAGES[message], fields, ())


def _problems(kind: type[Message], fields: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[Problem]:
    hints = _hints(kind)
    for key, value in fields.items():
        where, name = (*path, key), snake_case(key)
        if key == TYPE:
            continue
        if name not in hints:
            yield where, f"is no field of Envoy's {kind.__name__}"
        elif nested := _nested(hints[name]):
            yield from _nested_problems(nested, hints[name], value, where)
        elif hints[name] in (bool, bool | None) and not isinstance(value, bool):
            yield where, "is true or false in Envoy"
        elif not _fits(kind, name, value):
            yield where, f"has another type in Envoy's {kind.__name__}"


def _nested_problems(kind: type[Message], hint: Any, value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """The problems of a field that is a message, a list of them or a map to them."""
    origin = get_origin(hint)
    if not isinstance(value, list if origin is list else dict):
        yield path, f"is a {'list' if origin is list else 'mapping'} in Envoy"
        return
    places: Iterable[tuple[tuple[str | int, ...], Any]] = [((), value)]
    if isinstance(value, list):
        places = (((number,), each) for number, each in enumerate(value))
    elif origin is dict:
        places = (((key,), each) for key, each in value.items())
    for place, each in places:
        where = (*path, *place)
        if not isinstance(each, Mapping):
            yield where, f"is a mapping in Envoy: {kind.__name__}"
        elif kind.__name__ == "Any":
            yield from _typed_problems(each, where)
        else:
            yield from _problems(kind, each, where)


def _typed_problems(value: Mapping[str, Any], path: tuple[str | int, ...]) -> Iterator[Problem]:
    """The problems of a message that names its type."""
    kind = _type_named(str(value.get(TYPE, "")))
    if kind is None:
        yield (
            path,
            f"needs the {TYPE} of a message of Envoy's, such as type.googleapis.com/envoy.config.NAME.v3.Message",
        )
    else:
        yield from _problems(kind, value, path)


def _type_named(url: str) -> type[Message] | None:
    """The message of that type URL, which can be encoded from now on; None if there is none."""
    match = _TYPE_URL.match(url)
    if match is None:
        return None
    try:
        found = getattr(import_module(f"envoy_data_plane.{match[1].rstrip('.')}"), match[2], None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, Message) else None


def _fits(kind: type[Message], name: str, value: Any) -> bool:
    try:
        _made(kind, {name: value})
    except Exception:
        return False
    return True


def _made(kind: type[Message], fields: Mapping[str, Any]) -> bytes:
    """A serialised message. What Envoy is about to drop may still be used; any exception means a wrong type."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return bytes(kind.from_dict(fields))


@lru_cache(MOST_ENCODED)
def _hints(kind: type[Message]) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _nested(hint: Any) -> type[Message] | None:
    """The message of Envoy's, or the typed one, that a field is, has a list of, or maps to."""
    kinds = get_args(hint)[1:] if get_origin(hint) is dict else get_args(hint) or (hint,)
    if get_origin(hint) not in (None, list, dict, Union, UnionType):
        return None
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Message) and (_ENVOYS.match(kind.__module__) or _is_any(kind)):
            return kind
    return None


def _is_any(kind: type[Message]) -> bool:
    return kind.__name__ == "Any" and "google" in kind.__module__


def snake_case(key: str) -> str:
    """A field's name; JSON may have it as `fieldName`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()
