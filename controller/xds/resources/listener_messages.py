"""Listeners -> Envoy's Listeners, serialised. The messages are in `wire/v1/resources.proto`."""

from collections.abc import Iterable

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BoolValue

from controller.core.model.cluster_names import stats_name
from controller.core.model.envoy_fields import EnvoyMessage
from controller.core.model.route_rules import ListenTls
from controller.core.model.service import Listen
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.access_logs import first_token_logger, stats_loggers
from controller.xds.resources.message_parts import ads, any_of

HTTP_CONNECTIONS = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"


def listener(listen: Listen) -> bytes:
    """A Listener on that address that counts how responses end; its route configuration has its name."""
    return _listener(listen, stats_loggers())


def streaming_listener(listen: Listen) -> bytes:
    """The same, and it times first tokens."""
    return _listener(listen, [*stats_loggers(), first_token_logger()])


def listener_without_loggers(listen: Listen) -> bytes:
    """The same, for an Envoy that does not know the stats access logger."""
    return _listener(listen, [])


def api_listener(service: str) -> bytes:
    """The Listener of `xds:///service` for proxyless gRPC clients."""
    manager = http_connections(proxyless_configuration(service))
    api = pb.ApiListener(api_listener=any_of(HTTP_CONNECTIONS, manager))
    return pb.Listener(name=service, api_listener=api).SerializeToString()


def proxyless_configuration(service: str) -> str:
    """The name of the route configuration that proxyless clients have of a service. With its slash it is never that of
    an operator's own listener, which gets routes that gRPC does not understand."""
    return f"{service}/proxyless"


def http_connections(name: str) -> pb.HttpConnectionManager:
    """An HttpConnectionManager whose route configuration has that name. HTTP/1 and HTTP/2, with TLS or without."""
    router = pb.Filter(name="envoy.filters.http.router", typed_config=any_of(ROUTER, Empty()))
    rds = pb.Rds(config_source=ads(), route_config_name=name)
    return pb.HttpConnectionManager(stat_prefix=stats_name(name), rds=rds, http_filters=[router])


def _listener(listen: Listen, loggers: Iterable[pb.AccessLog]) -> bytes:
    name = str(listen)
    manager = http_connections(name)
    manager.access_log.extend(loggers)
    if listen.access_log:
        manager.access_log.append(_access_log(listen.access_log))
    if listen.use_remote_address:
        manager.use_remote_address.CopyFrom(BoolValue(value=True))
    manager.xff_num_trusted_hops = listen.xff_trusted_hops
    config = any_of(HTTP_CONNECTIONS, manager)
    if listen.http_connection_manager:
        config.value = _envoys_own(listen.http_connection_manager) + config.value
    chain = pb.FilterChain(filters=[pb.Filter(name="http", typed_config=config)])
    address = pb.Address(socket_address=pb.SocketAddress(address=listen.address, port_value=listen.port))
    if listen.tls:
        chain.transport_socket.CopyFrom(_transport_socket(listen.tls))
    return pb.Listener(name=name, address=address, filter_chains=[chain]).SerializeToString()


def _envoys_own(fields: str) -> bytes:
    """They come first: the router must be the last of the filters."""
    from controller.core.servicefile.envoy_messages import encoded  # see there why not above

    return encoded(EnvoyMessage.HTTP_CONNECTION_MANAGER, fields)


def _access_log(target: str) -> pb.AccessLog:
    from controller.xds.resources.listener_options import access_log  # see there why not above

    name, kind, body = access_log(target)
    return pb.AccessLog(name=name, typed_config=Any(type_url=kind, value=body))


def _transport_socket(tls: ListenTls) -> pb.TypedExtension:
    from controller.xds.resources.listener_options import transport_socket

    name, kind, body = transport_socket(tls)
    return pb.TypedExtension(name=name, typed_config=Any(type_url=kind, value=body))
