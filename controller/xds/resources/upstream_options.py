"""How a cluster's endpoints are reached, as the parts of Envoy's Cluster: TLS, health checks, balance, limits."""

from datetime import timedelta
from ipaddress import ip_address

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from controller.core.model.upstream import (
    HTTP1_IDLE_TIMEOUT,
    Balance,
    HealthCheck,
    Outliers,
    Tls,
    Upstream,
    UpstreamLimits,
)
from controller.pb.haldane.wire.v1 import clusters_pb2 as pb
from controller.pb.haldane.wire.v1 import resources_pb2
from controller.xds.resources.message_parts import any_of

NO_BREAKER = 1_000_000_000
"""Envoy's circuit breakers open at 1024 by default. A breaker that opens on one version alone would be read as harm by
that version, and clients would pay for it: the timeout and the judge bound a slow version instead."""

HTTP_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
UPSTREAM_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
POLICIES: dict[Balance, tuple[str, type[Message]]] = {
    "least_request": ("least_request.v3.LeastRequest", pb.LeastRequest),
    "round_robin": ("round_robin.v3.RoundRobin", pb.RoundRobin),
    "ring_hash": ("ring_hash.v3.RingHash", Empty),
    "maglev": ("maglev.v3.Maglev", Empty),
}
PANIC = 1.0
"""Percent of healthy endpoints below which Envoy tries all of them, as if health were unknown. Its own default of 50
sends most requests to dead endpoints where more than half are dead; at 0 a mistaken health check, or the first check of
new endpoints, fails every request."""
JITTER = 10
"""Percent by which the time between two health checks varies, so that proxies do not ask all at once."""
HEALTH_HOST = "haldane"
"""The host that health checks name where there is no TLS. Envoy would name the cluster, which has a slash."""
RETURN_INTERVAL = timedelta(seconds=1)
"""How often a proxy looks whether an endpoint that it took out may return."""
DNS, URI, ADDRESS = pb.SubjectAltNameMatcher.DNS, pb.SubjectAltNameMatcher.URI, pb.SubjectAltNameMatcher.IP_ADDRESS


def set_upstream(cluster: pb.Cluster, upstream: Upstream) -> None:
    """Set everything in a Cluster that follows from how its endpoints are reached."""
    cluster.circuit_breakers.CopyFrom(pb.CircuitBreakers(thresholds=[_thresholds(upstream.limits)]))
    cluster.load_balancing_policy.CopyFrom(_load_balancing_policy(upstream))
    cluster.typed_extension_protocol_options[HTTP_PROTOCOL].CopyFrom(any_of(HTTP_PROTOCOL, _protocol(upstream)))
    if upstream.tls:
        tls = any_of(UPSTREAM_TLS, _tls_context(upstream.tls, http2=bool(upstream.http2)))
        cluster.transport_socket.CopyFrom(pb.TransportSocket(name="envoy.transport_sockets.tls", typed_config=tls))
    if upstream.health:
        cluster.health_checks.append(_health_check(upstream.health, upstream))
    if upstream.outliers:
        cluster.outlier_detection.CopyFrom(_outlier_detection(upstream.outliers))
    if upstream.health or upstream.outliers:
        cluster.common_lb_config.healthy_panic_threshold.value = PANIC
        # An endpoint that is no longer declared gets no more requests, though it is well.
        cluster.ignore_health_on_host_removal = True


def _thresholds(limits: UpstreamLimits) -> pb.Thresholds:
    return pb.Thresholds(
        max_connections=_number(limits.connections or NO_BREAKER),
        max_pending_requests=_number(limits.pending or NO_BREAKER),
        max_requests=_number(limits.requests or NO_BREAKER),
        max_retries=_number(NO_BREAKER),
    )


def _load_balancing_policy(upstream: Upstream) -> pb.LoadBalancingPolicy:
    """The policy, then round robin: a client uses the first that it knows, and gRPC knows few."""
    wanted: dict[Balance, None] = dict.fromkeys((upstream.balance, "round_robin"))
    return pb.LoadBalancingPolicy(policies=[_policy(balance, upstream.slow_start) for balance in wanted])


def _policy(balance: Balance, slow_start: float) -> pb.LoadBalancingPolicy.Policy:
    kind, message = POLICIES[balance]
    options = message()
    if slow_start and isinstance(options, pb.LeastRequest | pb.RoundRobin):
        options.slow_start_config.slow_start_window.FromTimedelta(timedelta(seconds=slow_start))
    config = pb.TypedExtensionConfig(
        name=f"envoy.load_balancing_policies.{balance}",
        typed_config=any_of(f"envoy.extensions.load_balancing_policies.{kind}", options),
    )
    return pb.LoadBalancingPolicy.Policy(typed_extension_config=config)


