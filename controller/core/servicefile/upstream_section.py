"""The keys of a version that say how its endpoints are reached: TLS, health, limits, balance."""

from controller.core.base.units import format_duration
from controller.core.model.upstream import HealthCheck, Outliers, Tls, Upstream, UpstreamLimits
from controller.core.servicefile.field_rules import (
    duration_within,
    number_of,
    one_of,
    read_bool,
    read_path,
    read_secret,
    share_within,
)
from controller.core.servicefile.section import Section
from controller.core.servicefile.upstream_rules import (
    read_cluster,
    read_file,
    read_san,
    read_sni,
    read_true,
)

MAX_NAMES = 20
"""Names of which a server's certificate may carry any."""
EVERY = (0.1, 3600.0)
"""Seconds between two health checks."""
TIMEOUT = (0.05, 10.0)
"""Seconds. A new version is not served before its first health check, and nothing after it in the same update."""
THRESHOLD = (1, 100)
EJECTION_TIME = (0.1, 3600.0)
FLOOR = (0.0, 1.0)
LIMIT = (1, 1_000_000)
SLOW_START = (0.1, 3600.0)
IDLE_TIMEOUT = (0.1, 86_400.0)


def read_upstream(section: Section) -> Upstream:
    """How the endpoints of the version in this section are reached."""
    default = Upstream()
    return Upstream(
        tls=_read_tls(section),
        http2=section.value("http2", read_bool, None),
        health=_read_health(section),
        outliers=_read_outliers(section),
        limits=_read_limits(section.section("limits")),
        balance=section.value(
            "balance", one_of("least_request", "round_robin", "ring_hash", "maglev"), default.balance, text=True
        ),
        slow_start=section.value("slow_start", duration_within(*SLOW_START), default.slow_start),
        idle_timeout=section.value("idle_timeout", duration_within(*IDLE_TIMEOUT), None),
    )


def _read_tls(version: Section) -> Tls | None:
    section = version.section("tls")
    if not section.present:
        return None
    tls = Tls(
        sni=section.value("sni", read_sni, "", text=True),
        ca=section.value("ca", read_file, "", text=True),
        san=section.one_or_more("san", read_san, MAX_NAMES),
        certificate=section.value("certificate", read_file, "", text=True),
        key=section.value("key", read_file, "", text=True),
        ca_sds=section.value("ca_sds", read_secret, "", text=True),
        certificate_sds=section.value("certificate_sds", read_secret, "", text=True),
        sds_cluster=section.value("sds_cluster", read_cluster, "", text=True),
    )
    section.close()
    if section.report.is_clean(section.path):
        _check_tls(section, tls)
    return tls


def _check_tls(section: Section, tls: Tls) -> None:
    """Report what is missing or contradicts itself. Envoy trusts any certificate where it is not told which."""

    def report(key: str, message: str) -> None:
        section.report.add(section.path_of(key), message)

    if not tls.ca and not tls.ca_sds:
        report("ca", "is missing: the file of the certificates that sign the servers', or ca_sds for a secret's name")
    if not tls.sni and not tls.san:
        report("sni", "is missing: without it, or san, any server of that authority would do")
    if tls.ca and tls.ca_sds:
        report("ca_sds", "is a file or a secret, not both")
    if tls.certificate_sds and (tls.certificate or tls.key):
        report("certificate_sds", "is files or a secret, not both")
    elif bool(tls.certificate) != bool(tls.key):
        report("certificate" if tls.certificate else "key", "needs certificate and key")
    if tls.sds_cluster and not tls.ca_sds and not tls.certificate_sds:
        report("sds_cluster", "needs ca_sds or certificate_sds")


def _read_health(version: Section) -> HealthCheck | None:
    section = version.section("health")
    if not section.present:
        return None
    path = section.value("http", read_path, "", text=True)
    grpc, tcp = section.value("grpc", read_true, False), section.value("tcp", read_true, False)
    default = HealthCheck(kind="tcp")
    health = HealthCheck(
        kind="http" if path else "grpc" if grpc else "tcp",
        path=path,
        every=section.value("every", duration_within(*EVERY), default.every),
        timeout=section.value("timeout", duration_within(*TIMEOUT), default.timeout),
        unhealthy_threshold=section.value("unhealthy_threshold", number_of(*THRESHOLD), default.unhealthy_threshold),
        healthy_threshold=section.value("healthy_threshold", number_of(*THRESHOLD), default.healthy_threshold),
    )
    section.close()
    if section.report.is_clean(section.path):
        if bool(path) + grpc + tcp != 1:
            section.report.add(section.path, "one of http: PATH, grpc: true and tcp: true is needed")
        if health.timeout > health.every:
            message = f"is longer than the {format_duration(health.every)} between two checks"
            section.report.add(section.path_of("timeout"), message)
    return health


def _read_outliers(version: Section) -> Outliers | None:
    section = version.section("outliers")
    default = Outliers()
    outliers = Outliers(
        consecutive_5xx=section.value("consecutive_5xx", number_of(*THRESHOLD), default.consecutive_5xx),
        ejection_time=section.value("ejection_time", duration_within(*EJECTION_TIME), default.ejection_time),
        floor=section.value("floor", share_within(*FLOOR), default.floor),
    )
    section.close()
    return outliers if section.present else None


def _read_limits(section: Section) -> UpstreamLimits:
    limits = UpstreamLimits(
        connections=section.value("connections", number_of(*LIMIT), None),
        pending=section.value("pending", number_of(*LIMIT), None),
        requests=section.value("requests", number_of(*LIMIT), None),
    )
    section.close()
    return limits
