"""Meters whose counts a test reads."""

from collections import Counter
from dataclasses import dataclass, field

from controller.core.control.automation import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.service_state import ServiceState


@dataclass
class FakeMeter:
    """Keeps what ticks, hooks and notifications count."""

    decisions: list[str] = field(default_factory=list)
    """The kind of each decision, in order."""
    hook_outcomes: list[tuple[str, str, str]] = field(default_factory=list)
    """(hook, type, outcome) of each answer, in order."""
    notified: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(target, outcome) -> ledger lines."""

    ignored: Counter[str] = field(default_factory=Counter)
    """Why reports did not count -> how many."""

    def count_decision(self, state: ServiceState, decision: Decision, verdict: Verdict) -> None:
        self.decisions.append(decision.kind.value)

    cycles: int = 0
    tick_errors: int = 0

    def count_cycle(self) -> None:
        self.cycles += 1

    def count_tick_error(self) -> None:
        self.tick_errors += 1

    def observe_tick(self, seconds: float) -> None:
        assert seconds >= 0

    def count_hook_answer(self, hook: str, kind: str, outcome: str) -> None:
        self.hook_outcomes.append((hook, kind, outcome))

    def count_ignored_report(self, reason: str) -> None:
        self.ignored[reason] += 1

    report_interval: float = 0.0

    def set_report_interval(self, seconds: float) -> None:
        self.report_interval = seconds

    def count_notifications(self, target: str, outcome: str, lines: int) -> None:
        self.notified[target, outcome] += lines
