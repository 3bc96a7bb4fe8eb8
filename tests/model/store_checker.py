"""Sees every change that becomes true, and knows of itself what may: written from the promises, not from the code."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.freeze import Act, Freeze, Mode
from controller.core.model.ledger_chain import ChainCheck
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.ports.store import Store
from tests.fakes.clock import FakeClock

T = TypeVar("T")

OVER = (Phase.PROMOTED, Phase.ROLLED_BACK)
BACK = (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
ROUNDING = 0.001
"""Seconds that sums of times may be off."""


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for, as those of the memory store."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


@dataclass(frozen=True)
class Ground:
    """On what automation decided: first of all, in which term."""

    token: int


@dataclass(frozen=True)
class Judged(Ground):
    """It moved a rollout. `soaked` are the seconds for which this stage was really watched by then."""

    verdict: Verdict
    soaked: float


@dataclass(frozen=True)
class Sight:
    """How a controller saw a freeze first: when, by the clock that never jumps, and, if it found it there when it
    began, how wrong the wall clock was then."""

    at: float
    skew: float | None


@dataclass(frozen=True)
class Timed(Ground):
    """It ended a freeze."""

    sight: Sight


@dataclass
class StoreChecker:
    """The store as the model uses it. After each change that was applied it checks what has become true."""

    store: Store
    clock: FakeClock
    views: list[View] = field(default_factory=list)
    changes: list[tuple[Change, int]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    chain: ChainCheck = field(default_factory=ChainCheck)
    told: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    began: dict[Freeze, tuple[float, float]] = field(default_factory=dict)
    """When each freeze was set, by the clock that never jumps, and how wrong the wall clock was then."""
    past: set[str] = field(default_factory=set)
    """The rollouts that gave way to another one, or went with their service."""

    def __post_init__(self) -> None:
        self.views.append(done(self.store.load()))

    @property
    def view(self) -> View:
        """What is true now."""
        return self.views[-1]

    def campaign(self, who: str) -> int:
        """A new term."""
        self.tokens.append(done(self.store.campaign(who)).token)
        return self.tokens[-1]

    def automation(self, change: Change, ground: Ground) -> int:
        """Automation's change, however late it comes."""
        return self._sent(change, ground)

    def operator(self, change: Change) -> int:
        """An operator's change, through any replica."""
        return self._sent(change, None)

    # What operations ask of a store.

    async def load(self) -> View:
        return self.view

    def newest(self) -> View:
        return self.view

    async def command(self, change: Change) -> int:
        return self.operator(change)

    async def command_all(self, changes: Sequence[Change]) -> list[int]:
        return [self.operator(change) for change in changes]

    async def applied(self, change_id: str) -> Applied | None:
        return await self.store.applied(change_id)

    @pytest.mark.proves("promise 4")
    def _sent(self, change: Change, ground: Ground | None) -> int:
        sending = self.store.commit(change, ground.token) if ground else self.store.command(change)
        revision = done(sending)
        before, after = self.view, done(self.store.load())
        assert self.answered.setdefault(change.id, revision) == revision, "a repeated change has another revision"
        if after.revision == before.revision:
            return revision
        assert (after.revision, revision) == (before.revision + 1,) * 2, "more than one change, or another one"
        assert change.id not in {c.id for c, _ in self.changes}, "a change was applied twice"
        self.views.append(after)
        self.changes.append((change, ground.token if ground else 0))
        _check_presence(before, change, ground)
        _check_effect(before, after, change)
        _check_freeze(before, after, change, ground)
        self._check_past(before, after, change)
        for freeze in change.freeze:
            self.began.setdefault(freeze, (self.clock.monotonic(), self.clock.skew))
        if ground:
            assert ground.token == self.tokens[-1], "a term that is over moved something"
        if isinstance(ground, Judged):
            _check_automation(before, after, change, ground)
        elif isinstance(ground, Timed):
            self._check_expiry(change, ground)
        else:
            _check_operator(before, after, change)
        return revision

    @pytest.mark.proves("promise 9")
    def _check_past(self, before: View, after: View, change: Change) -> None:
        """A rollout that gave way to another one, or whose service was deleted, never comes back."""
        present, state = before.services.get(change.service), after.services.get(change.service)
        old, new = present and present.rollout, state and state.rollout
        if old and (new is None or new.id != old.id):
            self.past.add(old.id)
        assert new is None or new.id not in self.past, "a rollout came back that was over"

    @pytest.mark.proves("promise 3")
    def _check_expiry(self, change: Change, ground: Timed) -> None:
        """A freeze ends by itself once its ttl is over. What may end it earlier is a jump of the wall clock between its
        setting and the start of the controller that ends it, and by no more than that."""
        assert change.entry.kind == "freeze_expired", "a freeze ended without saying why"
        for freeze in change.lift:
            assert freeze.until is not None, "a freeze without an end was ended"
            ttl, stood, ahead = self._stood(freeze, ground.sight)
            assert stood + max(0.0, ahead) >= ttl - ROUNDING, f"a freeze of {ttl:g} s was ended after {stood:g} s"

    def check_ended(self, sights: Mapping[Freeze, Sight]) -> None:
        """What holds after a look of who leads and reaches the store: no freeze stands longer than its ttl since this
        controller has seen it, nor longer than a clock explains that was set back before this controller began."""
        for freeze in self.view.freezes:
            if freeze in sights:
                ttl, stood, ahead = self._stood(freeze, sights[freeze])
                seen = self.clock.monotonic() - sights[freeze].at
                known = seen if sights[freeze].skew is None else max(seen, stood + min(0.0, ahead))
                assert known < ttl + ROUNDING, f"a freeze of {ttl:g} s stands after {stood:g} s"

    def _stood(self, freeze: Freeze, sight: Sight) -> tuple[float, float, float]:
        """Its ttl, for how long it has stood, and how far ahead the wall clock was of where it was at first, where
        that could matter."""
        at, at_first = self.began[freeze]
        ahead = 0.0 if sight.skew is None else sight.skew - at_first
        return freeze.ttl, self.clock.monotonic() - at, ahead

    @pytest.mark.proves("promise 1", "promise 4", "promise 10", "promise 11")
    def check(self) -> None:
        """What holds of the store at all times."""
        lines = done(self.store.events(after=self.chain.last, limit=1000))
        for line in lines:
            assert not self.chain.fault(line), f"line {line.sequence}: {self.chain.fault(line)}"
            self.chain = self.chain.then(line)
        told = [line.change_id for line in lines]
        assert told == [change.id for change, _ in self.changes[self.told :]], "ledger and changes differ"
        self.told += len(told)
        assert all(line.entry.who and line.entry.why for line in lines), "a line without who or why"
        for line in lines:
            self._check_weights(line)
        assert [t for _, t in self.changes if t] == sorted(t for _, t in self.changes if t), "a token fell"
        for state in self.view.services.values():
            assert all(isinstance(w, int) and w >= 0 for w in state.weights.values())
            assert sum(state.weights.values()) == TOTAL_WEIGHT, "weights do not total 10 000"

    def _check_weights(self, line: LedgerLine) -> None:
        """A line about a service's traffic tells what it was and what it is."""
        entry = line.entry
        if self.changes[line.sequence - 1][0].state:
            before, after = (
                self.views[revision].services.get(entry.scope) for revision in (line.revision - 1, line.revision)
            )
            told = (entry.weights_before, entry.weights_after)
            assert told == (before.weights if before else {}, after.weights if after else {}), (
                f"line {line.sequence} tells of other weights"
            )


