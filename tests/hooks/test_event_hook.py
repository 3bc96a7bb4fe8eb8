"""The hooks that are told and not asked: `event` and `post-rollout`, after the ledger."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.core.model.ledger_line import ChainEnd, Entry, LedgerLine, services_of
from controller.core.model.rollout import Phase
from controller.core.model.view import View
from controller.hooks.event_hook import EventHook
from controller.ports.recipient import DeliveryError
from controller.process.http_client import open_session
from tests.fakes.clock import FakeClock
from tests.hooks.harness import hook, in_rollout
from tests.notify.receivers import Receiver, receiving

SCORER = in_rollout("qa")
RANKER = in_rollout("qa", name="ranker")
OTHER = in_rollout("another", name="other")


def line(kind: str, service: str = "scorer", why: str = "because") -> LedgerLine:
    """A ledger line."""
    entry = Entry(kind=kind, services=services_of(service), who="haldane", why=why)
    return LedgerLine.after(ChainEnd(6), revision=9, at=1_700_000_000.25, change_id="c", entry=entry)


@contextlib.asynccontextmanager
async def listening(receiver: Receiver, *types: str, **more: Any) -> AsyncIterator[EventHook]:
    """The hook `qa` with these types, beside services of which two name it."""
    services = {state.name: state for state in (SCORER, RANKER, OTHER)}
    settings = hook(receiver.url, *types, **more)
    async with open_session() as session:
        view = View("store", 9, services)
        yield EventHook("qa", settings, session=session, clock=FakeClock(), view=lambda: view)


async def test_an_event_is_flaggers_event() -> None:
    """The payload's metadata has the message, its type and the time in milliseconds, beside what the settings give."""
    async with receiving() as receiver, listening(receiver, "event", metadata={"team": "fraud"}) as listener:
        await listener.deliver([line("rollback", why="5xx: 12 of 240")])
    (posted,) = receiver.posted
    body = json.loads(posted.body)
    assert (body["name"], body["namespace"], body["phase"], body["type"]) == (
        "scorer",
        "default",
        "Progressing",
        "event",
    )
    assert body["metadata"] == {
        "team": "fraud",
        "eventMessage": "5xx: 12 of 240",
        "eventType": "Warning",
        "eventKind": "rollback",
        "timestamp": "1700000000250",
    }


async def test_what_is_well_is_normal() -> None:
    """Flagger knows two types of events."""
    async with receiving() as receiver, listening(receiver, "event") as listener:
        await listener.deliver([line("step_advanced")])
    assert json.loads(receiver.posted[0].body)["metadata"]["eventType"] == "Normal"


@pytest.mark.parametrize(
    ("types", "kind", "service", "wanted"),
    [
        (["event"], "step_advanced", "scorer", True),
        (["event"], "step_advanced", "other", False),
        (["event"], "service_deleted", "gone", False),
        (["event"], "freeze_set", "*", True),
        (["event"], "freeze_set", "other,ranker", True),
        (["event"], "proxy_refused", "", False),
        (["post-rollout"], "step_advanced", "scorer", False),
        (["post-rollout"], "promoted", "scorer", True),
        (["post-rollout"], "rolled_back", "scorer", True),
        (["rollout"], "promoted", "scorer", False),
    ],
)
async def test_only_services_that_name_the_hook_are_told_of(
    types: list[str], kind: str, service: str, wanted: bool
) -> None:
    """And only what the hook's types are about."""
    async with receiving() as receiver, listening(receiver, *types) as listener:
        assert listener.wants(line(kind, service)) is wanted


async def test_what_concerns_several_services_is_told_for_each() -> None:
    """A freeze of all: one event for each service that names the hook."""
    async with receiving() as receiver, listening(receiver, "event") as listener:
        await listener.deliver([line("freeze_set", "*")])
    assert {json.loads(posted.body)["name"] for posted in receiver.posted} == {"scorer", "ranker"}


async def test_the_end_is_told_to_both_types() -> None:
    """A hook that is of both types gets both."""
    async with receiving() as receiver, listening(receiver, "event", "post-rollout") as listener:
        await listener.deliver([line("promoted")])
    assert [json.loads(posted.body)["type"] for posted in receiver.posted] == ["event", "post-rollout"]


@pytest.mark.parametrize(
    ("does", "final"), [(500, False), ("hang", False), ("redirect", False), ("garbage", False), (404, True)]
)
async def test_one_that_does_not_take_it(does: int | str, final: bool) -> None:
    """A failure is tried again later; a 4xx is an answer, and the next line is told."""
    async with receiving(does) as receiver, listening(receiver, "event", timeout=0.3) as listener:
        with pytest.raises(DeliveryError) as undelivered:
            await listener.deliver([line("promoted")])
    assert undelivered.value.final is final


@pytest.mark.parametrize(("phase", "word"), [(Phase.PROMOTED, "Succeeded"), (Phase.ROLLED_BACK, "Failed")])
async def test_the_outcome_is_in_flaggers_words(phase: Phase, word: str) -> None:
    """Receivers of post-rollout tell success from failure by the phase, also when the next rollout runs by then."""
    details = {"rollout": "r0", "canary": "v3", "phase": phase.value, "step": 3}
    entry = line(phase.lower()).entry.model_copy(update={"details": details, "weights_after": {"v3": 0, "v1": 10_000}})
    async with receiving() as receiver, listening(receiver, "post-rollout") as listener:
        await listener.deliver([line(phase.lower()).model_copy(update={"entry": entry})])
    body = json.loads(receiver.posted[0].body)
    assert (body["phase"], body["checksum"], body["canary"]) == (word, "r0", "v3")
    assert body["weights"] == {"v3": 0, "v1": 10_000}
