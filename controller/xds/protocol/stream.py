"""One xDS stream without I/O: `step(stream, event) -> (stream, responses)`. State of the world (SotW) and Delta.

| event | effect |
|---|---|
| first request of a type | sets the subscription; always gets a response, except Delta resources that the client has |
| request with the newest nonce | ACK, or NACK if it has `error_detail`; may change the subscription |
| SotW request with another nonce | none: it is stale, and the ACK that follows repeats its names |
| Delta request with another nonce | may change the subscription |
| snapshot | changes what the client should have |
| retry | what the client NACKed is sent once more |
| settle timeout | ends the retention of what a client declared from an earlier stream and has not requested |

After each event, every type without a pending response sends what the client lacks, in the order CDS, EDS, LDS, RDS.
So at most one response of a type is pending, the newest snapshot wins, and nothing older follows it. `ordering` decides
what may be sent (make before break).
"""

from collections.abc import Iterable

from controller.xds.protocol.discovery import (
    NEWEST,
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    DiscoveryResponse,
    Event,
    Retry,
    SettleTimeout,
)
from controller.xds.protocol.nack_reasons import environmental, is_named
from controller.xds.protocol.nacked_contents import is_removal_nacked
from controller.xds.protocol.ordering import DEPENDENTS, clusters_not_requested, resend_dependents, target_resources
from controller.xds.protocol.stream_state import PendingResponse, StreamState, TypeState
from controller.xds.resources.resource import NO_RESOURCES, EncodedVirtualHost, Resource, Resources
from controller.xds.resources.resource_version import parse_version
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.subscription import WILDCARD, Subscription
from controller.xds.resources.type_urls import CDS, EDS, FULL_STATE_TYPES, PUSH_ORDER


def step(stream: StreamState, event: Event) -> tuple[StreamState, tuple[DiscoveryResponse, ...]]:
    """The stream after the event, and the responses to send now, in this order. Never raises."""
    match event:
        case DiscoveryRequest():
            stream = _on_request(stream, event)
        case DeltaDiscoveryRequest():
            stream = _on_delta_request(stream, event)
        case Snapshot():
            stream = _on_snapshot(stream, event)
        case Retry():
            stream = _on_retry(stream, event)
        case SettleTimeout():
            stream = stream._replace(settled=True)
    return _respond(stream)


def _on_request(stream: StreamState, request: DiscoveryRequest) -> StreamState:
    url, full = request.type_url, request.type_url in FULL_STATE_TYPES
    state = stream.types.get(url, TypeState())
    first = not state.responded
    if first:
        stream, state = _on_first_request(stream, state, (state.initial_version, request.version_info))
    elif request.response_nonce == NEWEST:
        state = _on_ack_or_nack(stream, state, request.error_detail, full=full)
    else:
        return stream  # stale
    before, after = state.subscription, state.subscription.listing(request.resource_names, empty_is_all=full)
    if first or after != before:
        state = state._replace(
            subscription=after,
            must_send=state.must_send | (after.names if first else after.names - before.names),
            must_respond=state.must_respond or (first and full) or (after.wildcard and not before.wildcard),
        )
    if first and full and stream.snapshot:
        catalogue = stream.snapshot.catalogue(url)
        if _same_content(state.initial_version, catalogue.version):
            state = state._replace(accepted=catalogue.select(after))
    return _with_type(stream, url, state)


def _on_delta_request(stream: StreamState, request: DeltaDiscoveryRequest) -> StreamState:
    url, full = request.type_url, request.type_url in FULL_STATE_TYPES
    state = stream.types.get(url, TypeState())
    first = url not in stream.types
    if first:
        stream, state = _on_first_request(stream, state, [text for _, text in request.initial_resource_versions])
    elif request.response_nonce == NEWEST:
        state = _on_ack_or_nack(stream, state, request.error_detail, full=False)
    if not (first or request.subscribe or request.unsubscribe):
        return _with_type(stream, url, state)
    before = state.subscription
    after = before.changing(request.subscribe, request.unsubscribe, first=first, empty_is_all=full)
    named = frozenset(request.subscribe) & after.names
    if first:
        state = state._replace(accepted=_initial_resources(stream.snapshot, request, after))
        named = (named - state.accepted.keys()) | (_warming(stream, named) if url == EDS else frozenset())
    dropped = frozenset(request.unsubscribe) - {WILDCARD} if after.wildcard else frozenset()
    state = state._replace(
        subscription=after,
        must_send=state.must_send | named | dropped,
        must_respond=state.must_respond or (after.wildcard and not before.wildcard and not state.accepted),
    )
    return _with_type(stream, url, state)


