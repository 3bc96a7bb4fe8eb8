"""The three acts. Each says what it sees and ends with checks: what clients, Envoy and the ledger must have seen."""

import asyncio
import shlex
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from controller.core.base.units import TOTAL_WEIGHT, counted, format_weight
from controller.core.model.ledger_kind import LedgerKind
from controller.demo.digit_models import ModelFault
from controller.demo.doors import haldane, monotonic_of
from controller.demo.environment import SERVICE, Environment
from controller.demo.measurements import SETTLED, Harm, ObservedShare, Period, harm, share
from controller.demo.traffic_observer import TrafficObserver

FROZEN = 3
"""The exit code of a command that a freeze refuses."""
WHO = "haldane"
"""Who the ledger names for what automation does."""
HELD = 4.0
"""Seconds for which the third act watches that nothing moves."""
QUIET = 1.0
"""Seconds after a rollback for which nobody may see the bad version any more."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must have been seen, and whether it was."""

    text: str
    ok: bool


@dataclass(slots=True)
class ScenarioRun:
    """An act under way: its checks so far, and what it has to tell."""

    title: str
    stage: Environment
    witness: TrafficObserver
    say: Callable[[str], None]
    picture: Callable[[], None]
    """Keeps the screen as it is now, if a picture is wanted."""
    checks: list[Check] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def check(self, text: str, ok: bool) -> None:
        """Write down a check."""
        self.checks.append(Check(text, ok))

    def tell(self, text: str) -> None:
        """Write down what was measured."""
        self.told.append(text)
        self.say(text)

    @property
    def ok(self) -> bool:
        """Whether everything that must be seen was seen."""
        return bool(self.checks) and all(check.ok for check in self.checks)


async def promotion(play: ScenarioRun) -> None:
    """A good canary climbs its steps and is promoted."""
    witness, began, last = play.witness, time.monotonic(), play.witness.last_line
    await _start(play, "v2", "learnt from three times as many images")
    await witness.until_line(LedgerKind.PROMOTED, last, 60, unless=LedgerKind.ROLLBACK)
    await witness.until("Envoy serves v2 alone", lambda: witness.weights == {"v2": TOTAL_WEIGHT}, 5)
    await asyncio.sleep(QUIET)
    climbed = [p for p in witness.periods(began) if "v2" in p.weights]
    _check_shares(play, climbed, "v2")
    policy = [2000, 5000, TOTAL_WEIGHT]
    play.check(
        f"Envoy served v2 at {', '.join(map(format_weight, policy))}, in this order",
        [p.weights["v2"] for p in climbed] == policy,
    )
    bad = [a for a in witness.answers if a.sent >= began and not a.ok]
    asked = sum(a.sent >= began for a in witness.answers)
    play.check(f"no client saw an error: {len(bad)} of {counted(asked, 'answer')}", not bad and asked > 0)
    took = climbed[-1].start - climbed[0].start if climbed else 0.0
    play.tell(
        f"v2 went from 20% to all traffic in {took:.1f} s; {counted(asked, 'answer')}, {counted(len(bad), 'error')}"
    )


async def rollback(play: ScenarioRun) -> None:
    """A bad canary does harm, and all weight goes back to stable by itself."""
    witness, began, last = play.witness, time.monotonic(), play.witness.last_line
    await _start(play, "v3", "faster features")
    await witness.until_line(LedgerKind.ROLLBACK, last, 30, unless=LedgerKind.PROMOTION_STARTED)
    done = await _check_rolled_back(play, "v3", "v2", began, last)
    if done:
        _tell_harm(play, done, "v3")


async def frozen(play: ScenarioRun) -> None:
    """Routing is frozen, a bad canary does harm, nothing moves, the ledger says so; unfrozen, it rolls back."""
    witness, last = play.witness, play.witness.last_line
    play.say("the server of v3 loads a build with the fault mended")
    await play.stage.load_build("v3", ModelFault.NONE)
    await _start(play, "v3", "mended")
    await witness.until_line(LedgerKind.ROLLOUT_WARM, last, 20, unless=LedgerKind.ROLLBACK)
    frozen_at = await _operate(play, "freeze", "--all", "--reason", "incident 42")
    before, weights = len(witness.served), witness.weights
    await _refused(play)
    play.say("the server of v3 loads the next build, and the fault is back")
    await play.stage.load_build("v3", ModelFault.EXCEPTION)
    harmed_at = time.monotonic()
    suppressed = await witness.until_line(LedgerKind.ROLLBACK_SUPPRESSED, last, 20, unless=LedgerKind.ROLLBACK)
    await asyncio.sleep(HELD)
    play.picture()
    play.check(f"while frozen nothing moved at Envoy: {_told(weights)}", len(witness.served) == before)
    held = share(witness.answers, "v3", Period(weights, frozen_at, time.monotonic()))
    play.check(f"clients saw the same split throughout: {_told_share(held)}", held.right)
    play.check("the ledger says that a rollback was suppressed", suppressed.who == WHO)
    lifted_at = await _operate(play, "unfreeze", "--all", "--reason", "over")
    await witness.until_line(LedgerKind.ROLLBACK, last, 20)
    done = await _check_rolled_back(play, "v3", "v2", harmed_at, last)
    if done:
        play.tell(
            f"v3 failed under the freeze for {lifted_at - done.first_bad:.1f} s, and {done.bad} of its answers were "
            f"bad; it was rolled back {done.decided - lifted_at:.2f} s after the freeze was lifted"
        )


