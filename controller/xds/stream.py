"""One xDS stream without I/O: `step(stream, event) -> (stream, replies)`. State of the world and Delta.

| event | what it changes |
|---|---|
| first request of a type | the subscription; always answered, but for Delta resources that the client has already |
| request, newest nonce | acknowledges (or refuses, by `error_detail` alone) what is pending; changes the subscription |
| SotW request, other nonce | nothing: it is stale, and the acknowledgement that follows repeats its names |
| Delta request, other nonce | the subscription |
| snapshot | what the client should have |
| settled | nothing more is kept for a client's sake that it brought along and has not asked about |

After each event every lane without a pending response says what the client does not have yet, if anything:
clusters, endpoints, listeners, routes, in this order. So there is never more than one response of a type under way,
the newest snapshot wins, and a stale one is never sent after a newer. What may be sent is `gates`' to say.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from controller.xds.gates import FOLLOWS, late, owe_what_follows, wanted
from controller.xds.lanes import Lane, Pending, Stream
from controller.xds.snapshot import CDS, EDS, FULL, NOTHING, ORDER, Part, Resource, Resources, Snapshot
from controller.xds.subscription import WILDCARD, Subscription
from controller.xds.versions import read_version


class Request(NamedTuple):
    """A DiscoveryRequest (state of the world). `error` is the refusal's text; None where nothing is refused."""

    type_url: str
    names: tuple[str, ...] = ()
    version: str = ""
    nonce: str = ""
    error: str | None = None


class DeltaRequest(NamedTuple):
    """A DeltaDiscoveryRequest."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial: tuple[tuple[str, str], ...] = ()
    nonce: str = ""
    error: str | None = None


class Settled:
    """The client has had time to ask for every type that it uses."""


Event = Request | DeltaRequest | Snapshot | Settled


class Reply(NamedTuple):
    """A response to send: full bytes are made of it outside. `removed` is for Delta alone."""

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


def step(stream: Stream, event: Event) -> tuple[Stream, tuple[Reply, ...]]:
    """What the event does to the stream, and what is to be sent now, in this order. Never raises."""
    match event:
        case Request():
            stream = _heard(stream, event)
        case DeltaRequest():
            stream = _heard_delta(stream, event)
        case Snapshot():
            stream = _turned(stream, event)
        case Settled():
            stream = stream._replace(settled=True)
    return _answered(stream)


def _heard(stream: Stream, request: Request) -> Stream:
    url, full = request.type_url, request.type_url in FULL
    lane = stream.lanes.get(url, Lane())
    first = not lane.nonce
    if first:
        stream, lane = _met(stream, lane, (lane.brought, request.version))
    elif request.nonce == lane.nonce:
        lane = _judged(lane, request.error, full=full)
    else:
        return stream
    before, after = lane.subscription, lane.subscription.listing(request.names, empty_is_all=full)
    if first or after != before:
        lane = lane._replace(
            subscription=after,
            owed=lane.owed | (after.names if first else after.names - before.names),
            due=lane.due or (first and full) or (after.wildcard and not before.wildcard),
        )
    if first and full and stream.snapshot and _same_version(lane.brought, stream.snapshot.catalogue(url).version):
        lane = lane._replace(held=stream.snapshot.catalogue(url).select(after))
    return _put(stream, url, lane)


def _heard_delta(stream: Stream, request: DeltaRequest) -> Stream:
    url, full = request.type_url, request.type_url in FULL
    lane = stream.lanes.get(url, Lane())
    first = url not in stream.lanes
    if first:
        stream, lane = _met(stream, lane, [version for _, version in request.initial])
    elif lane.pending and request.nonce == lane.pending.nonce:
        lane = _judged(lane, request.error, full=False)
    if not (first or request.subscribe or request.unsubscribe):
        return _put(stream, url, lane)
    before = lane.subscription
    after = before.changing(request.subscribe, request.unsubscribe, first=first, empty_is_all=full)
    named = frozenset(request.subscribe) & after.names
    if first:
        lane = lane._replace(held=_brought(stream.snapshot, request, after))
        named = (named - lane.held.keys()) | (_warming(stream, named) if url == EDS else frozenset())
    dropped = frozenset(request.unsubscribe) - {WILDCARD} if after.wildcard else frozenset()
    lane = lane._replace(
        subscription=after,
        owed=lane.owed | named | dropped,
        due=lane.due or (after.wildcard and not before.wildcard and not lane.held),
    )
    return _put(stream, url, lane)


def _met(stream: Stream, lane: Lane, versions: Iterable[str]) -> tuple[Stream, Lane]:
    """What a client says of its past when it first asks: the newest version that it has."""
    newest = max((text for text in versions if text), key=_age, default="")
    version = read_version(newest)
    if version and stream.snapshot and version.store == stream.snapshot.store:
        stream = stream._replace(seen=max(stream.seen, version.revision))
    return stream._replace(returned=stream.returned or bool(newest)), lane._replace(brought=newest)


def _age(text: str) -> int:
    version = read_version(text)
    return version.revision if version else -1


def _same_version(told: str, ours: str) -> bool:
    one, other = read_version(told), read_version(ours)
    return one is not None and other is not None and one.content == other.content


def _brought(snapshot: Snapshot | None, request: DeltaRequest, subscription: Subscription) -> Resources:
    """What a client came with from an earlier stream: ours where the content is the same, else only its version."""
    base = snapshot.catalogue(request.type_url).select(subscription) if snapshot else NOTHING
    held = {}
    for name, text in request.initial:
        if subscription.covers(name):
            version, ours = read_version(text), base.get(name)
            same = ours is not None and version is not None and ours.content == version.content
            held[name] = ours if ours and same else Resource(name, version.content if version else text, text)
    return base if held == base else held


def _warming(stream: Stream, names: frozenset[str]) -> frozenset[str]:
    """Which of these clusters may wait for endpoints, also for such as the client says to have: those that were sent
    and are not yet acknowledged, or all of a client that is late with asking for clusters."""
    clusters = stream.lanes.get(CDS)
    pending = clusters.pending if clusters else None
    sent = frozenset(resource.name for resource in pending.carried) if pending else frozenset[str]()
    return names if late(stream) else names & sent


def _judged(lane: Lane, error: str | None, *, full: bool) -> Lane:
    """The client has answered what was pending, if anything was."""
    pending = lane.pending
    if pending is None:
        return lane
    if error is None:
        told = lane.error if lane.refused else ""
        return lane._replace(pending=None, held=pending.after, acknowledged=pending.version, error=told, rejected=None)
    news = _news(lane, pending)
    named = frozenset(unit.content for unit in news if unit.name in error and _names(error, unit.name))
    blamed = named or frozenset(unit.content for unit in news)
    held = lane.held
    if full and named:
        # Clients apply the rest of a full set when they refuse a part of it (Envoy; gRPC by gRFC A46).
        after = {name: r if r.content not in blamed else held.get(name) for name, r in pending.after.items()}
        held = {name: resource for name, resource in after.items() if resource}
    return lane._replace(pending=None, held=held, refused=lane.refused | blamed, rejected=pending.after, error=error)


def _names(error: str, name: str) -> bool:
    """Whether a refusal's text names this, and not only something whose name contains it."""
    return re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", error) is not None


