"""Clusters and endpoints: what is put together from pieces is what envoy-data-plane would have written whole."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
    LoadBalancingPolicy,
    LoadBalancingPolicyPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiConfigSource,
    ApiConfigSourceApiType,
    ApiVersion,
    ConfigSource,
    DataSource,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    HealthCheckHttpHealthCheck,
    HealthCheckTcpHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    Locality,
    Pipe,
    SelfConfigSource,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.core.v3 import HttpProtocolOptions as CommonHttp
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy_data_plane.envoy.extensions.load_balancing_policies.common.v3 import SlowStartConfig
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import LeastRequest
from envoy_data_plane.envoy.extensions.load_balancing_policies.maglev.v3 import Maglev
from envoy_data_plane.envoy.extensions.load_balancing_policies.ring_hash.v3 import RingHash
from envoy_data_plane.envoy.extensions.load_balancing_policies.round_robin.v3 import RoundRobin
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    SdsSecretConfig,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    TlsParameters,
    TlsParametersTlsProtocol,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import CodecClientType, Percent
from envoy_data_plane.google.protobuf import Any

from controller.core.model import service
from controller.core.model.upstream import HealthCheck as Health
from controller.core.model.upstream import Outliers, Tls, Upstream, UpstreamLimits
from controller.core.routing import routing
from controller.xds.resources import cluster_messages, cluster_templates
from tests.xds.views import endpoint

pytestmark = pytest.mark.proves("xds-rule 32")

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
PLAIN = Upstream()
MANY = 1_000_000_000
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def of(name: str, *places: str, upstream: Upstream = PLAIN) -> routing.Cluster:
    """A cluster with these endpoints."""
    return routing.Cluster(name, upstream, tuple(map(endpoint, places)))


def made(upstream: Upstream, make: Callable[[routing.Cluster], bytes] = cluster_messages.cluster) -> Cluster:
    """A cluster that is reached so, as envoy-data-plane reads it."""
    return Cluster.parse(make(of("fraud/v1", "127.0.0.1:9001", upstream=upstream)))


def server(host: str, port: int, weight: int | None = None) -> LbEndpoint:
    """An endpoint as envoy-data-plane writes it."""
    address = Address(socket_address=SocketAddress(address=host, port_value=port))
    return LbEndpoint(endpoint=Endpoint(address=address), load_balancing_weight=weight)


def endpoints(name: str, *places: tuple[str, int]) -> ClusterLoadAssignment:
    """A ClusterLoadAssignment as envoy-data-plane writes it."""
    servers = [server(*place) for place in places]
    group = LocalityLbEndpoints(locality=Locality(), load_balancing_weight=len(places), lb_endpoints=servers)
    return ClusterLoadAssignment(cluster_name=name, endpoints=[group])


def policies(*messages: tuple[str, object]) -> LoadBalancingPolicy:
    """A LoadBalancingPolicy as envoy-data-plane writes it."""
    configs = [
        TypedExtensionConfig(name=f"envoy.load_balancing_policies.{name}", typed_config=Any.pack(message))  # type: ignore[arg-type]
        for name, message in messages
    ]
    return LoadBalancingPolicy(policies=[LoadBalancingPolicyPolicy(typed_extension_config=c) for c in configs])


def protocol(version: int = 1, idle: float | None = 4.0) -> dict[str, Any]:
    """The protocol options of a cluster as envoy-data-plane writes them."""
    explicit = HttpProtocolOptionsExplicitHttpConfig()
    if version == 1:
        explicit.http_protocol_options = Http1ProtocolOptions()
    else:
        explicit.http2_protocol_options = Http2ProtocolOptions()
    common = CommonHttp(idle_timeout=timedelta(seconds=idle)) if idle else None
    return {HTTP: Any.pack(HttpProtocolOptions(common_http_protocol_options=common, explicit_http_config=explicit))}


def expected(name: str, stats: str, **kind: object) -> Cluster:
    """A Cluster as envoy-data-plane writes it."""
    breaker = CircuitBreakersThresholds(
        max_connections=MANY, max_pending_requests=MANY, max_requests=MANY, max_retries=MANY
    )
    defaults = {
        "typed_extension_protocol_options": protocol(),
        "load_balancing_policy": policies(("least_request", LeastRequest()), ("round_robin", RoundRobin())),
    }
    return Cluster(
        name=name,
        alt_stat_name=stats,
        connect_timeout=timedelta(seconds=1),
        circuit_breakers=CircuitBreakers(thresholds=[breaker]),
        lrs_server=ConfigSource(self=SelfConfigSource(), resource_api_version=ApiVersion.V3),
        **(defaults | kind),  # type: ignore[arg-type]
    )


def test_addresses_come_by_eds() -> None:
    """With the statistics' name free of dots, which cut names there."""
    value = of("fraud/v2.1", "127.0.0.1:9001", "[::1]:9002")
    assert Cluster.parse(cluster_messages.cluster(value)) == expected(
        "fraud/v2.1",
        "fraud/v2=1",
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS),
    )
    assigned = ClusterLoadAssignment.parse(cluster_messages.load_assignment(value))
    assert assigned == endpoints("fraud/v2.1", ("127.0.0.1", 9001), ("::1", 9002))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (cluster_messages.cluster, ClusterDiscoveryType.STRICT_DNS),
        (cluster_messages.proxyless_cluster, ClusterDiscoveryType.LOGICAL_DNS),
    ],
    ids=["envoy", "proxyless"],
)
def test_host_names_are_inline_and_resolved_by_the_client(
    make: Callable[[routing.Cluster], bytes], kind: ClusterDiscoveryType
) -> None:
    """Also beside addresses; gRPC models are spoken to by HTTP/2, whose servers say when a connection ends."""
    value = of("fraud/v1", "model.internal:9001", "127.0.0.1:9002", upstream=Upstream(http2=True))
    assert Cluster.parse(make(value)) == expected(
        "fraud/v1",
        "fraud/v1",
        type=kind,
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        wait_for_warm_on_init=False,
        load_assignment=endpoints("fraud/v1", ("model.internal", 9001), ("127.0.0.1", 9002)),
        typed_extension_protocol_options=protocol(2, None),
    )


