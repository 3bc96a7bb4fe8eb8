"""One rollout that is its own fleet: what it decides is served at once. The very code that `serve` runs."""

from dataclasses import dataclass

from controller.core.control.commands import Command, Verb, execute
from controller.core.control.decision import Decision
from controller.core.control.session import Session, TickInputs, after_commit
from controller.core.control.tick import tick
from controller.core.judge.custom.custom_metrics import without_custom
from controller.core.judge.verdict import Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Rollout
from controller.core.model.service import Service
from controller.core.model.service_state import ServiceState
from controller.core.traffic.window import Sample, Stratum, Window

WORDS = {LedgerKind.STEP_ADVANCED: "advance", LedgerKind.ROLLBACK: "rollback", LedgerKind.PROMOTION_STARTED: "promote"}
"""What a decision is called by `haldane judge`; everything else holds the weight."""
_ALONE = TickInputs()


@dataclass(frozen=True, slots=True)
class TrialTick:
    """What came of one window."""

    verdict: Verdict
    decision: Decision
    rollout: Rollout

    @property
    def word(self) -> str:
        """hold, advance, rollback or promote."""
        return WORDS.get(self.decision.kind, "hold") if self.decision.kind else "hold"


class Trial:
    """A rollout from its start, driven by windows. Mutable; `rollout` and `session` are values."""

    def __init__(self, service: Service) -> None:
        canary = next(version.name for version in service.versions if version.name != service.stable)
        command = Command(Verb.START, "started to be judged", canary=canary, rollout_id="trial")
        # There is no Prometheus to ask here, and a metric that is not read would shut every gate.
        service = service.model_copy(update={"policy": without_custom(service.policy)})
        idle = ServiceState(spec=service, source="", stable=service.stable)
        self._state = execute(idle, command, 0.0).state
        self.session = Session.of(self._state)

    @property
    def state(self) -> ServiceState:
        """The service and its rollout as they stand."""
        return self._state

    @property
    def rollout(self) -> Rollout:
        """As it stands."""
        assert self._state.rollout is not None
        return self._state.rollout

    @property
    def over(self) -> bool:
        """Whether nothing can happen any more."""
        return not self.rollout.running

    def tick(self, at: float, stable: Sample | None, canary: Sample | None) -> TrialTick:
        """Judge and decide on what happened up to `at` at the present weight; the weight after it is in the answer."""
        return self.tick_strata(at, (Stratum("", stable, canary),))

    def tick_strata(self, at: float, strata: tuple[Stratum, ...]) -> TrialTick:
        """Likewise on what happened at each group of proxies."""
        window = Window.of_strata(at, self.rollout.weight, strata)
        session, verdict, decision = tick(self._state, self.session, window, _ALONE, at)
        self.session = after_commit(session, decision.state, at)
        self._state = decision.state
        return TrialTick(verdict, decision, self.rollout)
