"""Text that others sent, as every API shows it: also what an older release stored, and what proxies say."""

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from controller.admin.clean_messages import clean_message
from controller.cli.ledger_verification import verify_events
from controller.cli.output import plain, print_json
from controller.core.base.errors import Refusal
from controller.core.control.request_validation import freeze_violations, validate_reason, validate_request_id
from controller.core.judge.verdict import Outcome
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import ChainEnd, Entry, LedgerLine
from controller.hooks.hook import Hook, HookType
from controller.hooks.payload import request_payload
from controller.notify.cloud_events import cloud_event
from controller.notify.message_text import render_message
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import ConfigState, Nack, ProxyStatus, TypeStatus
from controller.ports.observatory import Live
from tests.admin.doors import Doors
from tests.builders import change, freezing, state, verdict
from tests.support.unsafe_text import ALL, HIDDEN, UNSAFE, unsafe_texts

HOSTILE = f"a{ALL.replace(chr(0), '')}b"


def texts_in(value: Any) -> Iterator[str]:
    """Every text in plain values or in a message, keys too; lines and tabs are no finding."""
    if isinstance(value, Message):
        yield from texts_in([value.__class__.DESCRIPTOR.name, *(inner for _, inner in value.ListFields())])
    elif isinstance(value, dict):
        yield from texts_in([*value, *value.values()])
    elif isinstance(value, str):
        yield value.replace("\n", "").replace("\t", "")
    elif hasattr(value, "items"):
        yield from texts_in(dict(value.items()))
    elif hasattr(value, "__iter__") and not isinstance(value, bytes):
        for inner in value:
            yield from texts_in(inner)


def assert_safe(value: Any) -> None:
    """No text within the value has any of the characters."""
    assert [text for text in texts_in(value) if UNSAFE.search(text)] == []


@pytest.fixture
async def hostile(doors: Doors) -> Doors:
    """A store of an older release, a proxy and a judge with such text wherever there can be some."""
    old = state(weight=500, source=f"# {HOSTILE}\nservice: scorer\n")
    assert old.rollout is not None
    await doors.store.command(
        change(to=old.model_copy(update={"rollout": old.rollout.model_copy(update={"reason": HOSTILE})}))
    )
    freeze = freezing(Freeze(scope="*", reason=HOSTILE, who=f"eve{HOSTILE}@::1", since=1.0))
    entry = freeze.entry.model_copy(update={"why": HOSTILE, "details": {HOSTILE: [HOSTILE]}})
    await doors.store.command(replace(freeze, entry=entry))
    error = TypeStatus("type", ConfigState.ERROR, "1", "0", 1.0, HOSTILE)
    doors.fleet.statuses = (
        ProxyStatus(HOSTILE, HOSTILE, HOSTILE, 1.0, (error,), ConfigState.ERROR, last_nack=Nack("type", 1.0, HOSTILE)),
    )
    doors.fleet.problems = {"scorer": HOSTILE}
    await doors.observatory.see("scorer", Live(verdict=verdict(Outcome.HARM), remark=HOSTILE))
    return doors


async def test_no_api_shows_what_was_stored_unclean(hostile: Doors) -> None:
    """Every reading method of the gRPC API, every page of the HTTP port, and what is refused."""
    api = hostile.api
    messages = [
        await api.catalog.GetService(pb.GetServiceRequest(service="scorer")),
        await api.catalog.ListServices(pb.ListServicesRequest()),
        await api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer")),
        await api.rollouts.ListRollouts(pb.ListRolloutsRequest()),
        await api.rollouts.ExplainRollout(pb.ExplainRolloutRequest(service="scorer")),
        await api.switch.ListFreezes(pb.ListFreezesRequest()),
        await api.fleet.ListProxies(pb.ListProxiesRequest()),
        await api.ledger.ListEvents(pb.ListEventsRequest()),
        await anext(aiter(api.rollouts.WatchRollout(pb.WatchRolloutRequest(service="scorer")))),
        await anext(aiter(api.ledger.WatchEvents(pb.WatchEventsRequest()))),
    ]
    assert_safe(messages)
    assert messages[0].yaml.startswith("# a")
    assert messages[6].proxies[0].refused.error.startswith("a")
    for path in ("/console/state", "/freeze", "/readyz", "/metrics", f"/{HOSTILE.strip()}"):
        async with hostile.http.get(path) as response:
            text = await response.text()
            assert_safe(text if path == "/metrics" else json.loads(text))


