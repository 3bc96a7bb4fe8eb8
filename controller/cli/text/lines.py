"""How values are told to people: times, spans, shares, rollouts, freezes. Pure; `now` is Unix seconds."""

from collections.abc import Mapping
from datetime import datetime

from controller.core.base.units import format_weight
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

NONE = "-"
"""Stands where there is nothing."""
EVERY = "*"
"""What the API says for every service. (`core.guard` has it too, and loads more than all the commands together.)"""


def clean(text: str) -> str:
    """Text that others wrote, safe for a terminal: on one line, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def clock(at: float, now: float) -> str:
    """The local time of day; with the date if that is not today's. `-` for 0, which means never."""
    if not at:
        return NONE
    moment, today = datetime.fromtimestamp(at), datetime.fromtimestamp(now)
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def span(seconds: float) -> str:
    """A length of time in its two largest units: `42s`, `5m 03s`, `2h 07m`, `3d 04h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    for large, small, size in (("m", "s", 60), ("h", "m", 3600)):
        if whole < size * (60 if large == "m" else 24):
            part = size // 60
            return f"{whole // size}{large} {whole % size // part:02d}{small}"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def weights(shares: Mapping[str, int], stable: str = "") -> str:
    """Every version that has a share, the stable last: `v2 5%, v1 95%`."""
    names = sorted((name for name in shares if shares[name]), key=lambda name: (name == stable, name))
    return ", ".join(f"{name} {format_weight(shares[name])}" for name in names) or NONE


def synced(rollout: pb.Rollout) -> str:
    """How many proxies serve what was decided: `2/3`."""
    return f"{rollout.proxies_synced}/{rollout.proxies_total}"


def step(rollout: pb.Rollout) -> str:
    """Which step of how many, counted from 1 as people do."""
    return f"step {rollout.step + 1} of {len(rollout.steps)}" if rollout.steps else f"step {rollout.step + 1}"


def conditions(rollout: pb.Rollout) -> list[pb.ReasonInfo]:
    """The grounds that are no evidence but what stands in its way: warming, blind, no traffic, an incident."""
    return [ground for ground in rollout.details if ground.limit <= 0]


def awaited(rollout: pb.Rollout) -> list[str]:
    """What automation does or waits for: its reasons without the words of the verdict's grounds, told apart."""
    said = []
    for reason in rollout.reasons:
        for ground in rollout.details:
            reason = reason.replace(ground.text, "")
        said.append(reason.strip(" ;:"))
    return [reason for reason in said if reason]


def rollout_line(rollout: pb.Rollout) -> str:
    """A rollout in one line: where it stands, who has how much, what the judge says, what is awaited."""
    said = [f"{rollout.service}: {rollout.phase}"]
    if rollout.canary:
        said.append(f"canary {rollout.canary}, {step(rollout)}")
    said.append(weights(rollout.weights, rollout.stable))
    said.append(f"proxies {synced(rollout)}")
    if rollout.verdict:
        said.append(f"verdict {rollout.verdict}")
    said += [f"ON THE FALLBACK: {rollout.diverted}"] if rollout.diverted else []
    said += [freeze_line(freeze) for freeze in rollout.freezes]
    said += [f"stable harm: {reason}" for reason in rollout.stable_reasons if rollout.stable_verdict == "harm"]
    said += [condition.text for condition in conditions(rollout)]
    return clean(" | ".join([*said, *(awaited(rollout) or ([] if rollout.details else rollout.reasons[:1]))]))


def scope(freeze: pb.FreezeInfo) -> str:
    """What a freeze covers, in words."""
    return "all services" if freeze.scope == EVERY else freeze.scope


def freeze_line(freeze: pb.FreezeInfo, now: float | None = None) -> str:
    """A freeze in one line: what, whose, why; with `now` also since when and until when."""
    word = "on hold" if freeze.mode == "hold" else "frozen"
    line = f"{scope(freeze)} {word} by {freeze.who}"
    if now is not None:
        until = f"until {clock(freeze.until, now)}" if freeze.until else "until it is lifted"
        line += f" since {clock(freeze.since, now)}, {until}"
    return clean(f"{line}: {freeze.reason}")


def event_line(event: pb.Event, now: float) -> str:
    """A line of the ledger: when, which, what of which service, by whom and why, and what it moved."""
    said = [clock(event.at, now), f"#{event.sequence}", event.service, event.kind, moved(event)]
    why = f": {event.why}" if event.why else ""
    return clean(" ".join(word for word in said if word) + f" by {event.who}{why}")


def moved(event: pb.Event) -> str:
    """The shares that an act changed: `v2 5% > 10%`; empty if none."""
    before, after = event.weights_before, event.weights_after
    names = sorted(name for name in {*before, *after} if before.get(name, 0) != after.get(name, 0))
    changes = (f"{n} {format_weight(before.get(n, 0))} > {format_weight(after.get(n, 0))}" for n in names)
    return f"[{', '.join(changes)}]" if names else ""