def test_endpoints_have_weights_and_zones() -> None:
    """A locality for each zone, of the weight of its endpoints; a Unix socket is an address like any other."""
    value = routing.Cluster(
        "fraud/v1",
        Upstream(),
        (
            service.Endpoint(host="10.0.0.1", port=1, zone="a"),
            service.Endpoint(path="/run/model.sock", weight=3),
            service.Endpoint(host="10.0.0.2", port=2, zone="a", weight=2),
        ),
    )
    assert cluster_messages.uses_eds(value)
    socket = LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path="/run/model.sock"))), load_balancing_weight=3)
    groups = [
        LocalityLbEndpoints(
            locality=Locality(zone="a"),
            load_balancing_weight=3,
            lb_endpoints=[server("10.0.0.1", 1), server("10.0.0.2", 2, 2)],
        ),
        LocalityLbEndpoints(locality=Locality(), load_balancing_weight=3, lb_endpoints=[socket]),
    ]
    assigned = ClusterLoadAssignment.parse(cluster_messages.load_assignment(value))
    assert assigned == ClusterLoadAssignment(cluster_name="fraud/v1", endpoints=groups)


def validation(names: list[SubjectAltNameMatcher], **ca: object) -> CertificateValidationContext:
    """What a server's certificate must be, as envoy-data-plane writes it."""
    return CertificateValidationContext(match_typed_subject_alt_names=names, **ca)  # type: ignore[arg-type]


