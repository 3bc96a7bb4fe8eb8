"""What an operator declares about the connections to a version's servers: TLS, health, limits, balance.

Durations are in seconds, shares in 0..1. Files are those of the machine on which Envoy runs.
"""

from typing import Literal

from controller.core.base.value import Value

HTTP1_IDLE_TIMEOUT = 4.0
"""Seconds after which an idle HTTP/1.1 connection is closed unless the version says otherwise: before the server closes
it, which would fail a request that is under way to it. uvicorn waits for five seconds, others for longer."""


class Tls(Value):
    """TLS to the servers. Their certificate must be signed by `ca` and carry one of the names in `san`; without any,
    `sni`.

    `certificate` and `key` are the client certificate. In place of files, `ca_sds` and `certificate_sds` name secrets:
    of `sds_cluster`, a cluster in Envoy's bootstrap that serves SDS, or without one of the bootstrap itself.
    """

    sni: str = ""
    ca: str = ""
    san: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    ca_sds: str = ""
    certificate_sds: str = ""
    sds_cluster: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of which the servers' certificate must carry one."""
        return self.san or (self.sni,)


class HealthCheck(Value):
    """How every proxy asks each endpoint whether it is well. `path` is for HTTP, where 200 means yes."""

    kind: Literal["http", "grpc", "tcp"]
    path: str = ""
    every: float = 5.0
    timeout: float = 1.0
    unhealthy_threshold: int = 2
    healthy_threshold: int = 1


class Outliers(Value):
    """A proxy takes an endpoint out after so many failed requests in a row, for a time that grows each time.

    `floor` is the share of the endpoints that is never taken out.
    """

    consecutive_5xx: int = 5
    ejection_time: float = 30.0
    floor: float = 0.5


class UpstreamLimits(Value):
    """What each proxy keeps open to the version at once; None: as much as there is."""

    connections: int | None = None
    pending: int | None = None
    """Requests that wait for a connection."""
    requests: int | None = None


Balance = Literal["least_request", "round_robin", "ring_hash", "maglev"]


class Upstream(Value):
    """How proxies reach the endpoints of a version."""

    tls: Tls | None = None
    http2: bool | None = None
    """None: as the service's protocol needs."""
    health: HealthCheck | None = None
    outliers: Outliers | None = None
    limits: UpstreamLimits = UpstreamLimits()
    balance: Balance = "least_request"
    slow_start: float = 0.0
    """The time in which the share of an endpoint that joins rises to its own."""
    idle_timeout: float | None = None
    """Of a connection; None: of HTTP/1.1 `HTTP1_IDLE_TIMEOUT`, of HTTP/2 an hour."""