@pytest.mark.proves("promise 9")
def _check_presence(before: View, change: Change, ground: Ground | None) -> None:
    """What is deleted was there, at rest, and is gone: only a file brings the name back, and it starts again."""
    present, state = before.services.get(change.service), change.state
    if change.delete:
        assert present, "what was not there was deleted"
        assert not (present.rollout and present.rollout.running), "deleted in the middle of a rollout"
    if state and not present:
        declared = ground is None and change.entry.kind == "service_applied"
        assert declared, "what was deleted came back"
        assert (state.rollout, state.weights) == (None, {state.spec.stable: TOTAL_WEIGHT}), "it did not begin anew"


@pytest.mark.proves("promise 10")
def _check_effect(before: View, after: View, change: Change) -> None:
    """Doing the ledger again from nothing gives what is stored: each view is the one before and its change."""
    services = dict(before.services)
    if change.delete:
        del services[change.service]
    if change.state:
        services[change.service] = change.state.model_copy(update={"revision": after.revision})
        present = before.services.get(change.service)
        assert change.expects == (present.revision if present else 0), "decided on another state than was replaced"
    assert dict(after.services) == services
    assert set(change.lift) <= set(before.freezes), "another freeze was lifted than was known"
    kept = {f for f in set(before.freezes) - set(change.lift) if not any(g.renews(f) for g in change.freeze)}
    assert set(after.freezes) == kept | set(change.freeze), "a freeze ended that nobody lifted"


