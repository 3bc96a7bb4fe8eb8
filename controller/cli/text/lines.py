"""A rollout, a freeze or a ledger line in one line of text. Pure; `now` is Unix seconds."""

from collections.abc import Mapping

from controller.cli.text.values import format_actor, format_proxies, format_scope, format_time, format_weights
from controller.core.base.text import clean
from controller.core.base.units import counted, format_weight
from controller.core.model.ledger_kind import LedgerKind
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

HINTS = {
    "nack": "`haldane proxies` shows the proxy's own words",
    "no_healthy_upstream": "`haldane rollback --force` goes there all the same",
}
"""What a person can do, by what blocks."""


def format_step(rollout: pb.Rollout) -> str:
    """Which step of how many, counted from 1."""
    return f"step {rollout.step + 1} of {len(rollout.steps)}" if rollout.steps else f"step {rollout.step + 1}"


def conditions(rollout: pb.Rollout) -> list[pb.ReasonInfo]:
    """The verdict's reasons that are conditions, not evidence: warming up, no reports, no traffic,
    an incident."""
    return [reason for reason in rollout.details if reason.limit <= 0]


def awaited(rollout: pb.Rollout) -> list[str]:
    """What keeps automation from the next move, with what a person can do about it; empty while
    evidence does."""
    blocker = rollout.blocker
    if not blocker.text:
        return []
    # A canary that is not reachable can be rolled back as usual.
    forward = blocker.stops in (LedgerKind.ROLLOUT_STARTED, LedgerKind.STEP_ADVANCED)
    hint = None if forward and blocker.kind == "no_healthy_upstream" else HINTS.get(blocker.kind)
    return [f"{blocker.text}; {hint}" if hint else blocker.text]


def draining(rollout: pb.Rollout) -> list[str]:
    """What a rolled-back canary still has in progress; empty if nothing."""
    left = rollout.traffic[rollout.canary].in_progress if rollout.canary in rollout.traffic else 0
    if not left or rollout.phase not in ("ROLLING_BACK", "ROLLED_BACK"):
        return []
    return [f"{counted(left, 'request')} of {rollout.canary} in progress"]


def source_problems(sources: Mapping[str, pb.EndpointSource]) -> list[str]:
    """What is wrong with the sources of a service's versions."""
    return [source.text for _, source in sorted(sources.items()) if source.text]


def rollout_line(rollout: pb.Rollout) -> str:
    """A rollout in one line: its phase, the weights, the verdict, and what it waits for."""
    parts = [f"{rollout.service}: {rollout.phase}"]
    if rollout.canary:
        parts.append(f"canary {rollout.canary}, {format_step(rollout)}")
    parts.append(format_weights(rollout.weights, rollout.stable))
    parts.append(format_proxies(rollout.proxies_synced, rollout.proxies_total))
    if rollout.verdict:
        parts.append(f"verdict {rollout.verdict}")
    parts += [f"ON THE FALLBACK: {rollout.diverted}"] if rollout.diverted else []
    parts += [freeze_line(freeze) for freeze in rollout.freezes]
    parts += [f"stable harm: {reason}" for reason in rollout.stable_reasons if rollout.stable_verdict == "harm"]
    parts += [condition.text for condition in conditions(rollout)]
    parts += source_problems(rollout.sources)
    parts += draining(rollout)
    parts += awaited(rollout) if rollout.HasField("blocker") else filter(None, [rollout.phase_reason])
    return clean(" | ".join(parts))


def freeze_line(freeze: pb.FreezeInfo, now: float | None = None) -> str:
    """A freeze in one line: its scope, who set it and why; with `now` also since when and until
    when."""
    word = "on hold" if freeze.mode == "hold" else "frozen"
    line = f"{format_scope(freeze.scope)} {word} by {format_actor(freeze)}"
    if now is not None:
        until = f"until {format_time(freeze.until, now)}" if freeze.until else "until it is lifted"
        line += f" since {format_time(freeze.since, now)}, {until}"
    return clean(f"{line}: {freeze.reason}")


def event_line(event: pb.Event, now: float) -> str:
    """A line of the ledger: time, sequence, service, kind, the change of weights, who and why."""
    words = [format_time(event.at, now), f"#{event.sequence}", event.service, event.kind, format_changes(event)]
    why = f": {event.why}" if event.why else ""
    return clean(" ".join(word for word in words if word) + f" by {format_actor(event)}{why}")


def format_changes(event: pb.Event) -> str:
    """The weights that an event changed: `[v2 5% > 10%]`; empty if it changed none."""
    before, after = event.weights_before, event.weights_after
    names = sorted(name for name in {*before, *after} if before.get(name, 0) != after.get(name, 0))
    changes = (f"{n} {format_weight(before.get(n, 0))} > {format_weight(after.get(n, 0))}" for n in names)
    return f"[{', '.join(changes)}]" if names else ""
