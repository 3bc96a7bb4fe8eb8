"""Time passes, reports arrive, and automation makes something of them."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from controller.core.judge.verdict import Outcome, Reason, Verdict
from tests.model.play import SERVICES, Play, said, under
from tests.model.values import NAMES

OUTCOMES = st.sampled_from([Outcome.PASS, Outcome.PASS, Outcome.UNKNOWN])


class Watching(Play):
    """Rules of time and of what is seen."""

    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0]), seen=st.tuples(OUTCOMES, OUTCOMES), late=st.booleans())
    def pass_time(self, seconds: float, seen: tuple[Outcome, Outcome], late: bool) -> None:
        """Reports arrive for a while; then every controller that believes to lead looks."""
        self.verdicts = {name: said(outcome) for name, outcome in zip(NAMES, seen, strict=True)}
        self._pass(seconds, late=late and "late" in self.troubles)

    @under("blind")
    @rule(seconds=st.sampled_from([5.0, 10.0]))
    def pass_time_blind(self, seconds: float) -> None:
        """No reports for a while."""
        blind = Verdict(Outcome.UNKNOWN, (Reason("blind", "no reports"),), blind=True)
        self.verdicts = dict.fromkeys(NAMES, blind)
        self._pass(seconds)

    @rule(name=SERVICES)
    def climb(self, name: str) -> None:
        """A healthy canary, long enough for the next step."""
        self._climb(name)

    @under("harm")
    @rule(name=SERVICES, steps=st.integers(0, 2))
    def harm(self, name: str, steps: int) -> None:
        """The canary does harm, perhaps only when it has climbed."""
        for _ in range(steps):
            self._climb(name)
        self.verdicts[name] = said(Outcome.HARM)
        self._pass(1.0)

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 99))
    def arrive_late(self, which: int) -> None:
        """A write that was under way for a while arrives."""
        replica, write = self.late.pop(which % len(self.late))
        replica.deliver(write)