@pytest.mark.proves("promise 3")
def _check_freeze(before: View, after: View, change: Change, ground: Ground | None) -> None:
    """While frozen no weight moves, but by an operator's kill; on hold none moves towards a canary. No service goes."""
    present, state = before.services.get(change.service), after.services.get(change.service)
    if present is None or (state and state.weights == present.weights):
        return
    killed = change.act is Act.FORCED_ROLLBACK and ground is None
    for freeze in before.freezes:
        if freeze.covers(change.service):
            back = state is not None and _canary_weight(state) <= _canary_weight(present)
            assert killed or (freeze.mode is Mode.HOLD and back), (
                f"{change.entry.kind} under the freeze of {freeze.scope}"
            )


def _canary_weight(state: ServiceState) -> int:
    return state.rollout.weight if state.rollout else 0


@pytest.mark.proves("promise 9")
def _check_automation(before: View, after: View, change: Change, ground: Judged) -> None:
    """What automation may do to a rollout."""
    if change.state is None:
        return
    old, new = before.services[change.service].rollout, after.services[change.service].rollout
    assert old, "automation began a rollout"
    assert new, "automation dropped a rollout"
    fixed = ("id", "policy", "canary", "stable")
    assert [getattr(new, name) for name in fixed] == [getattr(old, name) for name in fixed], "another rollout"
    assert old.phase not in OVER, "a rollout that is over was moved"
    if (new.weight, new.step) != (old.weight, old.step):
        (_check_back if new.weight < old.weight else _check_forward)(old, new, ground)
    if new.phase is Phase.PROMOTED:
        assert old.phase is Phase.BAKING, "promoted without a bake"
        assert ground.soaked >= old.policy.bake, "promoted before the bake was over"
        assert ground.verdict.outcome is not Outcome.HARM
    if old.phase in BACK:
        assert new.phase in BACK, "a rollback was taken back"


def _check_operator(before: View, after: View, change: Change) -> None:
    """A rollout that an operator starts begins at the first step, whatever the one before had come to."""
    present, state = before.services.get(change.service), after.services.get(change.service)
    old, new = present and present.rollout, state and state.rollout
    if present and state and state.spec != present.spec:
        assert (old, state.weights) == (new, present.weights), "a file moved traffic"
    if new and (old is None or new.id != old.id):
        assert (new.phase, new.step, new.weight) == (Phase.WARMING, 0, new.policy.steps[0]), "not from the beginning"


def _check_back(old: Rollout, new: Rollout, ground: Judged) -> None:
    assert (new.weight, new.phase) == (0, Phase.ROLLING_BACK), "half a rollback"
    assert ground.verdict.outcome is Outcome.HARM, "rolled back without harm"


@pytest.mark.proves("promise 8")
def _check_forward(old: Rollout, new: Rollout, ground: Judged) -> None:
    """One step at most, on PASS alone, after the whole dwell, and past no approval; promotion from the last step."""
    if old.phase is Phase.BAKING:  # the end of the bake, which `_check_automation` knows
        assert (new.phase, new.step, new.weight) == (Phase.PROMOTED, old.step, TOTAL_WEIGHT), "half an end of a bake"
        return
    policy = old.policy
    bake_weight = max(policy.steps[-1], TOTAL_WEIGHT - policy.holdback) if policy.bake else TOTAL_WEIGHT
    steps = (*policy.steps, bake_weight)
    assert ground.verdict.outcome is Outcome.PASS, f"advanced on {ground.verdict.outcome}"
    assert old.phase is Phase.PROGRESSING, f"advanced while {old.phase}"
    assert new.weight == steps[old.step + 1], "not the next step"
    asked = TOTAL_WEIGHT if old.step + 1 == len(policy.steps) else new.weight
    assert asked not in policy.approve, "advanced past a person's approval"
    assert ground.soaked >= policy.dwell, f"advanced after {ground.soaked} s of {policy.dwell}"
    if old.step + 1 == len(policy.steps):
        assert new.phase is Phase.PROMOTING
    else:
        assert (new.step, new.phase) == (old.step + 1, Phase.PROGRESSING)
