"""Decisions in words, for the ledger and for people. Nothing parses them: the values are stored with them."""

from typing import Any

from controller.core.base.units import TOTAL_WEIGHT, counted, format_weight
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Verdict
from controller.core.model.freeze import Freeze, describe_freeze
from controller.core.model.ledger_kind import LedgerKind

_WOULD = {
    LedgerKind.ROLLOUT_STARTED: "would begin",
    LedgerKind.STEP_ADVANCED: "would advance",
    LedgerKind.PROMOTED: "would end the bake",
    LedgerKind.FALLBACK_ON: "would go to the fallback",
}
_WITHOUT_REASONS = {BlockerKind.WARM_UP: "the canary is warming up", BlockerKind.EVIDENCE: "not enough evidence"}
NAMED = 3
"""Proxies named in a sentence at most."""


def describe_decision(note: str, verdict: Verdict | None, blocker: Blocker | None) -> str:
    """Why a decision is as it is: what blocks, what is noted, and the verdict's reasons, as far as there are any."""
    reasons = "; ".join(reason.text for reason in verdict.reasons) if verdict else ""
    parts = (describe_blocker(blocker) if blocker else "", note, reasons)
    text = ": ".join(part for part in parts if part)
    if not text and blocker:
        return _WITHOUT_REASONS[blocker.kind]
    return text or (verdict.outcome.value if verdict else "")


def describe_blocker(blocker: Blocker) -> str:
    """What blocks, in words; empty where the verdict's reasons say it all."""
    match blocker.kind:
        case BlockerKind.NO_ROLLOUT:
            return "no rollout is running"
        case BlockerKind.PAUSE:
            return f"paused: {blocker.words}"
        case BlockerKind.APPROVAL:
            return f"{format_weight(blocker.weight)} needs a person's approval"
        case BlockerKind.DWELL:
            step = f"dwell at {format_weight(blocker.weight)}" if blocker.weight else "shadow step"
            return f"{blocker.seconds:.0f} s of the {step} are left"
        case BlockerKind.BAKE:
            return f"{blocker.seconds:.0f} s of the bake are left"
        case BlockerKind.DEADLINE:
            return "the deadline passed without proof"
        case BlockerKind.SUSPICION:
            return "the bake goes on"
        case BlockerKind.WARM_UP | BlockerKind.EVIDENCE:
            return ""
        case _:
            return _describe_obstacle(blocker)


def plain_blocker(blocker: Blocker) -> dict[str, Any]:
    """What blocks, as JSON values: the fields of the admin API's `Blocker`."""
    return {
        "kind": blocker.kind.value,
        "text": describe_blocker(blocker),
        "stops": blocker.stops.value if blocker.stops else "",
        "seconds_left": blocker.seconds,
        "weight": blocker.weight,
        "names": list(blocker.about),
        "who": blocker.freeze.who if blocker.freeze else "",
        "unverified": blocker.freeze.actor.unverified if blocker.freeze else False,
        "healthy": blocker.gap.healthy if blocker.gap else 0,
        "needed": blocker.gap.needed if blocker.gap else 0,
    }


def _describe_obstacle(blocker: Blocker) -> str:
    """What stands in the way of a move that would be made otherwise."""
    if blocker.freeze:
        return _describe_freeze(blocker.freeze, blocker.stops)
    if blocker.gap:
        healthy, needed, at_start = blocker.gap
        return (
            f"does not advance: {blocker.names[0]} has {counted(healthy, 'healthy endpoint')} of {at_start} at the "
            f"start, and keep_capacity needs {needed}: a rollback must have somewhere to go"
        )
    if blocker.sync:
        return _describe_sync(blocker.sync, blocker.stops)
    match blocker.kind:
        case BlockerKind.NO_HEALTHY_UPSTREAM if blocker.stops is LedgerKind.ROLLBACK:
            return f"not rolled back: {blocker.names[0]} has no healthy endpoint"
        case BlockerKind.NO_HEALTHY_UPSTREAM if blocker.stops is LedgerKind.ROLLOUT_STARTED:
            return (
                f"would begin, but a proxy has no healthy endpoint of {blocker.names[0]}: has its source any, do "
                "its host names resolve, and does it pass its health checks?"
            )
        case BlockerKind.NO_HEALTHY_UPSTREAM if blocker.stops is LedgerKind.STEP_ADVANCED:
            return f"does not advance: a proxy has no healthy endpoint of {blocker.names[0]}"
        case BlockerKind.NO_HEALTHY_UPSTREAM:
            return "would go to the fallback, but that has no healthy endpoint"
        case BlockerKind.SHARED_ENDPOINT:
            shared = name_some(blocker.names)
            return f"does not advance: stable and the canary share {shared}, and that cannot be judged against itself"
        case BlockerKind.NO_REPORT:
            return f"would move on ({blocker.stops}), but no window is complete: a proxy's report is still awaited"
        case _:
            return f"would move on ({blocker.stops}), but {blocker.words}"


def _describe_freeze(freeze: Freeze, stops: LedgerKind | None) -> str:
    if stops is LedgerKind.ROLLBACK:
        return f"rollback suppressed by the freeze of {freeze.actor.described} ({freeze.reason})"
    return f"{_WOULD[stops] if stops else 'would move on'}, but {describe_freeze(freeze)}"


def _describe_sync(sync: Sync, stops: LedgerKind | None) -> str:
    if stops is LedgerKind.ROLLED_BACK:
        return count_proxies(sync, sync.synced, "has", "have") + " confirmed the rollback"
    if sync.nacked:
        return f"NACKed by {name_some(sync.nacked)}"
    if sync.cut_off:
        return f"does not advance: {describe_cut_off(sync)}"
    if not sync.total:
        return "no proxy is connected"
    waiting = f": waiting for {name_some(sync.behind)}" if sync.behind else ""
    return count_proxies(sync, sync.synced, "is", "are") + " in sync" + waiting


def describe_cut_off(sync: Sync) -> str:
    """Whose proxies are not known, and how many they are."""
    controllers = name_some(tuple(each.controller for each in sync.cut_off))
    proxies = counted(sum(each.proxies for each in sync.cut_off), "proxy", "proxies")
    are = "is" if len(sync.cut_off) == 1 else "are"
    return f"what {proxies} report is not known: {controllers} {are} cut off from the controller that decides"


def name_some(names: tuple[str, ...]) -> str:
    """The first names, and whether there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if names[NAMED:] else "")


def describe_serving(sync: Sync, version: str, weight: int = TOTAL_WEIGHT) -> str:
    """How many proxies serve that version at that weight, in basis points."""
    how = f"{version} alone" if weight == TOTAL_WEIGHT else f"{version} at {format_weight(weight)}"
    if not sync.total:
        return "no proxy is connected"
    if not sync.complete:
        return count_proxies(sync, sync.synced, "serves", "serve") + f" {how}"
    if sync.total == 1:
        return f"the one connected proxy serves {how}"
    return f"all {sync.total} connected proxies serve {how}"


def count_proxies(sync: Sync, number: int, of_one: str, of_many: str) -> str:
    """So many of the connected proxies, and the verb of which they are the subject."""
    return f"{number} of {sync.total} " + (f"proxy {of_one}" if sync.total == 1 else f"proxies {of_many}")
