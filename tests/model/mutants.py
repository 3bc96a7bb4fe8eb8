"""Mutants: one real part made wrong in one way each. The model must catch every one of them."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.commands import Command, Verb, execute
from controller.core.control.decision import Decision, wait
from controller.core.control.session import Session, TickInputs
from controller.core.control.tick import decide_on_verdict
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Act, Freeze, expiry_times
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Event, Phase, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.xds.protocol.discovery import Event as StreamEvent
from controller.xds.protocol.node import Node
from controller.xds.protocol.stream_state import TypeState
from controller.xds.protocol.sync_counts import SyncCounts
from controller.xds.resources.snapshot import Snapshot
from tests.model.replica import Parts, Weigh
from tests.model.wrong_stores import (
    AnswersForAnother,
    BringsBack,
    DeletesTheFrozen,
    FreezesEndpoints,
    FreezesOneAlone,
    HoldsRollbacks,
    KnowsNamesAlone,
    LiftsAnyFreeze,
    LosesTheLine,
    NoFreezeCheck,
    NoIdCheck,
    NoRevisionCheck,
    NoTokenCheck,
    StopsForce,
    TakesAnotherAlong,
    TellsTheFirstWeights,
)
from tests.xds.simulated_envoy import SimulatedStream


def judging(change: Callable[[Verdict], Verdict]) -> Weigh:
    """Decides on another verdict than was reached."""

    def mutant(
        state: ServiceState, session: Session, verdict: Verdict, at: float, around: TickInputs, now: float
    ) -> tuple[Session, Verdict, Decision]:
        return decide_on_verdict(state, session, change(verdict), at, around, now)

    return mutant


def unknown_is_pass(verdict: Verdict) -> Verdict:
    return replace(verdict, outcome=Outcome.PASS) if verdict.outcome is Outcome.UNKNOWN else verdict


def deciding(change: Callable[[Rollout, Decision, Verdict, float], Decision]) -> Weigh:
    """Makes another decision of the one that was made."""

    def mutant(
        state: ServiceState, session: Session, verdict: Verdict, at: float, around: TickInputs, now: float
    ) -> tuple[Session, Verdict, Decision]:
        session, verdict, decision = decide_on_verdict(state, session, verdict, at, around, now)
        assert state.rollout is not None
        return session, verdict, change(state.rollout, decision, verdict, now)

    return mutant


def _with(decision: Decision, rollout: Rollout) -> Decision:
    return replace(decision, state=decision.state.model_copy(update={"rollout": rollout}))


def two_steps(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    new = decision.state.rollout
    if decision.kind is LedgerKind.STEP_ADVANCED and new and new.next_weight < TOTAL_WEIGHT:
        return _with(decision, new.moved(Event.ADVANCE, now, new.reason))
    return decision


def past_approval(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    if decision.kind is LedgerKind.APPROVAL_NEEDED:
        return _with(replace(decision, act=Act.ADVANCE), old.moved(Event.ADVANCE, now, "nobody asked"))
    return decision


def half_a_rollback(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    new = decision.state.rollout
    if decision.kind is LedgerKind.ROLLBACK and new and old.step:
        return _with(decision, new.model_copy(update={"weight": old.weight // 2}))
    return decision


def copies_go_on(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    new = decision.state.rollout
    if decision.kind is LedgerKind.STEP_ADVANCED and new and old.copies:
        return _with(decision, new.model_copy(update={"copies": old.copies}))
    return decision


def rollback_not_final(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    if old.phase is Phase.ROLLING_BACK and verdict.outcome is Outcome.PASS:
        again = old.model_copy(update={"phase": Phase.PROGRESSING, "weight": old.policy.steps[old.step]})
        return _with(Decision(LedgerKind.STEP_ADVANCED, Act.ADVANCE, decision.state, "it looks better now"), again)
    return decision


def never_confirms(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    if decision.kind is LedgerKind.BAKE_STARTED:
        return wait(decision.state.model_copy(update={"rollout": old}), Blocker(BlockerKind.SYNC))
    return decision


def promotes_from_anywhere(old: Rollout, decision: Decision, verdict: Verdict, now: float) -> Decision:
    if decision.kind is LedgerKind.STEP_ADVANCED:
        return _with(decision, old.moved(Event.PROMOTE, now, "good enough"))
    return decision


def impatient(
    state: ServiceState, session: Session, verdict: Verdict, at: float, around: TickInputs, now: float
) -> tuple[Session, Verdict, Decision]:
    """Any time counts as the whole dwell."""
    ahead = session.progress._replace(observed=session.progress.observed + 9.0)
    return decide_on_verdict(state, session._replace(progress=ahead), verdict, at, around, now)


def by_the_wall_clock(
    state: ServiceState, session: Session, verdict: Verdict, at: float, around: TickInputs, now: float
) -> tuple[Session, Verdict, Decision]:
    """Durations are measured by the clock that people set."""
    return decide_on_verdict(state, session, verdict, now, around, now)


def takes_over_the_dwell(text: str, state: ServiceState) -> Session:
    """After a restart, the time at an earlier step counts for the present one."""
    return Session.load(text)._replace(position=Session.of(state).position)


def begins_anew(view: View) -> View:
    """After a restart, rollouts are at their first step."""
    services = {name: _at_first_step(state) for name, state in view.services.items()}
    return replace(view, services=services)


def _at_first_step(state: ServiceState) -> ServiceState:
    rollout = state.rollout
    if rollout is None or not rollout.running:
        return state
    first = rollout.model_copy(update={"step": 0, "weight": rollout.policy.steps[0]})
    return state.model_copy(update={"rollout": first})


def carries_the_step(state: ServiceState, command: Command, now: float) -> Decision:
    """A newer canary goes on where the one before it was."""
    decision = execute(state, command, now)
    old, new = state.rollout, decision.state.rollout
    if command.verb is Verb.START and old and old.running and new:
        return _with(decision, new.model_copy(update={"step": old.step, "weight": old.policy.steps[old.step]}))
    return decision


def out_of_date_yes(state: ServiceState, command: Command, now: float) -> Decision:
    """A yes counts for whatever is asked for by now."""
    return execute(
        state, replace(command, expected_canary="", weight=0) if command.verb is Verb.APPROVE else command, now
    )


def never_ends(
    freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
) -> dict[Freeze, float]:
    """A ttl is written down, and that is all."""
    return dict.fromkeys(freezes, inf)


def ends_early(
    freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
) -> dict[Freeze, float]:
    """Half of a ttl is enough."""
    return {f: known.get(f, now + (f.since + f.end) / 2 - wall) for f in freezes}


def ends_by_the_wall_clock(
    freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
) -> dict[Freeze, float]:
    """A ttl is measured by the clock that people set."""
    return expiry_times(freezes, {}, now, wall, arriving=False)


def believes_another_clock(
    freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
) -> dict[Freeze, float]:
    """A freeze ends at the time of day that the controller where it was set has written down."""
    return expiry_times(freezes, known, now, wall, arriving=False)


def inherits_the_end(
    freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
) -> dict[Freeze, float]:
    """A freeze ends when the one did that was known first in its scope."""
    first = {f.scope: end for f, end in known.items()}
    return {f: known.get(f, first.get(f.scope, now + f.end - wall)) for f in freezes}


class ServesOlderRoutes(SimulatedStream):
    """The server takes no notice of what a proxy says to have seen."""

    def step(self, event: StreamEvent) -> None:
        self.stream = self.stream._replace(seen_revision=0)
        super().step(event)
        self.stream = self.stream._replace(seen_revision=0)


class KeepsItToItself(SimulatedStream):
    """The server does not send what is new to a proxy that is connected."""

    def step(self, event: StreamEvent) -> None:
        if not isinstance(event, Snapshot):
            super().step(event)


class DoesNotWait(SimulatedStream):
    """The server forgets what it has sent and no one has acknowledged."""

    def step(self, event: StreamEvent) -> None:
        types = {url: state._replace(pending=None) for url, state in self.stream.types.items()}
        self.stream = self.stream._replace(types=types)
        super().step(event)


class RepeatsTheRefused(SimulatedStream):
    """The server forgets what a proxy has refused."""

    def step(self, event: StreamEvent) -> None:
        types = {
            url: state._replace(nacked=frozenset(), nacked_target=None) for url, state in self.stream.types.items()
        }
        self.stream = self.stream._replace(types=types)
        super().step(event)


class CountsThoseWhoLeft(SyncCounts):
    """A proxy whose stream ends is counted on."""

    def remove(self, stream: Hashable) -> None:
        pass


class CountsWhereItWas(SyncCounts):
    """A proxy that ACKs is counted as in sync, and as behind too."""

    def update(self, stream: Hashable, node: Node, routes: TypeState | None, *, is_blind: bool = False) -> None:
        self._places.pop(stream, None)
        super().update(stream, node, routes, is_blind=is_blind)


@dataclass(frozen=True)
class Mutant:
    """What is wrong, the promise that is seen to be broken, and the troubles without which that cannot be seen.

    `late`: it is seen only once the faults have ended, since what is missing is that something happens.
    """

    parts: Parts
    broken: str
    troubles: tuple[str, ...] = ()
    late: bool = False


MUTANTS = {
    "a proxy that left is counted on": Mutant(Parts(counts=CountsThoseWhoLeft), "has miscounted", ("move",)),
    "a proxy that ACKs is counted twice": Mutant(Parts(counts=CountsWhereItWas), "has miscounted"),
    "no freeze check in the commit": Mutant(
        Parts(store=lambda clock: NoFreezeCheck(clock=clock)), "under the freeze of", ("freeze",)
    ),
    "a freeze of all covers nobody": Mutant(
        Parts(store=lambda clock: FreezesOneAlone(clock=clock)), "under the freeze of", ("freeze",)
    ),
    "a freeze stops a forced rollback": Mutant(
        Parts(store=lambda clock: StopsForce(clock=clock)), "stopped a forced rollback", ("freeze",)
    ),
    "a hold is a freeze": Mutant(
        Parts(store=lambda clock: HoldsRollbacks(clock=clock)), "though nothing is frozen", ("freeze",)
    ),
    "a freeze stops endpoints": Mutant(
        Parts(store=lambda clock: FreezesEndpoints(clock=clock)), "stopped endpoints", ("freeze", "endpoints")
    ),
    "a line tells of other weights": Mutant(
        Parts(store=lambda clock: TellsTheFirstWeights(clock=clock)), "tells of other weights"
    ),
    "an id taken for another change": Mutant(
        Parts(store=lambda clock: AnswersForAnother(clock=clock)), "taken for another change", ("retry",)
    ),
    "the wall clock serves a dwell": Mutant(
        Parts(decide_on_verdict=by_the_wall_clock), "advanced after|before the bake", ("jump",)
    ),
    "a promotion is never confirmed": Mutant(
        Parts(decide_on_verdict=deciding(never_confirms)), "PROMOTING at the end", late=True
    ),
    "a rollback is not sent": Mutant(Parts(link=KeepsItToItself), "does not serve what was decided", late=True),
    "token not compared": Mutant(
        Parts(store=lambda clock: NoTokenCheck(clock=clock)), "a term that is over", ("sleep",)
    ),
    "no revision compare": Mutant(
        Parts(store=lambda clock: NoRevisionCheck(clock=clock)), "decided on another state", ("act", "late")
    ),
    "a repeated change applied again": Mutant(
        Parts(store=lambda clock: NoIdCheck(clock=clock)), "applied twice|another revision|an id", ("retry", "freeze")
    ),
    "a newer freeze lifted": Mutant(
        Parts(store=lambda clock: LiftsAnyFreeze(clock=clock)), "another freeze was lifted", ("freeze",)
    ),
    "a ttl is ignored": Mutant(Parts(ends=never_ends), "stands after", ("freeze",)),
    "a freeze ends before its ttl": Mutant(Parts(ends=ends_early), "was ended after", ("freeze",)),
    "a freeze ends by another one's clock": Mutant(
        Parts(ends=believes_another_clock), "was ended after|stands after", ("freeze", "jump", "lag")
    ),
    "the wall clock ends a freeze": Mutant(
        Parts(ends=ends_by_the_wall_clock), "was ended after|stands after", ("freeze", "jump")
    ),
    "a freeze inherits an earlier one's end": Mutant(
        Parts(ends=inherits_the_end), "was ended after|without an end was ended", ("freeze",)
    ),
    "a freeze that is over takes another one along": Mutant(
        Parts(store=lambda clock: TakesAnotherAlong(clock=clock)), "ended that nobody lifted", ("freeze",)
    ),
    "a late write brings a deleted service back": Mutant(
        Parts(store=lambda clock: BringsBack(clock=clock)), "what was deleted came back", ("delete",)
    ),
    "a late write reaches what came back under a name": Mutant(
        Parts(store=lambda clock: KnowsNamesAlone(clock=clock)), "decided on another state", ("delete",)
    ),
    "a freeze does not stop a deletion": Mutant(
        Parts(store=lambda clock: DeletesTheFrozen(clock=clock)),
        "service_deleted under the freeze",
        ("delete", "freeze"),
    ),
    "a yes that is out of date counts": Mutant(
        Parts(execute=out_of_date_yes), "approval of something else|a yes by name", ("act",)
    ),
    "a change without its line": Mutant(
        Parts(store=lambda clock: LosesTheLine(clock=clock)), "ledger and changes differ"
    ),
    "UNKNOWN counts as PASS": Mutant(Parts(decide_on_verdict=judging(unknown_is_pass)), "advanced on unknown"),
    "blind time counts": Mutant(
        Parts(decide_on_verdict=judging(lambda verdict: replace(verdict, blind=False))),
        "advanced after|before the bake",
        ("blind",),
    ),
    "two steps at once": Mutant(Parts(decide_on_verdict=deciding(two_steps)), "not the next step"),
    "past an approval": Mutant(Parts(decide_on_verdict=deciding(past_approval)), "past a person's approval"),
    "half a rollback": Mutant(Parts(decide_on_verdict=deciding(half_a_rollback)), "half a rollback", ("harm",)),
    "copies go on beside a weight": Mutant(
        Parts(decide_on_verdict=deciding(copies_go_on)), "copies beside a live weight"
    ),
    "rollback not final": Mutant(
        Parts(decide_on_verdict=deciding(rollback_not_final)), "advanced while ROLLING_BACK", ("harm",)
    ),
    "promotes from any step": Mutant(Parts(decide_on_verdict=deciding(promotes_from_anywhere)), "not the next step"),
    "dwell cut short": Mutant(Parts(decide_on_verdict=impatient), "advanced after|before the bake"),
    "an extra step after a restart": Mutant(Parts(load_session=takes_over_the_dwell), "advanced after", ("restart",)),
    "restart begins at step 0": Mutant(
        Parts(restore=begins_anew), "something else|restart moved|other weights", ("restart",)
    ),
    "a newer canary carries the old one's step": Mutant(
        Parts(execute=carries_the_step), "not from the beginning", ("act",)
    ),
    "older routes to a reconnecting proxy": Mutant(
        Parts(link=ServesOlderRoutes), "went back from revision", ("lag", "move")
    ),
    "a second response before the first is acknowledged": Mutant(
        Parts(link=DoesNotWait), "before the first's ACK", ("slow",)
    ),
    "a refused response sent again": Mutant(Parts(link=RepeatsTheRefused), "refused was sent again", ("refuse",)),
}
