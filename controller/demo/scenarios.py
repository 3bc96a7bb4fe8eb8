"""The three scenarios.

Each ends with checks of what clients, Envoy and the ledger must have observed.
"""

import asyncio
import shlex
import time
from collections.abc import Callable, Coroutine
from typing import Any

from controller.core.base.units import TOTAL_WEIGHT, counted, format_weight
from controller.demo.digit_models import ModelFault
from controller.demo.environment import SERVICE
from controller.demo.haldane_command import run_haldane
from controller.demo.measurements import SETTLED, Harm, ObservedShare, Period, measure_harm, measure_share
from controller.demo.scenario_run import ScenarioRun
from controller.demo.traffic_split import to_monotonic

FROZEN = 3
"""The exit code of a command that a freeze refuses."""
AUTOMATION = "haldane"
"""Who the ledger names for what automation does."""
FREEZE_OBSERVED = 4.0
"""Seconds for which the third scenario observes that nothing moves."""
QUIET = 1.0
"""Seconds after a rollback in which no client may get a response from the bad version."""


async def promotion(run: ScenarioRun) -> None:
    """A good canary climbs its steps, is watched beside stable's holdback, and is promoted."""
    observer, began, last = run.observer, time.monotonic(), run.observer.last_sequence
    await _start(run, "v2", "trained on three times as many images")
    await observer.until_event("promoted", last, 60, unless="rollback")
    await observer.until("Envoy serves v2 alone", lambda: observer.weights == {"v2": TOTAL_WEIGHT}, 5)
    await asyncio.sleep(QUIET)
    climbed = [p for p in observer.periods(began) if "v2" in p.weights]
    _check_shares(run, climbed, "v2")
    policy = [2000, 5000, 9500, TOTAL_WEIGHT]
    run.check(
        f"Envoy served v2 at {', '.join(map(format_weight, policy))}, in this order",
        [p.weights["v2"] for p in climbed] == policy,
    )
    bad = [r for r in observer.results if r.sent >= began and not r.ok]
    total = sum(r.sent >= began for r in observer.results)
    run.check(f"no client saw an error: {len(bad)} of {counted(total, 'answer')}", not bad and total > 0)
    took = climbed[-1].start - climbed[0].start if climbed else 0.0
    run.measure(
        f"v2 went from 20% to all traffic in {took:.1f} s; {counted(total, 'answer')}, {counted(len(bad), 'error')}"
    )


async def rollback(run: ScenarioRun) -> None:
    """A bad canary does harm, and all weight goes back to stable by itself."""
    observer, began, last = run.observer, time.monotonic(), run.observer.last_sequence
    await _start(run, "v3", "faster features")
    await observer.until_event("rollback", last, 30, unless="promotion_started")
    harm = await _check_rolled_back(run, "v3", "v2", began, last)
    if harm:
        _measure_harm(run, harm, "v3")


async def frozen(run: ScenarioRun) -> None:
    """Routing is frozen, a bad canary does harm, nothing moves, the ledger says so; unfrozen, it is
    rolled back."""
    observer, last = run.observer, run.observer.last_sequence
    run.show("the server of v3 loads a build without the fault")
    await run.environment.load_build("v3", ModelFault.NONE)
    await _start(run, "v3", "fixed")
    await observer.until_event("rollout_warm", last, 20, unless="rollback")
    frozen_at = await _switch(run, "freeze", "--all", "--reason", "incident 42")
    before, weights = len(observer.splits), observer.weights
    await _check_start_is_refused(run)
    run.show("the server of v3 loads the next build, and the fault is back")
    await run.environment.load_build("v3", ModelFault.EXCEPTION)
    harmed_at = time.monotonic()
    suppressed = await observer.until_event("rollback_suppressed", last, 20, unless="rollback")
    await asyncio.sleep(FREEZE_OBSERVED)
    run.picture()
    run.check(f"while frozen nothing moved at Envoy: {_format_weights(weights)}", len(observer.splits) == before)
    share = measure_share(observer.results, "v3", Period(weights, frozen_at, time.monotonic()))
    run.check(f"clients saw the same split throughout: {_format_share(share)}", share.matches)
    run.check("the ledger says that a rollback was suppressed", suppressed.who == AUTOMATION)
    lifted_at = await _switch(run, "unfreeze", "--all", "--reason", "over")
    await observer.until_event("rollback", last, 20)
    harm = await _check_rolled_back(run, "v3", "v2", harmed_at, last)
    if harm:
        run.measure(
            f"v3 failed under the freeze for {lifted_at - harm.first_bad:.1f} s, and {harm.bad} of its answers were "
            f"bad; it was rolled back {harm.decided - lifted_at:.2f} s after the freeze was lifted"
        )


