"""Envoy's listeners are what envoy-data-plane would have written."""

import pytest
from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
    HeaderFilter,
    OrFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    DataSource,
    RuntimeUInt32,
    SocketAddress,
)
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
)
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import Config, ConfigCounter, ConfigStat, ConfigTag
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StderrAccessLog, StdoutAccessLog
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CommonTlsContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    TlsCertificate,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import Scope
from envoy_data_plane.google.protobuf import Any

from controller.core.model.route_rules import ListenTls
from controller.core.model.service import Listen
from controller.xds.resources import listener_messages

pytestmark = pytest.mark.proves("xds-rule 32")

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def http(name: str, stats: str = "") -> Any:
    """An HttpConnectionManager as ours is put together."""
    router = HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(Router()))
    rds = Rds(route_config_name=name, config_source=ADS)
    whole = HttpConnectionManager(stat_prefix=stats or name, rds=rds, http_filters=[router])
    assert HttpConnectionManager.parse(listener_messages.http_connections(name).SerializeToString()) == whole
    return Any.pack(whole)


def manager(listener: Listener) -> HttpConnectionManager:
    """What the only filter of a listener is told."""
    ((only,),) = [chain.filters for chain in listener.filter_chains]
    assert only.typed_config
    assert only.typed_config.type_url == f"type.googleapis.com/{listener_messages.HTTP_CONNECTIONS}"
    return HttpConnectionManager.parse(only.typed_config.value)


def test_a_listener_requests_the_route_configuration_of_its_name() -> None:
    """For proxies named after its address, for proxyless clients after the service."""
    made = Listener.parse(listener_messages.listener_without_loggers(Listen(address="::1", port=10000)))
    address = Address(socket_address=SocketAddress(address="::1", port_value=10000))
    assert (made.name, made.address) == ("[::1]:10000", address)
    assert manager(made) == HttpConnectionManager.parse(http("[::1]:10000").value)
    api = Listener.parse(listener_messages.api_listener("fraud.eu"))
    assert api.api_listener
    assert api.api_listener.api_listener
    assert HttpConnectionManager.parse(api.api_listener.api_listener.value) == HttpConnectionManager.parse(
        http("fraud.eu/proxyless", "fraud=eu/proxyless").value
    )


def counter_of(name: str) -> Config:
    """A stats access logger's configuration, with one counter, as envoy-data-plane writes it."""
    tags = [
        ConfigTag(name="cluster", value_format="%UPSTREAM_CLUSTER%"),
        ConfigTag(name="flags", value_format="%RESPONSE_FLAGS%"),
    ]
    counter = ConfigCounter(stat=ConfigStat(name=name, tags=tags), value_fixed=1)
    return Config(stats_scope=Scope(prefix="haldane", max_counters=10_000), counters=[counter])


def parsed(logger: AccessLog) -> tuple[str, AccessLogFilter | None, Config]:
    """The name of a stats access logger, what it counts, and how."""
    assert logger.typed_config
    assert logger.typed_config.type_url == "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
    return logger.name, logger.filter, Config.parse(logger.typed_config.value)


def every(*filters: AccessLogFilter) -> AccessLogFilter:
    """All of them."""
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def either(*filters: AccessLogFilter) -> AccessLogFilter:
    """One of them."""
    return AccessLogFilter(or_filter=OrFilter(filters=list(filters)))


def flagged(*flags: str) -> AccessLogFilter:
    """One of these response flags."""
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def code(op: ComparisonFilterOp, status: int) -> AccessLogFilter:
    """The status of the response."""
    value = RuntimeUInt32(default_value=status, runtime_key="haldane.none")
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=op, value=value)))


def grpc(wanted: bool) -> AccessLogFilter:
    """A call of gRPC, or anything else."""
    matcher = HeaderMatcher(
        name="content-type",
        string_match=StringMatcher(safe_regex=RegexMatcher(regex=r"application/grpc(\+.*)?")),
        invert_match=not wanted,
        treat_missing_header_as_empty=True,
    )
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def test_a_proxys_listener_counts_how_responses_end() -> None:
    """Bad ends after the headers that LRS counts as successes; and those that it does not count."""
    gone, broken = ("DC", "DR", "DPE"), ("UPE", "UR", "UC", "LR", "UT", "UMSDR", "DT", "SI", "OM")
    answered = every(code(ComparisonFilterOp.GE, 200), code(ComparisonFilterOp.LE, 399))
    no_status = AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=[GrpcStatusFilterStatus.UNKNOWN]))
    unreported = either(
        every(flagged(*gone), either(code(ComparisonFilterOp.EQ, 0), grpc(True))),
        every(flagged("SI"), either(code(ComparisonFilterOp.EQ, 504), grpc(True))),
        every(flagged("UT", "UMSDR", "DT"), grpc(True), no_status),
    )
    made = manager(Listener.parse(listener_messages.listener(Listen(port=1))))
    stats = "envoy.access_loggers.stats"
    assert [parsed(each) for each in made.access_log] == [
        (stats, every(flagged(*broken, *gone), answered, grpc(False)), counter_of("reported_ok")),
        (stats, unreported, counter_of("unreported")),
    ]


def test_a_listener_has_what_its_service_asks_for() -> None:
    """TLS by files or by a secret of Envoy's, a log beside the stats, and whose address is trusted."""
    files = ListenTls(certificate="/tls/crt", key="/tls/key")
    listen = Listen(port=1, tls=files, access_log="/log", use_remote_address=True, xff_trusted_hops=2)
    made = Listener.parse(listener_messages.listener(listen))
    told = manager(made)
    assert (told.use_remote_address, told.xff_num_trusted_hops) == (True, 2)
    log = told.access_log[-1]
    assert log.typed_config
    assert (len(told.access_log), FileAccessLog.parse(log.typed_config.value).path) == (3, "/log")
    assert tls_of(made).tls_certificates == [
        TlsCertificate(certificate_chain=DataSource(filename="/tls/crt"), private_key=DataSource(filename="/tls/key"))
    ]
    secret = Listener.parse(listener_messages.listener(Listen(port=1, tls=ListenTls(sds="mine"))))
    assert tls_of(secret).tls_certificate_sds_secret_configs == [SdsSecretConfig(name="mine")]


@pytest.mark.parametrize(("target", "kind"), [("stdout", StdoutAccessLog), ("stderr", StderrAccessLog)])
def test_the_access_log_of_a_container(target: str, kind: type[StdoutAccessLog | StderrAccessLog]) -> None:
    """It goes where a container's log is read."""
    (log,) = manager(
        Listener.parse(listener_messages.listener_without_loggers(Listen(port=1, access_log=target)))
    ).access_log
    assert log.typed_config
    assert log.typed_config.type_url.endswith(kind.__name__)
    assert kind.parse(log.typed_config.value).log_format


def tls_of(listener: Listener) -> CommonTlsContext:
    """What a listener's TLS is made of."""
    (chain,) = listener.filter_chains
    assert chain.transport_socket
    assert chain.transport_socket.typed_config
    context = DownstreamTlsContext.parse(chain.transport_socket.typed_config.value)
    assert context.common_tls_context
    assert context.common_tls_context.alpn_protocols == ["h2", "http/1.1"]
    return context.common_tls_context