async def test_the_chain_of_such_lines_still_verifies(hostile: Doors) -> None:
    """A line says what can be shown, and besides in ASCII what was hashed; a change of either is found."""
    response = await hostile.api.ledger.ListEvents(pb.ListEventsRequest())
    lines = list(response.events)
    assert any(line.as_stored for line in lines)
    assert verify_events(lines, whole=True).broken is None
    unclean = next(line for line in lines if line.as_stored)
    unclean.who += "x"
    assert verify_events(lines, whole=True).broken == unclean.sequence


@functools.cache  # made once for each kind, not for each example
def filled(kind: type[Message], texts: st.SearchStrategy[str], depth: int = 3) -> st.SearchStrategy[Message]:
    """Messages of that kind with such texts in every field that can have one, in the messages within them too."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in kind.DESCRIPTOR.fields:
        many = field.is_repeated
        entry = (
            field.message_type.fields_by_name["value"]
            if field.message_type and field.message_type.GetOptions().map_entry
            else None
        )
        if entry is not None:
            if entry.type == FieldDescriptor.TYPE_STRING:
                fields[field.name] = st.dictionaries(st.just("key"), texts, max_size=2)
        elif field.type == FieldDescriptor.TYPE_STRING:
            fields[field.name] = st.lists(texts, max_size=2) if many else texts
        elif field.message_type and depth:
            inner = filled(GetMessageClass(field.message_type), texts, depth - 1)
            fields[field.name] = st.lists(inner, max_size=1) if many else inner
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


RESPONSES = sorted(
    {method.output_type.name for service in pb.DESCRIPTOR.services_by_name.values() for method in service.methods}
)
ENCODABLE = unsafe_texts().map(lambda text: text.encode(errors="ignore").decode())


@given(st.data())
@pytest.mark.parametrize("name", RESPONSES)
def test_every_message_is_clean_before_it_is_sent(name: str, data: st.DataObject) -> None:
    """Every kind of response, walked through its descriptor: a new field is covered by being there."""
    message = data.draw(filled(getattr(pb, name), ENCODABLE))
    clean_message(message)
    assert_safe(message)


def test_json_of_the_command_line_is_clean_whatever_a_controller_sends(capsys: pytest.CaptureFixture[str]) -> None:
    """A controller of an older release does not clean."""
    event = pb.Event(why=HOSTILE, who=HOSTILE, details=json.dumps({HOSTILE: [HOSTILE]}))
    print_json(plain(event))
    assert_safe(json.loads(capsys.readouterr().out))


@given(unsafe_texts(HIDDEN))
def test_a_reason_loses_what_cannot_be_seen(text: str) -> None:
    """It is not refused for it: such characters come along with pasted text. One of nothing else is no reason."""
    assert_safe(validate_reason(f"incident {text}42"))
    if not UNSAFE.sub("", text).strip():
        assert [violation.field for violation in freeze_violations(("*",), text, None)] == ["reason"]


@pytest.mark.parametrize("letter", [c for c in ALL if c not in HIDDEN and not c.isspace() and ord(c) < 0xE0000])
def test_a_reason_that_misleads_is_refused_by_its_field(letter: str) -> None:
    """Controls and what turns the direction of writing."""
    with pytest.raises(Refusal) as refusal:
        validate_reason(f"a{letter}b")
    assert [violation.field for violation in refusal.value.violations] == ["reason"]
    with pytest.raises(Refusal):
        validate_request_id(f"a{letter}b")


@given(unsafe_texts())
def test_programs_and_people_are_sent_clean_text(text: str) -> None:
    """Hooks and notifications."""
    service = state(source="x")
    payload = request_payload(
        Hook(url="http://127.0.0.1/", types={HookType.ROLLOUT}, metadata={"k": text}), HookType.ROLLOUT, service, None
    )
    assert_safe(json.loads(payload))
    entry = Entry(kind=LedgerKind.FREEZE_SET, services=("*",), who=text, why=text, details={text: [text]})
    line = LedgerLine.after(ChainEnd(), revision=1, at=1.0, change_id="1", entry=entry)
    assert_safe(render_message([line]))
    assert_safe(cloud_event(line, "store"))
