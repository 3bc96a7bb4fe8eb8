"""A scenario under way: its checks so far, and what was measured."""

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.demo.environment import Environment
from controller.demo.traffic_observer import TrafficObserver


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must have been observed, and whether it was."""

    text: str
    ok: bool


@dataclass(slots=True, kw_only=True)
class Act:
    """What an act records."""

    title: str
    show: Callable[[str], None]
    """Prints a line."""
    checks: list[Check] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    def check(self, text: str, ok: bool) -> None:
        """Record a check."""
        self.checks.append(Check(text, ok))

    def measure(self, text: str) -> None:
        """Record and print a measurement."""
        self.measured.append(text)
        self.show(text)

    @property
    def ok(self) -> bool:
        """Whether everything that must be observed was observed."""
        return bool(self.checks) and all(check.ok for check in self.checks)


@dataclass(slots=True, kw_only=True)
class ScenarioRun(Act):
    """What a scenario acts on, and what it records."""

    environment: Environment
    observer: TrafficObserver
    picture: Callable[[], None]
    """Saves the screen as it is now, if a picture is wanted."""
