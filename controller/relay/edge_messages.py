"""How far the proxies of a controller are, as messages, and back. Whatever comes is checked before any of it counts."""

from collections.abc import Iterable

from controller.core.control.sync import CutOff, Sync
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.edges import EdgeUpdate, ServiceSync
from controller.ports.fleet import ConfigState, Nack, ProxyStatus, RolloutWait, TypeStatus
from controller.relay.batch_messages import InvalidUpdate, validate_name

MAX_PROXIES = 20_000
"""Proxies that one update names."""
MAX_TEXT = 4096
"""Characters of what people read, such as a proxy's error message."""
CANNOT_REPORT = "broken responses"
"""What a blind proxy cannot report."""


def edge_message(update: EdgeUpdate) -> pb.Edge:
    """The update as a message."""
    return pb.Edge(
        complete=update.complete,
        proxies=map(proxy_message, update.proxies),
        gone=[pb.Node(node=node, fleet=fleet) for node, fleet in update.gone],
        syncs=[sync_message(service, each) for service, each in update.syncs.items()],
    )


def read_edge(message: pb.Edge) -> EdgeUpdate:
    """The update in the message. `InvalidUpdate` if there is anything wrong with it."""
    if max(len(message.proxies), len(message.gone), len(message.syncs)) > MAX_PROXIES:
        raise InvalidUpdate(f"an update names at most {MAX_PROXIES} proxies or services")
    return EdgeUpdate(
        tuple(map(read_proxy, message.proxies)),
        tuple((each.node, each.fleet) for each in message.gone),
        {validate_name(each.service, "a service"): read_sync(each) for each in message.syncs},
        message.complete,
    )


def proxy_message(proxy: ProxyStatus) -> admin.Proxy:
    """A proxy as a message."""
    message = admin.Proxy(
        node=proxy.node,
        fleet=proxy.fleet,
        client=proxy.client,
        connected_at=proxy.connected_at,
        state=proxy.state,
        types=[
            admin.ProxyType(
                type_url=each.type_url,
                state=each.state,
                wanted=each.wanted,
                acknowledged=each.acknowledged,
                since=each.since,
                error=each.error[:MAX_TEXT],
            )
            for each in proxy.types
        ],
        waits=[admin.ProxyWait(service=w.service, reason=w.reason[:MAX_TEXT], since=w.since) for w in proxy.waits],
        blind=CANNOT_REPORT if proxy.is_blind else "",
        excluded=proxy.excluded[:MAX_TEXT],
        requests=proxy.requests,
        failed=proxy.failed,
        controller=proxy.controller,
        cut_off=proxy.cut_off,
    )
    if last := proxy.last_nack:
        nack = admin.ProxyRefusal(type_url=last.type_url, at=last.at, error=last.error[:MAX_TEXT])
        message.refused.CopyFrom(nack)
    return message


def read_proxy(message: admin.Proxy) -> ProxyStatus:
    """The proxy in the message. `InvalidUpdate` if there is anything wrong with it."""
    refused = message.refused
    return ProxyStatus(
        node=validate_name(message.node, "a proxy"),
        fleet=_text(message.fleet),
        client=_text(message.client),
        connected_at=message.connected_at,
        types=tuple(
            TypeStatus(
                _text(each.type_url),
                _state(each.state),
                _text(each.wanted),
                _text(each.acknowledged),
                each.since,
                _text(each.error),
            )
            for each in message.types
        ),
        state=_state(message.state),
        waits=tuple(RolloutWait(_text(each.service), _text(each.reason), each.since) for each in message.waits),
        last_nack=Nack(_text(refused.type_url), refused.at, _text(refused.error)) if refused.type_url else None,
        is_blind=bool(message.blind),
        excluded=_text(message.excluded),
        requests=message.requests,
        failed=message.failed,
        controller=_text(message.controller),
        cut_off=message.cut_off,
    )


def sync_message(service: str, known: ServiceSync) -> pb.ServiceSync:
    """How far proxies are with a service, as a message."""
    revision, sync = known
    return pb.ServiceSync(
        service=service,
        revision=revision,
        synced=sync.synced,
        total=sync.total,
        nacked=sync.nacked,
        behind=sync.behind,
        blind=sync.blind,
        cut_off=map(cut_off_message, sync.cut_off),
    )


def cut_off_message(cut_off: CutOff) -> pb.CutOff:
    """A controller that the one that decides does not hear of, as a message."""
    return pb.CutOff(**cut_off._asdict())


def read_cut_off(message: pb.CutOff) -> CutOff:
    """The controller in the message. `InvalidUpdate` if it cannot be named."""
    return CutOff(validate_name(message.controller, "a controller"), message.proxies, message.seconds)


def read_sync(message: pb.ServiceSync) -> ServiceSync:
    """The same in the message. `InvalidUpdate` if there is anything wrong with it."""
    if message.synced > message.total:
        raise InvalidUpdate(f"{message.synced} proxies of {message.total} cannot be in sync")
    sync = Sync(
        message.synced,
        message.total,
        nacked=_names(message.nacked),
        behind=_names(message.behind),
        blind=_names(message.blind),
        cut_off=tuple(map(read_cut_off, message.cut_off)),
    )
    return ServiceSync(message.revision, sync)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(validate_name(each, "a proxy") for each in names)


def _state(text: str) -> ConfigState:
    try:
        return ConfigState(text)
    except ValueError:
        raise InvalidUpdate("the state of a proxy is SYNCED, STALE, NOT_SENT or ERROR") from None


def _text(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise InvalidUpdate(f"a text has at most {MAX_TEXT} characters")
    return text
