"""Core values -> messages of the admin API."""

import json
from typing import Any

from controller.core.base.text import clean_values
from controller.core.control.describe import plain_blocker
from controller.core.control.judged import Judged
from controller.core.judge.verdict import Outcome, Reason
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Rollout
from controller.core.model.source_status import describe_source
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import ProxyStatus, ReportsPaced, UnreachedController, UnseenController
from controller.ports.observatory import Live
from controller.ports.report_admission import StrangerStatus
from controller.runtime.service_view import ServiceView

BLIND = (
    "responses that end badly after their headers, and times to the first token: it has no stats access logger, so "
    "those responses count as good"
)


def service_message(view: ServiceView, *, source: bool) -> pb.Service:
    """A service. `source`: with the text of its file, which lists leave out since 200 of them fill no one message."""
    state = view.state
    return pb.Service(
        name=state.name,
        stable=state.stable,
        versions=[version.name for version in state.spec.versions],
        listen=str(state.spec.listen or ""),
        route_config=state.spec.route_config,
        fleets=state.spec.fleets,
        weights=state.weights,
        yaml=state.source if source else "",
        revision=state.revision,
        rollout=rollout_message(view) if view.rollout else None,
        freezes=map(freeze_message, view.freezes),
        diverted=state.diverted,
        problem=view.problem,
        applied_from=state.followed.file if state.followed else "",
        proxies_synced=view.sync.synced,
        proxies_total=view.sync.total,
        endpoints=_endpoints(view.live),
        sources=_sources(view.live),
        judged=judged_message(view.live.judged),
    )


def rollout_message(view: ServiceView) -> pb.Rollout:
    """The rollout of a service as it stands; of a service that never had one: IDLE, all weight on the stable."""
    state = view.state
    message = pb.Rollout(
        service=state.name,
        stable=view.stable,
        canary=view.canary,
        phase=view.phase,
        weights={**dict.fromkeys(filter(None, (view.canary, view.stable)), 0), **state.weights},
        reasons=view.reasons,
        proxies_synced=view.sync.synced,
        proxies_total=view.sync.total,
        revision=state.revision,
        freezes=map(freeze_message, view.freezes),
        traffic={version: _traffic(traffic) for version, traffic in view.live.traffic.items()},
        endpoints=_endpoints(view.live),
        sources=_sources(view.live),
        unjudged={cluster: _traffic(traffic) for cluster, traffic in view.live.unjudged.items()},
        diverted=state.diverted,
        stable_verdict=view.stable_verdict.outcome if view.stable_verdict else "",
        stable_reasons=view.stable_reasons,
        judged=judged_message(view.live.judged),
    )
    if view.rollout:
        message.MergeFrom(_judged(view.rollout, view.live))
    return message


def freeze_message(freeze: Freeze) -> pb.FreezeInfo:
    """A freeze."""
    return pb.FreezeInfo(**freeze.plain())


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
        blind=BLIND if proxy.is_blind else "",
        excluded=proxy.excluded,
        requests=proxy.requests,
        failed=proxy.failed,
        controller=proxy.controller,
        cut_off=proxy.cut_off,
    )
    if last := proxy.last_nack:
        message.refused.CopyFrom(pb.ProxyRefusal(type_url=last.type_url, at=last.at, error=last.error))
    return message


def judged_message(judged: Judged | None) -> pb.Judged | None:
    """Who judges, and as of when that is known; None where a controller is alone."""
    if judged is None:
        return None
    return pb.Judged(
        controller=judged.controller,
        as_of=judged.as_of,
        problem=judged.problem,
        problem_since=judged.since if judged.gap else 0.0,
    )


def paced_message(paced: ReportsPaced | None) -> pb.ReportsPaced | None:
    """What a controller that cannot take in all reports asks for; None if it can."""
    return pb.ReportsPaced(interval=paced.interval, flushes=paced.flushes) if paced else None


def unseen_message(unseen: UnseenController) -> pb.UnseenController:
    """A controller whose proxies are not known."""
    return pb.UnseenController(**unseen._asdict())