def _protocol(upstream: Upstream) -> pb.HttpProtocolOptions:
    options = pb.HttpProtocolOptions()
    if upstream.http2:
        options.explicit_http_config.http2_protocol_options.SetInParent()
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    idle = upstream.idle_timeout or (None if upstream.http2 else HTTP1_IDLE_TIMEOUT)
    if idle:
        options.common_http_protocol_options.idle_timeout.FromTimedelta(timedelta(seconds=idle))
    return options


def _health_check(health: HealthCheck, upstream: Upstream) -> pb.HealthCheck:
    every = timedelta(seconds=health.every)
    check = pb.HealthCheck(
        timeout=timedelta(seconds=health.timeout),
        interval=every,
        # Envoy would ask once a minute while there is no traffic, and a canary has none before its first step.
        no_traffic_interval=every,
        interval_jitter_percent=JITTER,
        unhealthy_threshold=_number(health.unhealthy_threshold),
        healthy_threshold=_number(health.healthy_threshold),
        # A server that closes an idle connection just then would count as down.
        reuse_connection=BoolValue(value=False),
    )
    host = (upstream.tls.sni if upstream.tls else "") or HEALTH_HOST
    if health.kind == "http":
        codec = pb.HttpHealthCheck.HTTP2 if upstream.http2 else pb.HttpHealthCheck.HTTP1
        check.http_health_check.CopyFrom(pb.HttpHealthCheck(host=host, path=health.path, codec_client_type=codec))
    elif health.kind == "grpc":
        check.grpc_health_check.CopyFrom(pb.GrpcHealthCheck(authority=host))
    else:
        check.tcp_health_check.SetInParent()
    return check


def _outlier_detection(outliers: Outliers) -> pb.OutlierDetection:
    return pb.OutlierDetection(
        consecutive_5xx=_number(outliers.consecutive_5xx),
        interval=RETURN_INTERVAL,
        base_ejection_time=timedelta(seconds=outliers.ejection_time),
        max_ejection_percent=_number(round(100 * (1 - outliers.floor))),
        # One rule that can be foretold: failures in a row.
        enforcing_success_rate=_number(0),
        # An endpoint can pass its health checks and fail its requests.
        successful_active_health_check_uneject_host=BoolValue(value=False),
    )


def _tls_context(tls: Tls, *, http2: bool) -> pb.UpstreamTlsContext:
    versions = pb.TlsParameters
    common = pb.CommonTlsContext(
        # Envoy's own default for a client ends at TLS 1.2.
        tls_params=versions(
            tls_minimum_protocol_version=versions.TLSv1_2, tls_maximum_protocol_version=versions.TLSv1_3
        ),
        alpn_protocols=["h2" if http2 else "http/1.1"],
    )
    validation = pb.CertificateValidationContext(match_typed_subject_alt_names=map(_name_matcher, tls.names))
    if tls.ca_sds:
        common.combined_validation_context.default_validation_context.CopyFrom(validation)
        common.combined_validation_context.validation_context_sds_secret_config.CopyFrom(_secret(tls, tls.ca_sds))
    else:
        validation.trusted_ca.filename = tls.ca
        common.validation_context.CopyFrom(validation)
    if tls.certificate_sds:
        common.tls_certificate_sds_secret_configs.append(_secret(tls, tls.certificate_sds))
    elif tls.certificate:
        files = pb.FileSource(filename=tls.certificate), pb.FileSource(filename=tls.key)
        common.tls_certificates.append(pb.TlsCertificate(certificate_chain=files[0], private_key=files[1]))
    return pb.UpstreamTlsContext(common_tls_context=common, sni=tls.sni)


def _name_matcher(name: str) -> pb.SubjectAltNameMatcher:
    return pb.SubjectAltNameMatcher(san_type=_san_type(name), matcher=pb.ExactMatcher(exact=name))


def _san_type(name: str) -> pb.SubjectAltNameMatcher.SanType:
    if "://" in name:
        return URI
    try:
        ip_address(name)
    except ValueError:
        return DNS
    return ADDRESS


def _secret(tls: Tls, name: str) -> pb.SdsSecretConfig:
    """A secret of the SDS cluster; without one, Envoy looks in its bootstrap."""
    if not tls.sds_cluster:
        return pb.SdsSecretConfig(name=name)
    source = resources_pb2.ApiConfigSource(
        api_type=resources_pb2.ApiConfigSource.GRPC,
        transport_api_version=resources_pb2.ConfigSource.V3,
        grpc_services=[
            resources_pb2.GrpcService(envoy_grpc=resources_pb2.EnvoyGrpc(cluster_name=tls.sds_cluster)),
        ],
    )
    config = resources_pb2.ConfigSource(api_config_source=source, resource_api_version=resources_pb2.ConfigSource.V3)
    return pb.SdsSecretConfig(name=name, sds_config=config)


def _number(value: int) -> UInt32Value:
    return UInt32Value(value=value)