def _on_first_request(stream: StreamState, state: TypeState, versions: Iterable[str]) -> tuple[StreamState, TypeState]:
    """The client's first request of a type: remember the newest version that it declared from an earlier stream."""
    newest = max((text for text in versions if text), key=_revision, default="")
    version = parse_version(newest)
    if version and stream.snapshot and version.store == stream.snapshot.store:
        stream = stream._replace(seen_revision=max(stream.seen_revision, version.revision))
    stream = stream._replace(reconnected=stream.reconnected or bool(newest))
    return stream, state._replace(initial_version=newest)


def _revision(text: str) -> int:
    version = parse_version(text)
    return version.revision if version else -1


def _same_content(one: str, other: str) -> bool:
    """Whether both are versions of this program, and of the same content."""
    first, second = parse_version(one), parse_version(other)
    return first is not None and second is not None and first.content == second.content


def _initial_resources(
    snapshot: Snapshot | None, request: DeltaDiscoveryRequest, subscription: Subscription
) -> Resources:
    """What a client has from an earlier stream: the snapshot's resource if the content is the same, else only the
    version."""
    base = snapshot.catalogue(request.type_url).select(subscription) if snapshot else NO_RESOURCES
    initial = {}
    for name, text in request.initial_resource_versions:
        if subscription.covers(name):
            version, current = parse_version(text), base.get(name)
            same = current is not None and version is not None and current.content == version.content
            content = version.content if version else text
            initial[name] = current if current and same else Resource(name, content, text)
    return base if initial == base else initial


def _warming(stream: StreamState, names: frozenset[str]) -> frozenset[str]:
    """Which of these clusters may be warming and wait for endpoints, even those that the client already has.

    These are the clusters in the pending CDS response, or all names if the client has yet to request clusters.
    """
    clusters = stream.types.get(CDS)
    pending = clusters.pending if clusters else None
    sent = frozenset(resource.name for resource in pending.resources) if pending else frozenset[str]()
    return names if clusters_not_requested(stream) else names & sent


def _on_ack_or_nack(stream: StreamState, state: TypeState, error_detail: str | None, *, full: bool) -> TypeState:
    """The client ACKs or NACKs the pending response; without one, nothing changes."""
    if state.pending is None:
        return state
    if error_detail is None:
        return _on_ack(state, state.pending)
    after = _on_nack(state, state.pending, error_detail, full=full)
    return after._replace(error_detail=error_detail[: stream.error_length])


def _on_ack(state: TypeState, pending: PendingResponse) -> TypeState:
    return state._replace(
        pending=None,
        accepted=pending.target,
        acked_version=pending.version,
        error_detail=state.error_detail if state.nacked else "",
        nacked_target=None,
        nacked_last=False,
    )


def _on_nack(state: TypeState, pending: PendingResponse, error_detail: str, *, full: bool) -> TypeState:
    """The NACK counts for what its text names; if it names nothing, for everything new in the response."""
    new = _new_units(state, pending)
    named = frozenset(unit.content for unit in new if is_named(error_detail, unit.name))
    nacked = named or frozenset(unit.content for unit in new)
    accepted, must_send = state.accepted, state.must_send
    if not full:
        # The client applied nothing of it, also not what it may be waiting for.
        must_send |= {r.name for r in pending.resources if nacked.isdisjoint(unit.content for unit in r.units)}
    if full and named:
        # Clients apply the rest of a full set when they NACK a part of it (Envoy; gRPC by gRFC A46).
        after = {n: r if r.content not in nacked else accepted.get(n) for n, r in pending.target.items()}
        accepted = {name: resource for name, resource in after.items() if resource}
    return state._replace(
        pending=None,
        accepted=accepted,
        must_send=must_send,
        nacked=state.nacked | nacked,
        retryable=state.retryable | environmental(error_detail, new),
        nacked_target=pending.target,
        nacked_last=True,
    )


def _new_units(state: TypeState, pending: PendingResponse) -> list[EncodedVirtualHost | Resource]:
    """What a response carries that the client has not accepted in that place: only this can be the reason of a NACK."""
    new: list[EncodedVirtualHost | Resource] = []
    for resource in pending.resources:
        before = state.accepted.get(resource.name)
        known = {unit.content for unit in before.units} if before else ()
        new += [unit for unit in resource.units if unit.content not in known]
    return new


