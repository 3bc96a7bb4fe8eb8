"""The state in etcd as a replica knows it: a value, taken forward by the events of a watch or by an own change."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import structlog

from controller.core.control import commit_rules
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_line import ChainEnd
from controller.core.model.service_state import SCHEMA, ServiceState
from controller.core.model.store_errors import NotWritten
from controller.core.model.view import View
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.keys import Damaged, Keys, unpacked
from controller.store.records import Unreadable, canonical, read_exclusion, read_freeze, read_state

log = structlog.get_logger()


class NewerSchema(NotWritten):
    """Records are stored that this version cannot read: what it would write could drop what they say."""

    def __init__(self, schema: int) -> None:
        self.schema = schema
        super().__init__(
            f"etcd holds records of a newer Haldane (schema {schema}, this one reads up to {SCHEMA}): "
            "upgrade this controller; until then it serves what it has read last"
        )


@dataclass(frozen=True, slots=True)
class ReplicatedState:
    """Everything that a change is checked against, as it was when the head was written at `head_mod`."""

    view: View
    end: ChainEnd = field(default_factory=ChainEnd)
    """The end of the ledger."""
    head_mod: int = 0
    """etcd's revision at which the head was written; 0 before the first change."""
    schema: int = SCHEMA
    """The newest schema that a record of it may have; 0 before the first change."""
    head_value: bytes = b""
    """The head as it is stored."""
    unreadable: Mapping[str, bytes] = field(default_factory=dict)
    """The stored records of the services that are broken."""

    def written(self, at: int) -> "ReplicatedState":
        """This state, once it is stored with its head at that revision of etcd."""
        return replace(self, head_mod=at, head_value=self.head())

    def head(self) -> bytes:
        """The head to be stored with this state."""
        return canonical(
            {
                "revision": self.view.revision,
                "sequence": self.end.sequence,
                "hash": self.end.hash,
                "schema": self.schema,
            }
        ).encode()


def load_state(store_id: str, kvs: Iterable[pb.KeyValue], keys: Keys) -> ReplicatedState:
    """The state that these keys hold, read at one revision. `NewerSchema` or `Damaged` if it cannot be read."""
    events = [pb.Event(type=pb.Event.PUT, kv=kv) for kv in kvs]
    return apply_events(ReplicatedState(View(store_id, 0, {}), schema=0), events, keys)


def apply_events(state: ReplicatedState, events: Iterable[pb.Event], keys: Keys) -> ReplicatedState:
    """The state after these events, which hold whole transactions. `NewerSchema` or `Damaged` if it cannot be read."""
    events = list(events)
    schema = max((_schema(event, keys) for event in events), default=0) or state.schema
    if schema > SCHEMA:
        raise NewerSchema(schema)
    services: dict[str, ServiceState] = dict(state.view.services)
    broken, unreadable = dict(state.view.broken), dict(state.unreadable)
    freezes: dict[str, tuple[Freeze, ...]] = {}
    for freeze in state.view.freezes:
        freezes[freeze.scope] = (*freezes.get(freeze.scope, ()), freeze)
    exclusions: dict[str, Exclusion | None] = {each.node: each for each in state.view.exclusions}
    revision, end, head_mod, head_value = state.view.revision, state.end, state.head_mod, state.head_value
    for event in events:
        kind, _, name = event.kv.key.decode(errors="replace").removeprefix(keys.state).partition("/")
        written = event.type == pb.Event.PUT
        if kind == "head" and written:
            revision, end, _ = read_head(event.kv.value)
            head_mod, head_value = event.kv.mod_revision, event.kv.value
        elif kind == "services":
            for each in (services, broken, unreadable):
                each.pop(name, None)
            if written and (why := _read_service(name, event.kv.value, services)):
                broken[name], unreadable[name] = why, event.kv.value
        elif kind == "freezes":
            freezes[name] = _read_freezes(name, event.kv.value) if written else ()
        elif kind == "exclusions":
            exclusions[name] = read_exclusion(name, event.kv.value.decode(errors="replace")) if written else None
    standing = commit_rules.sorted_by_scope(freeze for each in freezes.values() for freeze in each)
    excluded = tuple(each for _, each in sorted(exclusions.items()) if each)
    view = View(state.view.store_id, revision, services, standing, broken, excluded)
    return ReplicatedState(view, end, head_mod, schema, head_value, unreadable)


class Head(NamedTuple):
    """What the head says."""

    revision: int
    end: ChainEnd
    schema: int


def read_head(value: bytes) -> Head:
    """The head that is stored so. `Damaged` if it cannot be read."""
    try:
        plain = json.loads(value)
        end = ChainEnd(int(plain["sequence"]), str(plain["hash"]))
        return Head(int(plain["revision"]), end, int(plain.get("schema", 1)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged("a head", error) from error


def _schema(event: pb.Event, keys: Keys) -> int:
    """The schema that the head names, if the event is that it was written; else 0."""
    if event.kv.key != keys.head.encode() or event.type != pb.Event.PUT:
        return 0
    return read_head(event.kv.value).schema


def with_records(state: ReplicatedState, records: Mapping[str, bytes]) -> ReplicatedState:
    """The state with these stored records of services, which perhaps can be read by now."""
    services, broken = dict(state.view.services), dict(state.view.broken)
    for name, record in records.items():
        if why := _read_service(name, record, services):
            broken[name] = why
    unreadable = {name: record for name, record in records.items() if name in broken}
    return replace(state, view=replace(state.view, services=services, broken=broken), unreadable=unreadable)


def _read_service(name: str, value: bytes, services: dict[str, ServiceState]) -> str:
    """Read the record among the services; why it cannot be read, or empty."""
    try:
        services[name] = read_state(name, unpacked(value))
    except Exception as error:  # one that cannot be read must not take the others along
        log.error("record_unreadable", service=name, reason=str(error))
        return str(error) or type(error).__name__
    return ""


def _read_freezes(scope: str, value: bytes) -> tuple[Freeze, ...]:
    try:
        texts = json.loads(value)
        return tuple(read_freeze(scope, text) for text in texts)
    except (ValueError, TypeError, Unreadable):  # in doubt nothing moves
        return (read_freeze(scope, ""),)
