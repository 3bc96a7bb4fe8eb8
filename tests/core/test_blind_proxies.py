"""Proxies that cannot report broken responses: every verdict says so, and none decides otherwise for it."""

import pytest

from controller.core.control.session import Session, TickInputs
from controller.core.control.sync import Sync
from controller.core.control.tick import decide_on_verdict
from controller.core.judge.reason import ReasonCode
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.store.memory import MemoryStore
from tests.builders import freeze, state_in, verdict
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import running_rollout

SEEING, BLIND = Sync(3, 3), Sync(3, 3, blind=("edge-2",))


@pytest.mark.parametrize("phase", [Phase.WARMING, Phase.PROGRESSING, Phase.BAKING])
@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("freezes", [(), (freeze(),)], ids=["free", "frozen"])
def test_a_blind_proxy_is_named_last_and_changes_no_decision(
    phase: Phase, outcome: Outcome, freezes: tuple[Freeze, ...]
) -> None:
    """The kind, the act, the state but for the words, and the cause are those of a fleet that sees."""
    state = state_in(phase)

    def decided(sync: Sync) -> tuple[Verdict, object]:
        session = Session.of(state)
        for at in (0.0, 10_000.0):
            inputs = TickInputs(freezes, sync)
            session, found, decision = decide_on_verdict(state, session, verdict(outcome), at, inputs, 0.0)
        rollout = decision.state.rollout
        assert rollout
        return found, (decision.kind, decision.act, rollout.phase, rollout.weight, found.cause, found.suspicious)

    (seeing, expected), (blind, found) = decided(SEEING), decided(BLIND)
    assert found == expected
    assert blind.reasons[:-1] == seeing.reasons
    assert blind.reasons[-1].code is ReasonCode.BROKEN_UNSEEN
    assert blind.reasons[-1].text == "1 of 3 proxies cannot report broken responses (edge-2): there they count as good"


async def test_the_ledger_and_the_apis_say_so_as_long_as_it_holds() -> None:
    """While a proxy is blind; and no longer."""
    clock = FakeClock()
    async with running_rollout(MemoryStore(clock=clock), clock) as harness:
        harness.fleet.synced = Sync(1, 1, blind=("edge-1",))
        await harness.ticks(12)
        live = harness.replica.live("scorer")
        text = "1 of 1 proxy cannot report broken responses (edge-1): there they count as good"
        assert live.verdict
        assert (live.verdict.reasons[-1].code, live.reasons.count(text)) == (ReasonCode.BROKEN_UNSEEN, 1)
        harness.fleet.synced = Sync(1, 1)
        await harness.tick()
        assert text not in harness.replica.live("scorer").reasons
        harness.fleet.synced = Sync(1, 1, blind=("edge-1",))
        await harness.ticks(20, canary_errors=0.9)
        lines = await harness.store.events(after=0, limit=100)
        (line,) = [line for line in lines if line.entry.kind is LedgerKind.ROLLBACK]
        assert text in line.entry.why
        assert line.entry.details["reasons"][-1]["code"] == "broken_unseen"
