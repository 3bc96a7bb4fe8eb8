"""What the controller that decides knows of a service, as messages, and back.

Values are passed on, not sentences, so that every controller shows the same. What cannot be read, such as the words of
another version of Haldane, is refused whole: half of a verdict would be another verdict.
"""

from collections.abc import Mapping

from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.capacity import CapacityGap
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.edges import ServiceSync
from controller.ports.observatory import Live
from controller.ports.peers import Judgement, Upstream
from controller.ports.service_files import FileProblem, FileProblemKind, FilesStatus
from controller.relay.batch_messages import InvalidUpdate, validate_name
from controller.relay.edge_messages import MAX_TEXT, read_sync, sync_message

_TRAFFIC = tuple(field.name for field in admin.Traffic.DESCRIPTOR.fields)
"""The fields of `Traffic`, which have the same names there and here."""


_KINDS = {kind.value: kind for kind in LedgerKind}


def judgement_message(service: str, judgement: Judgement) -> pb.Judgement:
    """What is known of a service as a message."""
    live = judgement.live
    message = pb.Judgement(
        rollout_id=judgement.rollout_id,
        verdict=_verdict_message(live.verdict) if live.verdict else None,
        remark=live.remark[:MAX_TEXT],
        blocker=_blocker_message(live.blocker) if live.blocker else None,
        stable=_verdict_message(live.stable) if live.stable else None,
        endpoints={version: pb.Endpoints(**health._asdict()) for version, health in live.endpoints.items()},
        sync=sync_message(service, judgement.sync),
    )
    for messages, by_name in ((message.traffic, live.traffic), (message.unjudged, live.unjudged)):
        for name, traffic in by_name.items():
            _write_traffic(messages[name], traffic)
    for version, upstream in judgement.upstreams.items():
        message.upstreams[version].none = upstream.none
        if upstream.lacking is not None:
            message.upstreams[version].lacking = upstream.lacking
    return message


def read_judgement(message: pb.Judgement) -> tuple[str, Judgement]:
    """The service, and what the message says of it. `InvalidUpdate` if there is anything that cannot be read."""
    try:
        live = Live(
            verdict=_verdict(message.verdict) if message.HasField("verdict") else None,
            remark=message.remark,
            blocker=_blocker(message.blocker) if message.HasField("blocker") else None,
            stable=_verdict(message.stable) if message.HasField("stable") else None,
            traffic=_traffic(message.traffic),
            unjudged=_traffic(message.unjudged),
            endpoints={
                version: EndpointHealth(each.fewest, each.most, each.total, each.proxies)
                for version, each in message.endpoints.items()
            },
        )
    except (ValueError, KeyError) as error:
        raise InvalidUpdate(f"what is judged of {message.sync.service[:80]!r} cannot be read: {error}") from None
    upstreams = {
        version: Upstream(each.none, each.lacking if each.HasField("lacking") else None)
        for version, each in message.upstreams.items()
    }
    judgement = Judgement(live, read_sync(message.sync), message.rollout_id, upstreams)
    return validate_name(message.sync.service, "a service"), judgement


def files_message(files: FilesStatus) -> pb.Files:
    """What became of the service files of a folder, as a message."""
    problems = [
        pb.File(name=name, kind=problem.kind, text=problem.text[:MAX_TEXT]) for name, problem in files.problems.items()
    ]
    return pb.Files(number=files.number, problems=problems)


def read_files(message: pb.Files) -> FilesStatus:
    """The same in the message. `InvalidUpdate` if there is anything that cannot be read."""
    try:
        problems = {each.name: FileProblem(FileProblemKind(each.kind), each.text) for each in message.problems}
    except ValueError as error:
        raise InvalidUpdate(str(error)) from None
    return FilesStatus(message.number if message.HasField("number") else None, problems)


def _verdict_message(verdict: Verdict) -> pb.Verdict:
    return pb.Verdict(
        outcome=verdict.outcome,
        reasons=map(_reason_message, verdict.reasons),
        warm=verdict.warm,
        blind=verdict.blind,
        idle=verdict.idle,
    )


def _verdict(message: pb.Verdict) -> Verdict:
    reasons = tuple(map(_reason, message.reasons))
    return Verdict(Outcome(message.outcome), reasons, message.warm, message.blind, message.idle)


def _reason_message(reason: Reason) -> pb.Reason:
    return pb.Reason(
        code=reason.code,
        text=reason.text[:MAX_TEXT],
        canary=reason.canary,
        stable=reason.stable,
        canary_n=reason.canary_n,
        stable_n=reason.stable_n,
        evidence=reason.evidence,
        limit=reason.limit,
        needed=reason.needed,
        channel=reason.channel,
        margin=reason.margin,
        bound=reason.bound,
    )


def _reason(message: pb.Reason) -> Reason:
    return Reason(
        ReasonCode(message.code),
        message.text,
        canary=message.canary if message.HasField("canary") else None,
        stable=message.stable if message.HasField("stable") else None,
        canary_n=message.canary_n,
        stable_n=message.stable_n,
        evidence=message.evidence if message.HasField("evidence") else None,
        limit=message.limit if message.HasField("limit") else None,
        needed=message.needed if message.HasField("needed") else None,
        channel=message.channel,
        margin=message.margin if message.HasField("margin") else None,
        bound=message.bound if message.HasField("bound") else None,
    )


def _blocker_message(blocker: Blocker) -> pb.Blocker:
    return pb.Blocker(
        kind=blocker.kind,
        stops=blocker.stops or "",
        seconds=blocker.seconds,
        weight=blocker.weight,
        freeze=blocker.freeze.model_dump_json() if blocker.freeze else "",
        sync=sync_message("", ServiceSync(0, blocker.sync)) if blocker.sync else None,
        names=blocker.names,
        words=blocker.words[:MAX_TEXT],
        capacity=pb.Capacity(**blocker.gap._asdict()) if blocker.gap else None,
    )


def _blocker(message: pb.Blocker) -> Blocker:
    gap = message.capacity
    return Blocker(
        BlockerKind(message.kind),
        _KINDS[message.stops] if message.stops else None,
        seconds=message.seconds,
        weight=message.weight,
        freeze=Freeze.model_validate_json(message.freeze) if message.freeze else None,
        sync=read_sync(message.sync).sync if message.HasField("sync") else None,
        names=tuple(message.names),
        words=message.words,
        gap=CapacityGap(gap.healthy, gap.needed, gap.at_start) if message.HasField("capacity") else None,
    )


def _write_traffic(message: admin.Traffic, traffic: Traffic) -> None:
    for name in _TRAFFIC:
        setattr(message, name, getattr(traffic, name))


def _traffic(messages: Mapping[str, admin.Traffic]) -> dict[str, Traffic]:
    return {name: Traffic(**{field: getattr(each, field) for field in _TRAFFIC}) for name, each in messages.items()}