def _on_snapshot(stream: StreamState, snapshot: Snapshot) -> StreamState:
    """The new snapshot replaces the previous one; a NACK ends when what was NACKed is gone from it."""
    for url, state in stream.types.items():
        if state.nacked:
            still = state.nacked & snapshot.catalogue(url).contents
            target = state.nacked_target if still == state.nacked else None
            state = state._replace(nacked=still, retryable=state.retryable & still, nacked_target=target)
            stream = _with_type(stream, url, state)
    return stream._replace(snapshot=snapshot)


def _on_retry(stream: StreamState, retry: Retry) -> StreamState:
    """What was NACKed counts as never sent: it is sent once more, and a second NACK withholds it again."""
    for url, state in stream.types.items():
        if state.nacked & retry.contents or (retry.removals and is_removal_nacked(state)):
            nacked, retryable = state.nacked - retry.contents, state.retryable - retry.contents
            state = state._replace(nacked=nacked, retryable=retryable, nacked_target=None)
            stream = _with_type(stream, url, state)
    return stream


def _with_type(stream: StreamState, type_url: str, state: TypeState) -> StreamState:
    """The stream with that state of a type, without resources that the client has unsubscribed from."""
    wants = state.subscription
    if not wants.wildcard and not state.accepted.keys() <= wants.names:
        accepted = {name: resource for name, resource in state.accepted.items() if name in wants.names}
        state = state._replace(accepted=accepted)
    return stream._replace(types={**stream.types, type_url: state})


def _respond(stream: StreamState) -> tuple[StreamState, tuple[DiscoveryResponse, ...]]:
    """The responses of every type that has one to send now."""
    snapshot, responses = stream.snapshot, []
    if snapshot is None:
        return stream, ()
    for url in (*PUSH_ORDER, *(url for url in stream.types if url not in PUSH_ORDER)):
        if url in stream.types and stream.types[url].pending is None:
            stream, response = _respond_for_type(stream, snapshot, url)
            responses += [response] if response else []
    return stream, tuple(responses)


def _respond_for_type(
    stream: StreamState, snapshot: Snapshot, type_url: str
) -> tuple[StreamState, DiscoveryResponse | None]:
    """The response of this type to send now, if any, and the stream after it."""
    state = stream.types[type_url]
    target = target_resources(stream, snapshot, type_url)
    if target is None or (target is state.accepted and not state.must_send and not state.must_respond):
        return stream, None
    catalogue = snapshot.catalogue(type_url)
    absent = frozenset(name for name in state.must_send if name not in target and catalogue.find(name) is None)
    must_send = state.must_send.difference(target, absent) if state.must_send else state.must_send
    payload = _payload(state, target, absent, delta=stream.delta, full=type_url in FULL_STATE_TYPES)
    if payload is not None and _is_nacked_target(state, target):
        return stream, None
    if payload is None:
        changed = must_send != state.must_send
        return (_with_type(stream, type_url, state._replace(must_send=must_send)) if changed else stream), None
    version = catalogue.version if target is catalogue.select(state.subscription) else ""
    response = DiscoveryResponse(type_url, version or snapshot.version(target), *payload)
    pending = PendingResponse(response.version_info, target, response.resources, snapshot)
    state = state._replace(pending=pending, responded=True, must_send=must_send, must_respond=False, initial_version="")
    stream = stream._replace(types={**stream.types, type_url: state})
    return resend_dependents(stream, type_url, pending) if type_url in DEPENDENTS else stream, response


_Payload = tuple[tuple[Resource, ...], tuple[str, ...]]
"""What a response carries: resources and removed resources."""


def _payload(
    state: TypeState, target: Resources, absent: frozenset[str], *, delta: bool, full: bool
) -> _Payload | None:
    """What brings the client to `target`; None if there is nothing to send."""
    accepted, must_send = state.accepted, state.must_send
    changed = (
        resource
        for name, resource in target.items()
        if name in must_send or name not in accepted or accepted[name].content != resource.content
    )
    new = tuple(resource for resource in changed if resource.packed)  # what a client declared is kept, never sent
    gone = accepted.keys() - target.keys()
    if delta:
        removed = tuple(sorted(gone | absent))
        return (new, removed) if new or removed or state.must_respond else None
    if full:
        return (tuple(target.values()), ()) if new or gone or state.must_respond else None
    return (new, ()) if new or state.must_respond else None


def _is_nacked_target(state: TypeState, target: Resources) -> bool:
    """Whether the client would have, after this response, exactly what it NACKed."""
    if state.nacked_target is None or state.nacked_target.keys() != target.keys():
        return False
    return all(state.nacked_target[name].content == resource.content for name, resource in target.items())
