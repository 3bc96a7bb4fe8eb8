"""Controllers die, sleep and lose the store; answers get lost; wall clocks jump."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from controller.core.judge.verdict import Outcome
from controller.core.model.freeze import Mode
from controller.core.model.store_errors import Conflict, Frozen, ReusedId
from tests.model.play import SERVICES, WHICH, Play, said, under
from tests.model.replica import Write
from tests.model.rules.freezes import LONG, SCOPES
from tests.model.values import NAMES, POLICY

HOURS = st.sampled_from([-1.0, 1.0])


class Faults(Play):
    """Rules of what no one wants."""

    @under("restart")
    @rule(name=SERVICES)
    def die_after_writing(self, name: str) -> None:
        """kill -9 of every controller after an advance was written, before what is known of the rollout was saved."""
        self.verdicts[name] = said(Outcome.PASS)
        for replica in self.replicas:
            replica.forgetful = True
        self._pass(POLICY.dwell)
        for which in range(3):
            self.restart(which)
        self._pass(1.0)

    @under("restart")
    @rule(which=WHICH)
    def restart(self, which: int) -> None:
        """kill -9 and a new process, which leads if the old one did; its proxies come back to it."""
        old = self.replicas[which]
        proxies = [name for name, at in self.at.items() if at == which]
        before = {name: dict(self.proxies[name].routes) for name in proxies}
        self.replicas[which] = new = self._replica(which)
        self.late = [(replica, write) for replica, write in self.late if replica is not old]
        if old.token:
            new.token = self.checker.campaign(new.name)
        for name in proxies:
            self._connect(name, which).deliver_all()
            self.truth.check_unmoved(before[name], self.proxies[name].routes)

    @under("sleep")
    @rule(which=WHICH, other=WHICH)
    def sleep(self, which: int, other: int) -> None:
        """A controller stops (SIGSTOP, a long pause); another begins a term. Its writes under way are late."""
        if which != other:
            self.late += [(self.replicas[which], write) for write in self._looks(self.replicas[which])]
            self.replicas[which].asleep = True
            self.replicas[other].token = self.checker.campaign("other")

    @under("sleep")
    @rule(which=WHICH)
    def wake(self, which: int) -> None:
        """It goes on, and does not know what happened meanwhile."""
        self.replicas[which].asleep = False

    @under("cut", "deaf")
    @rule(which=WHICH, on=st.booleans())
    def cut(self, which: int, on: bool) -> None:
        """A controller loses the store, or only its answers; or has it back."""
        self.replicas[which].cut = on and "cut" in self.troubles
        self.replicas[which].deaf = on and "deaf" in self.troubles

    @under("retry")
    @rule(which=st.integers(0, 999))
    def retry(self, which: int) -> None:
        """Someone who got no answer sends the same change again, however old it is."""
        change, _ = self.checker.changes[which % len(self.checker.changes)]
        self.replicas[0].deliver(Write(change, None))

    @under("retry")
    @rule(which=st.integers(0, 999))
    def use_again(self, which: int) -> None:
        """Someone sends another change under an id that was used."""
        change, _ = self.checker.changes[which % len(self.checker.changes)]
        try:
            self.checker.operator(replace(change, fingerprint="another"))
        except ReusedId:
            return
        except (Conflict, Frozen) as other:
            raise AssertionError("an id that was used was not known") from other
        raise AssertionError("an id was taken for another change")

    @under("jump")
    @rule(hours=HOURS)
    def jump(self, hours: float) -> None:
        """The wall clock jumps; the monotonic one does not. A healthy canary gains nothing by it."""
        self._jump(hours)

    @under("jump")
    @under("freeze")
    @rule(scope=SCOPES, hours=HOURS, seen=st.booleans())
    def jump_under_a_freeze(self, scope: str, hours: float, seen: bool) -> None:
        """The wall clock jumps while a freeze with an end stands, which controllers have seen or not yet."""
        self._freeze(scope, Mode.FREEZE, LONG)
        if seen:
            self._settle()
            self._pass(1.0)
        self._jump(hours)

    def _jump(self, hours: float) -> None:
        self.clock.skew += hours * 3600
        self.verdicts = dict.fromkeys(NAMES, said(Outcome.PASS))
        self._pass(1.0)