def _news(lane: Lane, pending: Pending) -> list[Part | Resource]:
    """What a response carried that the client had not accepted before: only that can be what it refuses."""
    known = {unit.content for resource in lane.held.values() for unit in resource.units}
    carried = (unit for resource in pending.carried for unit in resource.units)
    return [unit for unit in carried if unit.content not in known]


def _turned(stream: Stream, snapshot: Snapshot) -> Stream:
    """The newest snapshot takes the place of the one before; a refusal ends when what was refused is gone from it."""
    for url, lane in stream.lanes.items():
        if lane.refused:
            stream = _put(stream, url, lane._replace(refused=lane.refused & snapshot.catalogue(url).contents))
    return stream._replace(snapshot=snapshot)


def _put(stream: Stream, type_url: str, lane: Lane) -> Stream:
    """The lane in its place, without what the client no longer wants."""
    wants = lane.subscription
    if not wants.wildcard and not lane.held.keys() <= wants.names:
        lane = lane._replace(held={name: resource for name, resource in lane.held.items() if name in wants.names})
    return stream._replace(lanes={**stream.lanes, type_url: lane})


def _answered(stream: Stream) -> tuple[Stream, tuple[Reply, ...]]:
    """Say on every lane what is to be said now."""
    snapshot, replies = stream.snapshot, []
    if snapshot is None:
        return stream, ()
    for url in (*ORDER, *(url for url in stream.lanes if url not in ORDER)):
        if url in stream.lanes and stream.lanes[url].pending is None:
            stream, reply = _say(stream, snapshot, url)
            replies += [reply] if reply else []
    return stream, tuple(replies)


def _say(stream: Stream, snapshot: Snapshot, type_url: str) -> tuple[Stream, Reply | None]:
    """What the client is to be told on this lane now, and the stream after it."""
    lane = stream.lanes[type_url]
    target = wanted(stream, snapshot, type_url)
    if target is None or (target is lane.held and not lane.owed and not lane.due):
        return stream, None
    catalogue = snapshot.catalogue(type_url)
    absent = frozenset(name for name in lane.owed if name not in target and catalogue.find(name) is None)
    owed = lane.owed - target.keys() - absent if lane.owed else lane.owed
    told = _told(lane, target, absent, delta=stream.delta, full=type_url in FULL)
    if told is None or _refused_before(lane, target):
        return (stream if owed == lane.owed else _put(stream, type_url, lane._replace(owed=owed))), None
    version = catalogue.version if target is catalogue.select(lane.subscription) else ""
    reply = Reply(type_url, version or snapshot.version(target), str(stream.nonces + 1), *told)
    pending = Pending(reply.nonce, reply.version, target, reply.resources, snapshot)
    lane = lane._replace(pending=pending, nonce=reply.nonce, owed=owed, due=False, brought="")
    stream = stream._replace(nonces=stream.nonces + 1, lanes={**stream.lanes, type_url: lane})
    return owe_what_follows(stream, type_url, pending) if type_url in FOLLOWS else stream, reply


def _told(
    lane: Lane, target: Resources, absent: frozenset[str], *, delta: bool, full: bool
) -> tuple[tuple[Resource, ...], tuple[str, ...]] | None:
    """What brings the client to `target`: resources and removed names; None if there is nothing to say."""
    held, owed = lane.held, lane.owed
    changed = (r for name, r in target.items() if name in owed or name not in held or held[name].content != r.content)
    news = [resource for resource in changed if resource.any]  # what a client brought is kept, never sent
    gone = held.keys() - target.keys()
    if delta:
        removed = tuple(sorted(gone | absent))
        return (tuple(news), removed) if news or removed or lane.due else None
    if full:
        return (tuple(target.values()), ()) if news or gone or lane.due else None
    return (tuple(news), ()) if news or lane.due else None


def _refused_before(lane: Lane, target: Resources) -> bool:
    """Whether the client would have, after this response, exactly what it refused."""
    if lane.rejected is None or lane.rejected.keys() != target.keys():
        return False
    return all(lane.rejected[name].content == resource.content for name, resource in target.items())