def san(kind: str, name: str) -> SubjectAltNameMatcher:
    """A name of a certificate as envoy-data-plane writes it."""
    return SubjectAltNameMatcher(san_type=SubjectAltNameMatcherSanType[kind], matcher=StringMatcher(exact=name))


def tls_of(upstream: Upstream) -> UpstreamTlsContext:
    """The TLS of a cluster that is reached so. Fields inside an Any may come in any order."""
    socket = made(upstream).transport_socket
    assert socket
    assert socket.typed_config
    assert (socket.name, socket.typed_config.type_url) == ("envoy.transport_sockets.tls", TLS)
    return UpstreamTlsContext.parse(socket.typed_config.value)


def context_of(sni: str = "", **common: object) -> UpstreamTlsContext:
    """A TLS context as envoy-data-plane writes it."""
    versions = TlsParameters(
        tls_minimum_protocol_version=TlsParametersTlsProtocol.TLSv1_2,
        tls_maximum_protocol_version=TlsParametersTlsProtocol.TLSv1_3,
    )
    context = CommonTlsContext(tls_params=versions, **common)  # type: ignore[arg-type]
    return UpstreamTlsContext(common_tls_context=context, sni=sni)


def test_tls_by_files() -> None:
    """The server's certificate must carry the name that was asked for; the client shows its own."""
    tls = Tls(sni="model.internal", ca="/etc/ca.pem", certificate="/etc/tls.crt", key="/etc/tls.key")
    assert tls_of(Upstream(tls=tls)) == context_of(
        sni="model.internal",
        alpn_protocols=["http/1.1"],
        validation_context=validation([san("DNS", "model.internal")], trusted_ca=DataSource(filename="/etc/ca.pem")),
        tls_certificates=[
            TlsCertificate(
                certificate_chain=DataSource(filename="/etc/tls.crt"), private_key=DataSource(filename="/etc/tls.key")
            )
        ],
    )


@pytest.mark.parametrize("cluster", ["", "spire"])
def test_tls_by_secrets(cluster: str) -> None:
    """Of the bootstrap, or of a cluster that serves SDS; every kind of name in its own type."""
    names = ("spiffe://prod/model", "10.0.0.1", "model.internal")
    tls = Tls(san=names, ca_sds="ROOTCA", certificate_sds="default", sds_cluster=cluster)
    spire = ConfigSource(
        api_config_source=ApiConfigSource(
            api_type=ApiConfigSourceApiType.GRPC,
            transport_api_version=ApiVersion.V3,
            grpc_services=[GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name="spire"))],
        ),
        resource_api_version=ApiVersion.V3,
    )
    source = spire if cluster else None
    types = [san("URI", names[0]), san("IP_ADDRESS", names[1]), san("DNS", names[2])]
    assert tls_of(Upstream(tls=tls, http2=True)) == context_of(
        alpn_protocols=["h2"],
        combined_validation_context=CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=validation(types),
            validation_context_sds_secret_config=SdsSecretConfig(name="ROOTCA", sds_config=source),
        ),
        tls_certificate_sds_secret_configs=[SdsSecretConfig(name="default", sds_config=source)],
    )


def test_a_proxyless_client_has_tls_by_its_channel() -> None:
    """gRPC rejects a cluster with Envoy's kind of TLS."""
    secure = Upstream(tls=Tls(sni="a", ca="/ca"))
    assert cluster_messages.differs_for_proxyless(of("fraud/v1", "127.0.0.1:1", upstream=secure))
    assert made(secure, cluster_messages.proxyless_cluster) == made(Upstream())


