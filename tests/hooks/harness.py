"""Hooks as the settings have them, and a service whose policy names some."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service import Policy
from controller.core.model.service_state import ServiceState
from controller.hooks.hook import Hook
from controller.hooks.hook_approvals import HookApprovals
from controller.process.http_client import open_session
from tests.builders import service
from tests.fakes.clock import FakeClock
from tests.fakes.meter import FakeMeter

PASS = Verdict(Outcome.PASS, (Reason("no_harm", "shown to be no worse"),))
STEPS = (500, 1000, 2500)


def hook(url: str, *types: str, timeout: float = 5, **more: object) -> Hook:
    """A hook at that address."""
    return Hook.model_validate({"url": url, "types": types, "timeout": timeout, **more})


def in_rollout(
    *hooks: str, step: int = 0, weight: int | None = None, rollout: str = "r1", name: str = "scorer"
) -> ServiceState:
    """A service under a rollout at that step, whose policy names these hooks."""
    policy = Policy(hooks=hooks, steps=STEPS)
    spec = service(name).model_copy(update={"policy": policy})
    under_way = Rollout(
        id=rollout,
        service=name,
        stable="v1",
        canary="v2",
        policy=policy,
        phase=Phase.PROGRESSING if weight is None else Phase.WARMING,
        step=step,
        weight=STEPS[step] if weight is None else weight,
    )
    return ServiceState(spec=spec, source="", stable="v1", rollout=under_way)


def decision(kind: LedgerKind | None, state: ServiceState) -> Decision:
    """A decision of that kind on this state."""
    return Decision(kind, Act.ADVANCE, state, "passed")


@dataclass
class HookHarness:
    """Gates over hooks, a clock that the test moves, and what was counted and noticed."""

    gates: HookApprovals
    clock: FakeClock
    counted: FakeMeter
    noticed: list[str]

    def hold(self, state: ServiceState, kind: LedgerKind = LedgerKind.STEP_ADVANCED) -> str:
        """Why the hooks hold a decision of that kind."""
        blocker = self.gates.hook_blocker(state, decision(kind, state), PASS)
        return blocker.words if blocker else ""


@contextlib.asynccontextmanager
async def hook_harness(**hooks: Hook) -> AsyncIterator[HookHarness]:
    """Gates over these hooks, by their names, until the end of the block."""
    clock = FakeClock(now=0.0, skew=time.time())  # receivers compare the time of day with the machine's
    counted = FakeMeter()
    noticed: list[str] = []
    async with open_session() as session:
        gates = HookApprovals(hooks, session=session, clock=clock, meter=counted, on_news=noticed.extend)
        try:
            yield HookHarness(gates, clock, counted, noticed)
        finally:
            gates.close()