def unreached_message(unreached: UnreachedController) -> pb.UnreachedController:
    """A controller that could not be asked."""
    return pb.UnreachedController(**unreached._asdict())


def stranger_message(stranger: StrangerStatus) -> pb.Stranger:
    """A program whose reports do not count."""
    return pb.Stranger(
        node=stranger.node,
        fleet=stranger.fleet,
        peer=stranger.peer,
        reason=stranger.reason,
        since=stranger.since,
        last_report=stranger.last_report,
        reports=stranger.reports,
    )


def exclusion_message(exclusion: Exclusion) -> pb.Exclusion:
    """A proxy that an operator excluded."""
    return pb.Exclusion(**exclusion.plain())


def event_message(line: LedgerLine) -> pb.Event:
    """A line of the ledger."""
    entry, shown = line.entry, clean_values(line.entry.model_dump(mode="json"))
    return pb.Event(
        sequence=line.sequence,
        revision=line.revision,
        at=line.at,
        kind=entry.kind,
        service=entry.scope,
        who=entry.who,
        why=shown["why"],
        weights_before=entry.weights_before,
        weights_after=entry.weights_after,
        details=json.dumps(shown["details"], sort_keys=True),
        change_id=line.change_id,
        previous=line.previous,
        hash=line.hash,
        effect=line.effect,
        as_stored=_as_stored(line, shown),
        verified_by=entry.proof,
        unverified=entry.actor.unverified,
    )


def _as_stored(line: LedgerLine, shown: Any) -> str:
    """The line in JSON of ASCII, if it says other than what is shown: its hash is of that."""
    plain = line.model_dump(mode="json")
    return "" if plain["entry"] == shown else json.dumps(plain, sort_keys=True, separators=(",", ":"))


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
        bound=reason.bound,
    )


def _judged(rollout: Rollout, live: Live) -> pb.Rollout:
    """The fields that only a rollout has, running or not."""
    return pb.Rollout(
        id=rollout.id,
        phase_reason=rollout.reason,
        step=rollout.step,
        steps=rollout.policy.steps,
        started_at=rollout.started_at,
        updated_at=max(rollout.entered_at, live.updated_at),
        verdict=live.verdict.outcome if live.verdict else Outcome.UNKNOWN,
        details=_details(live),
        blocker=pb.Blocker(**plain_blocker(live.blocker)) if live.blocker else None,
    )


def _details(live: Live) -> list[pb.ReasonInfo]:
    """The verdict's reasons; where it is not known, why."""
    if live.judged and live.judged.gap:
        return [pb.ReasonInfo(code=live.judged.gap, text=live.judged.problem)]
    return [*map(reason_message, live.verdict.reasons)] if live.verdict else []


def _endpoints(live: Live) -> dict[str, pb.EndpointHealth]:
    return {
        version: pb.EndpointHealth(healthy=health.fewest, total=health.total)
        for version, health in live.endpoints.items()
    }


def _sources(live: Live) -> dict[str, pb.EndpointSource]:
    return {
        version: pb.EndpointSource(
            source=str(status.source),
            read=status.endpoints is not None,
            endpoints=len(status.endpoints or ()),
            problem=status.problem,
            problem_since=status.since,
            last_known=status.last_known,
            text=describe_source(version, status, live.shared),
            shared=[each.address for each in live.shared if version in each.versions],
        )
        for version, status in live.sources.items()
    }


def _traffic(traffic: Traffic) -> pb.Traffic:
    return pb.Traffic(
        requests_per_second=traffic.requests_per_second,
        error_rate=traffic.error_rate,
        p50_ms=traffic.p50_ms,
        p99_ms=traffic.p99_ms,
        requests=traffic.requests,
        errors=traffic.errors,
        broken=traffic.broken,
        cancelled=traffic.cancelled,
        in_progress=traffic.in_progress,
        ttft_p50_ms=traffic.ttft_p50_ms,
        ttft_p99_ms=traffic.ttft_p99_ms,
    )