async def _operate(play: ScenarioRun, verb: str, *words: str) -> float:
    """Freeze or unfreeze; when that was true, by the ledger."""
    last = play.witness.last_line
    play.say(f"$ haldane {shlex.join((verb, *words))}")
    await play.stage.command(verb, *words)
    line = await play.witness.until_line(
        {"freeze": LedgerKind.FREEZE_SET, "unfreeze": LedgerKind.FREEZE_LIFTED}[verb], last, 5
    )
    return monotonic_of(line.at)


async def _start(play: ScenarioRun, canary: str, why: str) -> None:
    play.say(f"$ haldane start {SERVICE} --canary {canary} --reason {shlex.quote(why)}")
    await play.stage.command("start", SERVICE, "--canary", canary, "--reason", why)
    await play.witness.until(f"Envoy serves {canary}", lambda: canary in play.witness.weights, 5)


async def _refused(play: ScenarioRun) -> None:
    """While frozen, a start is refused with the exit code for that."""
    play.say(f"$ haldane start {SERVICE} --canary v1")
    said = await haldane(play.stage.environment, "start", SERVICE, "--canary", "v1")
    play.say(said.err)
    play.check(f"`haldane start` is refused while frozen, with exit code {FROZEN}", said.code == FROZEN)


async def _check_rolled_back(play: ScenarioRun, canary: str, stable: str, since: float, last: int) -> Harm | None:
    """That clients, Envoy and the ledger saw the canary go; what it had done to clients since that time."""
    witness = play.witness
    line = await witness.until_line(LedgerKind.ROLLBACK, last, 5)
    await witness.until(f"Envoy serves {stable} alone", lambda: witness.weights == {stable: TOTAL_WEIGHT}, 5)
    await witness.until_line(LedgerKind.ROLLED_BACK, last, 15)
    await witness.look_at_proxies()
    acknowledged, applied = witness.acknowledged(), witness.served[-1].since
    play.check(f"the ledger says that {WHO} rolled {canary} back", line.who == WHO)
    play.check("Envoy acknowledged it to the controller", acknowledged is not None)
    await _check_gone(play, canary, stable, applied)
    of_canary = [a for a in witness.answers if a.version == canary and a.ended >= since]
    done = harm(of_canary, monotonic_of(line.at), acknowledged or applied)
    play.check(f"clients saw {canary} fail before it", done is not None)
    others = sum(not a.ok and a.version != canary and a.ended >= since for a in witness.answers)
    play.check(f"no answer of another version failed: {others}", others == 0)
    return done


async def _check_gone(play: ScenarioRun, canary: str, stable: str, applied: float) -> None:
    """That for some time nobody sees the canary any more."""
    witness = play.witness
    sent = (await witness.envoy.sent()).get(canary, 0)
    await asyncio.sleep(QUIET)
    more = (await witness.envoy.sent()).get(canary, 0) - sent
    play.check(
        f"Envoy serves {stable} alone, and sent {canary} {more} more",
        witness.weights == {stable: TOTAL_WEIGHT} and not more,
    )
    later = [a for a in witness.answers if a.sent > applied + SETTLED]
    strays = sum(a.version != stable for a in later)
    play.check(
        f"clients see {stable} alone: {counted(len(later), 'answer')}, {counted(strays, 'other')}",
        bool(later) and not strays,
    )


def _check_shares(play: ScenarioRun, climbed: list[Period], version: str) -> None:
    for period in climbed:
        seen = share(play.witness.answers, version, period)
        play.check(f"at {format_weight(seen.weight)} clients saw {_told_share(seen)}", seen.right)


def _tell_harm(play: ScenarioRun, done: Harm, canary: str) -> None:
    after = done.last_bad - done.decided
    last = f"{after * 1000:.0f} ms after the decision" if after > 0 else "before the decision"
    play.tell(
        f"first bad answer -> decision {done.to_decision:.2f} s; decision -> Envoy's acknowledgement "
        f"{done.to_acknowledgement * 1000:.0f} ms; the last bad answer came {last}"
    )
    play.tell(f"clients saw {done.bad} bad answers, of {done.answers} that {canary} gave")


def _told(weights: dict[str, int]) -> str:
    return ", ".join(f"{version} {format_weight(weight)}" for version, weight in weights.items())


def _told_share(seen: ObservedShare) -> str:
    return (
        f"{seen.given} of {seen.answers} answers from {seen.version} ({seen.seen:.1%} for {format_weight(seen.weight)})"
    )


ACTS: tuple[tuple[str, Callable[[ScenarioRun], Coroutine[Any, Any, None]]], ...] = (
    ("a good canary climbs its steps and is promoted", promotion),
    ("a bad canary does harm and is taken back", rollback),
    ("routing is frozen, and nothing moves until it is not", frozen),
)