CHECKS: dict[str, tuple[Health, dict[str, object]]] = {
    "http": (
        Health(kind="http", path="/v2/health/ready"),
        {
            "http_health_check": HealthCheckHttpHealthCheck(
                host="haldane", path="/v2/health/ready", codec_client_type=CodecClientType.HTTP1
            )
        },
    ),
    "grpc": (Health(kind="grpc"), {"grpc_health_check": HealthCheckGrpcHealthCheck(authority="haldane")}),
    "tcp": (Health(kind="tcp"), {"tcp_health_check": HealthCheckTcpHealthCheck()}),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_health_checks(kind: str) -> None:
    """Also while there is no traffic; all endpoints are tried only if none of a hundred is healthy."""
    health, check = CHECKS[kind]
    cluster = made(Upstream(health=health))
    assert cluster.health_checks == [
        HealthCheck(
            timeout=timedelta(seconds=1),
            interval=timedelta(seconds=5),
            no_traffic_interval=timedelta(seconds=5),
            interval_jitter_percent=10,
            unhealthy_threshold=2,
            healthy_threshold=1,
            reuse_connection=False,
            **check,  # type: ignore[arg-type]
        )
    ]
    assert cluster.common_lb_config == ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=1.0))
    assert cluster.ignore_health_on_host_removal


def test_an_http_check_speaks_as_requests_do() -> None:
    """HTTP/2 to a server of HTTP/2, and the name of the certificate as the host."""
    health = Health(kind="http", path="/up")
    (check,) = made(Upstream(http2=True, tls=Tls(sni="model.internal", ca="/ca"), health=health)).health_checks
    assert check.http_health_check == HealthCheckHttpHealthCheck(
        host="model.internal", path="/up", codec_client_type=CodecClientType.HTTP2
    )


def test_outliers_leave_a_floor() -> None:
    """A health check that passes does not bring an endpoint back that fails its requests."""
    outliers = Outliers(consecutive_5xx=3, ejection_time=10.0, floor=0.7)
    assert made(Upstream(outliers=outliers)).outlier_detection == OutlierDetection(
        consecutive_5xx=3,
        interval=timedelta(seconds=1),
        base_ejection_time=timedelta(seconds=10),
        max_ejection_percent=30,
        enforcing_success_rate=0,
        successful_active_health_check_uneject_host=False,
    )


def test_limits() -> None:
    """What is not limited stays open."""
    (limits,) = made(Upstream(limits=UpstreamLimits(connections=1, pending=2, requests=3))).circuit_breakers.thresholds  # type: ignore[union-attr]
    assert limits == CircuitBreakersThresholds(
        max_connections=1, max_pending_requests=2, max_requests=3, max_retries=MANY
    )


def test_balance_and_slow_start() -> None:
    """gRPC, which knows few policies, falls back to round robin."""
    slow = SlowStartConfig(slow_start_window=timedelta(seconds=30))
    robin = ("round_robin", RoundRobin())
    assert made(Upstream(balance="round_robin")).load_balancing_policy == policies(robin)
    assert made(Upstream(balance="ring_hash")).load_balancing_policy == policies(("ring_hash", RingHash()), robin)
    assert made(Upstream(balance="maglev")).load_balancing_policy == policies(("maglev", Maglev()), robin)
    assert made(Upstream(slow_start=30.0)).load_balancing_policy == policies(
        ("least_request", LeastRequest(slow_start_config=slow)), ("round_robin", RoundRobin(slow_start_config=slow))
    )


@pytest.mark.parametrize(("http2", "idle", "meant"), [(False, 60.0, 60.0), (True, 60.0, 60.0), (True, None, None)])
def test_the_idle_timeout_of_connections(http2: bool, idle: float | None, meant: float | None) -> None:
    """As declared, or as right for the protocol."""
    options = made(Upstream(http2=http2, idle_timeout=idle)).typed_extension_protocol_options
    assert options == protocol(2 if http2 else 1, meant)


def test_services_that_agree_share_a_template() -> None:
    """A thousand services that are reached alike cost the building of one message."""
    cluster_templates.cluster.cache_clear()
    for number in range(1000):
        cluster_messages.cluster(of(f"s{number}/v1", "127.0.0.1:1", upstream=Upstream(slow_start=5.0)))
    assert cluster_templates.cluster.cache_info().misses == 1
