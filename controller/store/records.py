"""Stored records: values as canonical JSON with a schema number, and back."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from controller.core.base.value import Value
from controller.core.model.actor import CONTROLLER
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Freeze, Mode
from controller.core.model.service_state import SCHEMA, ServiceState

Json = dict[str, JsonValue]
Upgrade = Callable[[Json], Json]


def _with_paths(plain: Json) -> Json:
    """Schema 2: a service has a list of paths in place of one prefix, wherever in a record it stands."""
    return {key: _paths_within(key, value) for key, value in plain.items()}


def _paths_within(key: str, value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_paths_within("", each) for each in value]
    if not isinstance(value, dict):
        return value
    if key == "spec" and "prefix" in value:
        others = {name: field for name, field in value.items() if name != "prefix"}
        return {**others, "paths": [{"path": value["prefix"], "exact": False}]}
    return _with_paths(value)


UPGRADES: Mapping[int, Upgrade] = {
    1: _with_paths,
    2: dict,  # schema 3 has more fields, each with a default
}
"""Schema number -> what upgrades a record to the next number. Every number below SCHEMA is here."""

V = TypeVar("V", bound=Value)


class Unreadable(ValueError):  # noqa: N818
    """A stored record cannot be read; the message says why. The record stays as it is."""


def canonical(plain: object) -> str:
    """The one JSON text of a plain value: sorted keys, no spaces, ASCII. What is hashed is this text."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def write(value: Value) -> str:
    """A value as a record of the present schema."""
    return canonical({"schema": SCHEMA, **value.model_dump(mode="json")})


def read(kind: type[V], text: str, *, newest: int = SCHEMA, upgrades: Mapping[int, Upgrade] = UPGRADES) -> V:
    """The value in a record of this or an older schema; `Unreadable` otherwise."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from None
    schema = plain.pop("schema", None) if isinstance(plain, dict) else None
    if type(schema) is not int or schema < 1:
        raise Unreadable("not a record: it has no schema number")
    if schema > newest:
        raise Unreadable(f"written by a newer Haldane (schema {schema}, this one reads up to {newest}): upgrade")
    for number in range(schema, newest):
        plain = upgrades[number](plain)
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong[:3])
        raise Unreadable(problems) from None


def read_state(name: str, text: str) -> ServiceState:
    """The state of the service of that name; `Unreadable` also if the record is that of another one."""
    state = read(ServiceState, text)
    if state.name != name:
        raise Unreadable(f"it is the record of {state.name}")
    return state


def read_exclusion(node: str, text: str) -> Exclusion:
    """The exclusion of that node. One that cannot be read still excludes it: in doubt its reports do not count."""
    try:
        return read(Exclusion, text)
    except Unreadable as error:
        return Exclusion(node=node, reason=f"unreadable record: {error}", who=CONTROLLER, since=0.0)


def read_freeze(scope: str, text: str) -> Freeze:
    """The freeze of that scope. One that cannot be read counts as a full freeze: in doubt nothing moves."""
    try:
        return read(Freeze, text)
    except Unreadable as error:
        return Freeze(scope=scope, mode=Mode.FREEZE, reason=f"unreadable record: {error}", who=CONTROLLER, since=0.0)