async def _switch(run: ScenarioRun, verb: str, *words: str) -> float:
    """Freeze or unfreeze; when the ledger says that it happened, in monotonic seconds."""
    last = run.observer.last_sequence
    run.show(f"$ haldane {shlex.join((verb, *words))}")
    await run.environment.command(verb, *words)
    kind = {"freeze": "freeze_set", "unfreeze": "freeze_lifted"}[verb]
    event = await run.observer.until_event(kind, last, 5)
    return to_monotonic(event.at)


async def _start(run: ScenarioRun, canary: str, why: str) -> None:
    run.show(f"$ haldane start {SERVICE} --canary {canary} --reason {shlex.quote(why)}")
    await run.environment.command("start", SERVICE, "--canary", canary, "--reason", why)
    await run.observer.until(f"Envoy serves {canary}", lambda: canary in run.observer.weights, 5)


async def _check_start_is_refused(run: ScenarioRun) -> None:
    """While frozen, a start is refused with the exit code for that."""
    run.show(f"$ haldane start {SERVICE} --canary v1")
    result = await run_haldane(run.environment.settings, "start", SERVICE, "--canary", "v1")
    run.show(result.err)
    run.check(f"`haldane start` is refused while frozen, with exit code {FROZEN}", result.code == FROZEN)


async def _check_rolled_back(run: ScenarioRun, canary: str, stable: str, since: float, last: int) -> Harm | None:
    """Check that clients, Envoy and the ledger saw the canary go; the harm that it had done to
    clients since then."""
    observer = run.observer
    event = await observer.until_event("rollback", last, 5)
    await observer.until(f"Envoy serves {stable} alone", lambda: observer.weights == {stable: TOTAL_WEIGHT}, 5)
    await observer.until_event("rolled_back", last, 15)
    await observer.refresh_proxies()
    acknowledged, applied = observer.acknowledged(), observer.splits[-1].since
    run.check(f"the ledger says that {AUTOMATION} rolled {canary} back", event.who == AUTOMATION)
    run.check("Envoy acknowledged it to the controller", acknowledged is not None)
    await _check_gone(run, canary, stable, applied)
    of_canary = [r for r in observer.results if r.version == canary and r.ended >= since]
    harm = measure_harm(of_canary, to_monotonic(event.at), acknowledged or applied)
    run.check(f"clients saw {canary} fail before it", harm is not None)
    others = sum(not r.ok and r.version != canary and r.ended >= since for r in observer.results)
    run.check(f"no answer of another version failed: {others}", others == 0)
    return harm


async def _check_gone(run: ScenarioRun, canary: str, stable: str, applied: float) -> None:
    """Check that for some time no client gets a response from the canary."""
    observer = run.observer
    sent = (await observer.envoy.requests()).get(canary, 0)
    await asyncio.sleep(QUIET)
    more = (await observer.envoy.requests()).get(canary, 0) - sent
    run.check(
        f"Envoy serves {stable} alone, and sent {canary} {more} more",
        observer.weights == {stable: TOTAL_WEIGHT} and not more,
    )
    later = [r for r in observer.results if r.sent > applied + SETTLED]
    strays = sum(r.version != stable for r in later)
    run.check(
        f"clients see {stable} alone: {counted(len(later), 'answer')}, {counted(strays, 'other')}",
        bool(later) and not strays,
    )


def _check_shares(run: ScenarioRun, climbed: list[Period], version: str) -> None:
    for period in climbed:
        share = measure_share(run.observer.results, version, period)
        run.check(f"at {format_weight(share.weight)} clients saw {_format_share(share)}", share.matches)


def _measure_harm(run: ScenarioRun, harm: Harm, canary: str) -> None:
    after = harm.last_bad - harm.decided
    last = f"{after * 1000:.0f} ms after the decision" if after > 0 else "before the decision"
    run.measure(
        f"first bad answer -> decision {harm.to_decision:.2f} s; decision -> Envoy's acknowledgement "
        f"{harm.to_acknowledgement * 1000:.0f} ms; the last bad answer came {last}"
    )
    run.measure(f"clients saw {harm.bad} bad answers, of {harm.responses} that {canary} gave")


def _format_weights(weights: dict[str, int]) -> str:
    return ", ".join(f"{version} {format_weight(weight)}" for version, weight in weights.items())


def _format_share(share: ObservedShare) -> str:
    part = f"{share.observed:.1%} for {format_weight(share.weight)}"
    return f"{share.responses} of {share.total} answers from {share.version} ({part})"


SCENARIOS: tuple[tuple[str, Callable[[ScenarioRun], Coroutine[Any, Any, None]]], ...] = (
    ("a good canary climbs its steps and is promoted", promotion),
    ("a bad canary does harm and is rolled back", rollback),
    ("routing is frozen, and nothing moves until it is not", frozen),
)
