"""Core values -> messages of the admin API."""

import json

from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import ProxyStatus
from controller.ports.observatory import Live


def service_message(
    state: ServiceState, view: View, rollout: pb.Rollout | None, problem: str, *, source: bool
) -> pb.Service:
    """A service. `problem`: why it cannot be served as it stands, or "". `source`: with the text of its file, which
    lists leave out since 200 of them fill no one message."""
    spec = state.spec
    return pb.Service(
        name=spec.name,
        stable=state.stable,
        versions=[version.name for version in spec.versions],
        listen=str(spec.listen),
        fleets=spec.fleets,
        weights=state.weights,
        yaml=state.source if source else "",
        revision=state.revision,
        rollout=rollout,
        freezes=freezes_over(state.name, view),
        diverted=state.diverted,
        problem=problem,
    )


def rollout_message(state: ServiceState, view: View, live: Live, sync: Sync) -> pb.Rollout:
    """The rollout of a service as it stands; of a service that never had one: IDLE, all weight on the stable."""
    message = _stored(state.rollout) if state.rollout else pb.Rollout(stable=state.stable, phase=Phase.IDLE)
    message.service = state.name
    message.revision = state.revision
    message.weights.update({version: 0 for version in (message.canary, message.stable) if version})
    message.weights.update(state.weights)
    message.diverted = state.diverted
    message.proxies_synced = sync.synced
    message.proxies_total = sync.total
    message.freezes.extend(freezes_over(state.name, view))
    for version, traffic in live.traffic.items():
        message.traffic[version].CopyFrom(_traffic(traffic))
    if state.rollout:
        _judge(message, state.rollout, live)
    if live.stable and not (state.rollout and state.rollout.running):
        message.stable_verdict = live.stable.outcome
        message.stable_reasons.extend(reason.text for reason in live.stable.reasons)
    return message


def freezes_over(service: str, view: View) -> list[pb.FreezeInfo]:
    """The freezes in force for a service."""
    return [freeze_message(freeze) for freeze in view.freezes if freeze.covers(service)]


def freeze_message(freeze: Freeze) -> pb.FreezeInfo:
    """A freeze."""
    return pb.FreezeInfo(
        scope=freeze.scope,
        reason=freeze.reason,
        who=freeze.who,
        since=freeze.since,
        until=freeze.until or 0.0,
        mode=freeze.mode,
    )


def proxy_message(proxy: ProxyStatus) -> pb.Proxy:
    """A connected proxy."""
    types = [
        pb.ProxyType(
            type_url=t.type_url,
            state=t.state,
            wanted=t.wanted,
            acknowledged=t.acknowledged,
            since=t.since,
            error=t.error,
        )
        for t in proxy.types
    ]
    message = pb.Proxy(
        node=proxy.node,
        fleet=proxy.fleet,
        client=proxy.client,
        connected_at=proxy.connected_at,
        state=proxy.state,
        types=types,
        waits=[pb.ProxyWait(service=w.service, reason=w.reason, since=w.since) for w in proxy.waits],
    )
    if last := proxy.last_nack:
        message.refused.CopyFrom(pb.ProxyRefusal(type_url=last.type_url, at=last.at, error=last.error))
    return message


def event_message(line: LedgerLine) -> pb.Event:
    """A line of the ledger."""
    entry = line.entry
    return pb.Event(
        sequence=line.sequence,
        revision=line.revision,
        at=line.at,
        kind=entry.kind,
        service=entry.scope,
        who=entry.who,
        why=entry.why,
        weights_before=entry.weights_before,
        weights_after=entry.weights_after,
        details=json.dumps(entry.details, sort_keys=True),
        change_id=line.change_id,
        previous=line.previous,
        hash=line.hash,
        effect=line.effect,
    )


def reason_message(reason: Reason) -> pb.ReasonInfo:
    """One ground of a verdict."""
    return pb.ReasonInfo(
        code=reason.code,
        text=reason.text,
        canary=reason.canary or 0.0,
        stable=reason.stable or 0.0,
        canary_n=reason.canary_n,
        stable_n=reason.stable_n,
        evidence=reason.evidence or 0.0,
        limit=reason.limit or 0.0,
        needed=reason.needed or 0,
        channel=reason.channel,
        margin=reason.margin or 0.0,
    )


def _stored(rollout: Rollout) -> pb.Rollout:
    return pb.Rollout(
        id=rollout.id,
        stable=rollout.stable,
        canary=rollout.canary,
        phase=rollout.phase,
        phase_reason=rollout.reason,
        step=rollout.step,
        steps=rollout.policy.steps,
        started_at=rollout.started_at,
        updated_at=rollout.entered_at,
    )


def _judge(message: pb.Rollout, rollout: Rollout, live: Live) -> None:
    """What the judge said last, and what automation makes of it."""
    message.verdict = live.verdict.outcome if live.verdict else Outcome.UNKNOWN
    message.reasons.extend(live.told)
    if not message.reasons and rollout.reason:
        # After a restart nothing has been seen yet: why it stands where it stands is what there is to say.
        message.reasons.append(rollout.reason)
    message.details.extend(map(reason_message, live.verdict.reasons if live.verdict else ()))
    message.updated_at = max(rollout.entered_at, live.updated_at)


def _traffic(traffic: Traffic) -> pb.Traffic:
    return pb.Traffic(
        requests_per_second=traffic.requests_per_second,
        error_rate=traffic.error_rate,
        p50_ms=traffic.p50_ms,
        p99_ms=traffic.p99_ms,
        requests=traffic.requests,
        errors=traffic.errors,
    )
