"""Two operators at once: both read the same, then both act. One wins, the other is told what happened."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import grpc
import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.admin.doors import Doors, Refused, come_to_approval, refused
from tests.builders import service_file

pytestmark = pytest.mark.proves("track-record 53")

Ask = Callable[[Doors, str], Awaitable[object]]
"""An act of the operator of that name."""

FILE = service_file().replace("endpoints: []", 'endpoints: ["127.0.0.1:9003"]')


def by(who: str) -> tuple[tuple[str, str], ...]:
    return (("haldane-user", who),)


def start(canary: str) -> Ask:
    return lambda doors, who: doors.api.rollouts.StartCanary(
        pb.StartCanaryRequest(service="scorer", canary=canary, reason=f"of {who}"), metadata=by(who)
    )


def act(verb: str) -> Ask:
    request = pb.RollbackRequest if verb == "Rollback" else pb.RolloutRequest
    return lambda doors, who: getattr(doors.api.rollouts, verb)(
        request(service="scorer", reason=f"of {who}"), metadata=by(who)
    )


def apply(text: str) -> Ask:
    return lambda doors, who: doors.api.catalog.ApplyService(
        pb.ApplyServiceRequest(yaml=text, reason=f"of {who}"), metadata=by(who)
    )


def wait_for_a_yes(doors: Doors, who: str) -> Awaitable[object]:
    return come_to_approval(doors)


def delete(doors: Doors, who: str) -> Awaitable[object]:
    return doors.api.catalog.DeleteService(
        pb.DeleteServiceRequest(service="scorer", reason=f"of {who}"), metadata=by(who)
    )


# The pairs of which the loser is refused: the act that must have come first, and the two.
IDLE, RUNNING, WAITING = (), (start("v2"),), (start("v2"), wait_for_a_yes)
PAIRS: Mapping[str, tuple[tuple[Ask, ...], Ask, Ask]] = {
    "the same start": (IDLE, start("v2"), start("v2")),
    "starts of two canaries": (IDLE, start("v2"), start("v3")),
    "a newer canary, twice": (RUNNING, start("v3"), start("v3")),
    "start and delete": (IDLE, start("v2"), delete),
    "start and apply": (IDLE, start("v2"), apply(FILE + "timeout: 9s\n")),
    "delete twice": (IDLE, delete, delete),
    "delete and apply": (IDLE, delete, apply(FILE + "timeout: 9s\n")),
    "two files": (IDLE, apply(FILE + "timeout: 8s\n"), apply(FILE + "timeout: 9s\n")),
    "pause and promote": (RUNNING, act("Pause"), act("Promote")),
    "pause twice": (RUNNING, act("Pause"), act("Pause")),
    "promote twice": (RUNNING, act("Promote"), act("Promote")),
    "a newer canary and promote": (RUNNING, start("v3"), act("Promote")),
    "approve twice": (WAITING, act("Approve"), act("Approve")),
    "approve and pause": (WAITING, act("Approve"), act("Pause")),
    "approve and promote": (WAITING, act("Approve"), act("Promote")),
    "a newer canary and approve": (WAITING, start("v3"), act("Approve")),
}


@pytest.mark.parametrize("swapped", [False, True], ids=["", "swapped"])
@pytest.mark.parametrize(("before", "one", "other"), PAIRS.values(), ids=PAIRS)
async def test_one_wins_and_the_other_is_told_what_happened(
    doors: Doors, before: tuple[Ask, ...], one: Ask, other: Ask, swapped: bool
) -> None:
    """ABORTED, with what the winner did, who that was and why; and the ledger has the winner's line alone."""
    lost, events = await race(doors, before, *((other, one) if swapped else (one, other)))
    (told,) = lost
    (line,) = events
    assert (told.status, told.reason) == (grpc.StatusCode.ABORTED, "CONFLICT")
    assert told.message == f"another act was faster: {line.kind} by {line.who} (unverified), {line.why}"


async def test_a_second_yes_takes_no_second_step(doors: Doors) -> None:
    """Two people say yes to the same share: the canary gets that share, not the one after it."""
    await race(doors, WAITING, act("Approve"), act("Approve"))
    now = await doors.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))
    assert (now.phase, now.step, now.weights["v2"]) == ("PROGRESSING", 1, now.steps[1])


@pytest.mark.parametrize("swapped", [False, True], ids=["", "swapped"])
@pytest.mark.parametrize(
    "other",
    [act("Pause"), act("Promote"), act("Approve"), start("v3")],
    ids=["pause", "promote", "approve", "start"],
)
async def test_a_rollback_is_tried_again(doors: Doors, other: Ask, swapped: bool) -> None:
    """It is safe whatever came first: all the traffic is stable's at the end, whoever was faster."""
    await race(doors, WAITING, *((other, act("Rollback")) if swapped else (act("Rollback"), other)))
    now = await doors.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))
    assert (now.phase, now.weights["v1"]) == ("ROLLING_BACK", 10_000)


async def race(doors: Doors, before: tuple[Ask, ...], *asks: Ask) -> tuple[list[Refused], list[pb.Event]]:
    """Two acts that were decided on the same view: the refusals, and the ledger's lines since."""
    for ask in (apply(FILE), *before):
        await ask(doors, "first")
    known = len((await doors.api.ledger.ListEvents(pb.ListEventsRequest())).events)
    doors.store.together = asyncio.Barrier(len(asks))
    lost = []

    async def attempt(ask: Ask, who: str) -> None:
        try:
            with refused() as told:
                await ask(doors, who)
        except AssertionError:
            return
        lost.append(told)

    await asyncio.gather(*(attempt(ask, who) for ask, who in zip(asks, ("ada", "grace"), strict=True)))
    events = (await doors.api.ledger.ListEvents(pb.ListEventsRequest(after=known))).events
    return lost, list(events)
