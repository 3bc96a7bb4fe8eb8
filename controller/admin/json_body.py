"""JSON bodies. Of a request, strictly: one object, known keys, none twice, no NaN. Of a response: clean texts."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from controller.core.base.errors import Violation, invalid
from controller.core.base.text import clean_values
from controller.core.servicefile.yaml_tree import quoted


def read_body(data: bytes, known: set[str]) -> Mapping[str, Any]:
    """The object in the body; a `Refusal` names everything that is wrong with it."""
    try:
        body = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise invalid([Violation("", "the body is nested too deeply")]) from None
    except ValueError as error:
        raise invalid([Violation("", f"the body is not JSON: {error}")]) from None
    if not isinstance(body, dict):
        raise invalid([Violation("", "the body must be a JSON object")])
    unknown = [key for key in body if key not in known]
    if unknown:
        message = f"unknown key; known here: {', '.join(sorted(known))}"
        raise invalid([Violation(quoted(key), message) for key in unknown])
    return body


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with the value as JSON, every text in it safe to show."""
    return web.json_response(clean_values(value), status=status, headers=headers)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for key, value in pairs:
        if key in body:
            raise ValueError(f"the key {quoted(key)} is there twice")
        body[key] = value
    return body


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
