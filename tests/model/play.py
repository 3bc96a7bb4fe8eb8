"""One run of the model: who takes part, how time passes for them, and how what they send arrives.

The rules (`tests/model/rules`) say what happens; `machine.py`, `store_checker.py` and `truth.py` what must hold.
"""

from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition

from controller.core.base.errors import Code, Refusal
from controller.core.control.commands import Command, Verb
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.actor import Actor
from controller.core.model.freeze import ALL, Freeze, Mode
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from controller.xds.resources.type_urls import RDS
from tests.fakes.clock import FakeClock
from tests.model.replica import Parts, Replica, Write
from tests.model.store_checker import StoreChecker, done
from tests.model.truth import Truth
from tests.model.values import NAMES, POLICY, declared
from tests.xds.simulated_envoy import SimulatedEnvoy, SimulatedStream, settle_timeout

TROUBLES = (
    *("restart", "sleep", "cut", "deaf", "late", "lag", "slow", "move", "refuse", "retry", "blind", "jump"),
    *("harm", "freeze", "act", "endpoints", "delete"),
)
"""What a run may have beside time, verdicts and starts: faults, and what ends rollouts or stops them.

Each run has a few of them (a swarm): with all of them always on, a kill comes early, ends nearly every run, and half
of the bugs hide behind it.
"""

SERVICES = st.sampled_from(NAMES)
CANARIES = st.sampled_from(["v2", "v3"])
WHICH = st.integers(0, 2)
"""A controller."""


def under(*troubles: str) -> Any:
    """A rule of the runs that have one of these."""
    return precondition(lambda self: self.troubles & set(troubles))


def said(outcome: Outcome) -> Verdict:
    """A verdict that says so."""
    return Verdict(outcome, (Reason("model", f"said {outcome}"),))


