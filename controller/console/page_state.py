"""What the page shows, as plain values for JSON: the stored state, what is known of it now, and the ledger's end."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from controller.core.access.caller import Caller
from controller.core.access.permission import Permission
from controller.core.base.errors import Refusal
from controller.core.control.describe import plain_blocker
from controller.core.control.judged import Judged
from controller.core.judge.verdict import Verdict
from controller.core.model.freeze import ALL
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Rollout
from controller.core.model.source_status import describe_source
from controller.core.traffic.reports import Traffic
from controller.ports.fleet import ConfigState, Fleet, ProxyStatus
from controller.ports.observatory import Observatory
from controller.ports.report_admission import StrangerStatus
from controller.runtime.operations import Operations
from controller.runtime.service_view import ServiceView

TAIL = 30
"""Lines of the ledger on the page."""
PAGE = 1000
PATIENCE = 2.0
"""Seconds to wait for the ledger: the rest of the page must not wait for a disk that hangs."""


class LedgerTail:
    """The last lines of the ledger, read on from where it was read last."""

    def __init__(self, operations: Operations, observatory: Observatory) -> None:
        self._operations = operations
        self._observatory = observatory
        self._after: int | None = None
        self._lines: deque[LedgerLine] = deque(maxlen=TAIL)

    async def lines(self) -> list[LedgerLine]:
        """The newest first. While the store does not answer, or hangs, those that were read before."""
        if self._after is None:  # each line's number is the revision that it made
            self._after = max(0, self._observatory.view().revision - TAIL)
        with contextlib.suppress(Refusal, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while await self._read_on(self._after) == PAGE:
                    pass
        return list(reversed(self._lines))

    async def _read_on(self, after: int) -> int:
        page = await self._operations.events(after=after, limit=PAGE)
        for line in page:
            if line.sequence > (self._after or 0):  # else another page's reader was faster
                self._after = line.sequence
                self._lines.append(line)
        return len(page)


def page_state(
    observatory: Observatory, fleet: Fleet, caller: Caller, lines: list[LedgerLine], unready: str | None
) -> Mapping[str, Any]:
    """Everything on the page that the caller may see. Weights are basis points, times Unix seconds."""
    view, proxies = observatory.view(), fleet.proxies()
    states = sorted((s for s in view.services.values() if caller.visible([s.name])), key=lambda state: state.name)
    views = [ServiceView.of(state, view, observatory, fleet) for state in states]
    return {
        "revision": view.revision,
        "unready": unready,
        "caller": _caller(caller),
        "services": [_service(each, caller) for each in views],
        "broken": {name: why for name, why in view.broken.items() if caller.visible([name])},
        "freezes": [freeze.plain() for freeze in view.freezes if caller.visible([freeze.scope])],
        "fleets": _fleets(proxies),
        "judged": _judged([each.live.judged for each in views] or [fleet.judged]),
        "unseen": [each._asdict() for each in fleet.unseen()],
        "strangers": [_stranger(stranger) for stranger in fleet.strangers()],
        "exclusions": [exclusion.plain() for exclusion in view.exclusions],
        "behind": [_behind(proxy) for proxy in proxies if proxy.state is not ConfigState.SYNCED],
        "ledger": [_line(line) for line in lines if caller.visible(line.entry.services)],
    }


async def refresh(observatory: Observatory, fleet: Fleet, caller: Caller) -> None:
    """Bring what `page_state` says up to date, where another controller knows it. Raises nothing."""
    services = [name for name in observatory.view().services if caller.visible([name])]
    await asyncio.gather(observatory.refresh(services), fleet.refresh())


def _judged(judged: Sequence[Judged | None]) -> Mapping[str, Any] | None:
    """Which controller judges, and since when its verdicts are not known, if they are not; of all services the oldest
    answer. None where a controller is alone."""
    known = [each for each in judged if each]
    if not known:
        return None
    oldest = min(known, key=lambda each: each.as_of)
    return {"controller": oldest.controller, "as_of": oldest.as_of, "problem": oldest.problem}


_ROLLOUT_ABSENT: Mapping[str, Any] = {"phase_reason": "", "started_at": None, "step": 0, "steps": []}
"""What a service shows that never had a rollout."""


def _caller(caller: Caller) -> Mapping[str, Any]:
    """Who looks at the page, and what the page offers it."""
    return {
        "name": caller.actor.name,
        "verified_by": caller.actor.proof.value,
        "restricted": caller.bindings is not None,
        "roles": [{"role": each.role.value, "services": list(each.services)} for each in caller.bindings or ()],
        "may_freeze": caller.may(Permission.FREEZE, ALL),
        "may_lift": caller.may(Permission.HOLD, ALL),
    }


def _service(view: ServiceView, caller: Caller) -> Mapping[str, Any]:
    state, rollout, live = view.state, view.rollout, view.live
    return {
        "name": state.name,
        "listen": state.spec.route_configuration,
        "stable": view.stable,
        "canary": view.canary or None,
        "phase": view.phase.value,
        "running": view.running,
        **(_ROLLOUT_ABSENT if rollout is None else _rollout(rollout)),
        "weights": state.weights,
        "diverted": state.diverted,
        **_verdict(view.verdict),
        "doing": live.remark if rollout else "",
        "blocker": plain_blocker(live.blocker) if rollout and live.blocker else None,
        "looked_at": live.updated_at,
        "stable_verdict": view.stable_verdict.outcome.value if view.stable_verdict else "",
        "stable_reasons": list(view.stable_reasons),
        "traffic": {version: _traffic(traffic) for version, traffic in live.traffic.items()},
        "unjudged": {cluster: _traffic(traffic) for cluster, traffic in live.unjudged.items()},
        "endpoints": {v: {"healthy": h.fewest, "total": h.total} for v, h in live.endpoints.items()},
        "sources": [t for v, each in sorted(live.sources.items()) if (t := describe_source(v, each, live.shared))],
        "synced": view.sync.synced,
        "proxies": view.sync.total,
        "freezes": [freeze.plain() for freeze in view.freezes],
        "may_freeze": caller.may(Permission.FREEZE, state.name),
        "may_lift": any(freeze.scope == state.name and caller.may_lift(freeze) for freeze in view.freezes),
    }


def _rollout(rollout: Rollout) -> Mapping[str, Any]:
    return {
        "phase_reason": rollout.reason,
        "started_at": rollout.started_at,
        "step": rollout.step,
        "steps": list(rollout.policy.steps),
    }


def _verdict(verdict: Verdict | None) -> Mapping[str, Any]:
    if verdict is None:
        return {"verdict": "", "grounds": []}
    return {"verdict": verdict.outcome.value, "grounds": [reason.plain() for reason in verdict.reasons]}


def _traffic(traffic: Traffic) -> Mapping[str, float]:
    return {
        "rps": traffic.requests_per_second,
        "error_rate": traffic.error_rate,
        "p50_ms": traffic.p50_ms,
        "p99_ms": traffic.p99_ms,
        "requests": traffic.requests,
        "errors": traffic.errors,
        "broken": traffic.broken,
        "cancelled": traffic.cancelled,
        "in_progress": traffic.in_progress,
        "ttft_p50_ms": traffic.ttft_p50_ms,
        "ttft_p99_ms": traffic.ttft_p99_ms,
    }


def _fleets(proxies: tuple[ProxyStatus, ...]) -> list[Mapping[str, Any]]:
    """Per fleet, how many proxies are in which state."""
    counts: dict[str, Counter[str]] = {}
    for proxy in proxies:
        counts.setdefault(proxy.fleet, Counter())[proxy.state] += 1
    return [{"fleet": fleet, "states": dict(states)} for fleet, states in sorted(counts.items())]


def _behind(proxy: ProxyStatus) -> Mapping[str, Any]:
    """A proxy that does not serve what was decided, and what is known of why."""
    errors = sorted({status.error for status in proxy.types if status.error})
    return {"node": proxy.node, "fleet": proxy.fleet, "state": proxy.state, "why": "; ".join(errors)}


def _stranger(stranger: StrangerStatus) -> Mapping[str, Any]:
    """A program that reports and is no proxy."""
    return {
        "node": stranger.node,
        "fleet": stranger.fleet,
        "peer": stranger.peer,
        "reason": stranger.reason,
        "reports": stranger.reports,
    }


def _line(line: LedgerLine) -> Mapping[str, Any]:
    entry = line.entry
    return {
        "sequence": line.sequence,
        "at": line.at,
        "kind": entry.kind,
        "service": entry.scope,
        **entry.actor.plain(),
        "why": entry.why,
        "before": entry.weights_before,
        "after": entry.weights_after,
    }