class Play(RuleBasedStateMachine):
    """Three controllers, two proxies, two services, one store; and what the rules are made from."""

    parts = Parts()
    always: tuple[str, ...] = ()
    """Troubles that every run has."""

    @initialize(troubles=st.sets(st.sampled_from(TROUBLES), max_size=4), good=st.booleans())
    def begin(self, troubles: set[str], good: bool) -> None:
        self.troubles, self.good = troubles | set(self.always), good
        self.clock = FakeClock(skew=0.0)
        self.checker = StoreChecker(self.parts.store(self.clock), self.clock)
        self.archive = MemoryStore(clock=self.clock)
        self.operations = Operations(self.checker, self.clock)
        for name in NAMES:
            self._apply(name)
        self.truth = Truth(self.checker)
        self.lives = 0
        self.replicas = [self._replica(n) for n in range(3)]
        self.late: list[tuple[Replica, Write]] = []
        self.verdicts = dict.fromkeys(NAMES, Verdict(Outcome.UNKNOWN, ()))
        self.proxies = {f"proxy-{n}": SimulatedEnvoy(delta=bool(n)) for n in range(2)}
        self.at = dict.fromkeys(self.proxies, 0)
        self.replicas[0].token = self.checker.campaign("first")
        for name in self.proxies:
            self._connect(name, 0)
        self.refusing: dict[str, str] = {}
        for name in NAMES:
            self._act(name, Command(Verb.START, "", "v2"))
        self._settle()

    # Time, and what automation makes of it.

    def _pass(self, seconds: float, *, late: bool = False) -> None:
        """Time passes; then every controller that believes to lead looks, and writes at once or later."""
        self._wait(seconds)
        for replica in self.replicas:
            for write in self._looks(replica):
                replica.save(write.change.service)
                if late:
                    self.late.append((replica, write))
                else:
                    replica.deliver(write)
            if replica.token == self.checker.tokens[-1] and not (late or replica.asleep or replica.cut):
                self.checker.check_ended(replica.sights)

    def _climb(self, name: str) -> None:
        """A healthy canary, long enough for the next step."""
        self.verdicts[name] = said(Outcome.PASS)
        self._pass(POLICY.dwell)
        self._settle()
        self._pass(1.0)
        self._settle()

    def _wait(self, seconds: float) -> None:
        """Time passes, and no one looks."""
        self.clock.now += seconds
        blind = all(v.blind for v in self.verdicts.values()) and not any(r.asleep for r in self.replicas)
        self.truth.passed(0.0 if blind else seconds)

    def _looks(self, replica: Replica) -> Iterator[Write]:
        """What a controller wants to write, if it believes to lead."""
        if not replica.token or replica.asleep:
            return
        for name in NAMES:
            write = replica.look(name, self.verdicts[name], lambda n=name: self.truth.soaked(n))
            if write:
                yield write
        yield from replica.expire()

    def _decided(self, name: str) -> list[tuple[Replica, Write]]:
        """What every controller has decided after a healthy dwell, and not yet written."""
        self.verdicts[name] = said(Outcome.PASS)
        self._wait(POLICY.dwell)
        return [(replica, write) for replica in self.replicas for write in self._looks(replica)]

    # What operators do, on the newest state: None if it is done, or why it was refused.

    @pytest.mark.proves("promise 3")
    def _act(self, name: str, command: Command) -> Code | None:
        """A command. What may stop a rollback is a freeze, and nothing stops a forced one."""
        refused = _refused(self.operations.act(name, command, who=Actor("ada")))
        if command.verb is Verb.ROLLBACK and refused is Code.FROZEN:
            assert not command.force, "a freeze stopped a forced rollback"
            modes = {freeze.mode for freeze in self._freezes_of(name)}
            assert Mode.FREEZE in modes, "a rollback was refused, though nothing is frozen"
        return refused

    @pytest.mark.proves("promise 3")
    def _apply(self, name: str, *, third: bool = True, moved: bool = False) -> Code | None:
        """A service's file, which no freeze stops."""
        text = declared(name, third=third, moved=moved)
        refused = _refused(self.operations.apply(text, who=Actor("ada"), reason="as in the file"))
        assert refused is not Code.FROZEN, "a freeze stopped endpoints"
        return refused

    def _delete(self, name: str) -> Code | None:
        """The service's end: possible where no rollout of it runs, and nothing is frozen or on hold."""
        state = self.checker.view.services.get(name)
        if state is None:
            due = Code.NOT_FOUND
        elif state.rollout and state.rollout.running:
            due = Code.IN_USE
        else:
            due = Code.FROZEN if self._freezes_of(name) else None
        refused = _refused(self.operations.delete(name, who=Actor("ada"), reason="no more"))
        assert refused is due, f"to delete was answered by {refused}, though {due} was due"
        return refused

    def _freeze(self, scope: str, mode: Mode, ttl: float | None = None, who: str = "grace") -> None:
        """A freeze or a hold; it is durable when it is answered. There is none of a service that is not there."""
        self.clock.now += 0.001
        due = None if scope in (ALL, *self.checker.view.services) else Code.NOT_FOUND
        refused = _refused(self.operations.freeze([scope], who=Actor(who), reason="incident", ttl=ttl, mode=mode))
        assert refused is due, f"to freeze was answered by {refused}"

    def _unfreeze(self, scope: str) -> None:
        """Every freeze of that scope is lifted; of all, every one there is."""
        there = any(scope in (ALL, freeze.scope) for freeze in self.checker.view.freezes)
        refused = _refused(self.operations.unfreeze([scope], who=Actor("grace"), reason="over"))
        assert refused is (None if there else Code.NOT_FOUND), f"to unfreeze was answered by {refused}"

    def _freezes_of(self, name: str) -> list[Freeze]:
        return [freeze for freeze in self.checker.view.freezes if freeze.covers(name)]

    # Processes and streams.

    def _replica(self, n: int) -> Replica:
        """A new process in the place of the n-th controller."""
        self.lives += 1
        return Replica(f"replica-{n}.{self.lives}", self.parts, self.checker, self.archive, self.clock)

    def _connect(self, name: str, which: int) -> SimulatedStream:
        """A proxy ends its stream, and opens one to that controller."""
        for replica in self.replicas:
            replica.links.pop(name, None)
        self.at[name] = which
        link = self.replicas[which].connect(name, self.proxies[name])
        settle_timeout(link)
        return link

    def _settle(self) -> None:
        """Without faults on the way, views and messages arrive at once."""
        for n, replica in enumerate(self.replicas):
            if n == 0 or "lag" not in self.troubles:
                replica.follow(self.checker.view)
            for name, link in replica.links.items() if "slow" not in self.troubles else ():
                while link.to_client or link.to_server:
                    self._deliver(name, link, hear=not link.to_client)

    def _deliver(self, name: str, link: SimulatedStream, *, hear: bool) -> None:
        """The oldest message of one direction arrives, if there is one."""
        if hear and link.to_server:
            link.deliver_request()
        elif not hear and link.to_client:
            routes = link.to_client[0].type_url == RDS
            link.deliver_response(self.refusing.pop(name, "") if routes else "")


def _refused(asking: Coroutine[Any, Any, object]) -> Code | None:
    """None if it is done, or why it was refused."""
    try:
        done(asking)
    except Refusal as refusal:
        return refusal.code
    return None
