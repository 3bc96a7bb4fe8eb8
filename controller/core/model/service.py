"""What an operator declares: a service, its versions, and the policy by which a new version is judged.

All values are frozen and in the program's units: seconds, shares in 0..1, weights in basis points.
`core.servicefile` turns the text of a service file into these.
"""

from ipaddress import ip_address
from typing import Literal

from controller.core.base.identity_cache import by_identity
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.base.value import Value
from controller.core.model.endpoint_source import EndpointSource
from controller.core.model.envoy_fields import EnvoyFields
from controller.core.model.route_rules import ListenTls, MatchRule, Mirror, PathMatch, RequestHeaders, Retries, Sticky
from controller.core.model.upstream import Upstream


class Endpoint(Value):
    """One address of a version's servers: `host`, an IP address or a DNS name, and `port`; or the `path` of a Unix
    socket.

    `weight` is its share of the requests relative to the other endpoints; `zone` is where it stands.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    weight: int = 1
    zone: str = ""

    @property
    def is_address(self) -> bool:
        """Whether nothing has to be resolved: `host` is an IP address, or it is a Unix socket."""
        try:
            return bool(self.path) or bool(ip_address(self.host))
        except ValueError:
            return False

    def __str__(self) -> str:
        """The address alone, which no two endpoints share."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@by_identity
def all_addresses(endpoints: tuple[Endpoint, ...]) -> bool:
    """Whether none has to be resolved. A version's endpoints stay the same object while its traffic moves: they are
    parsed once."""
    return all(endpoint.is_address for endpoint in endpoints)


class Version(Value):
    """One version of the model: a name, the endpoints that serve it and how to reach them; or else the name of a
    cluster that Envoy has already.

    With a `source` the endpoints are what that says now, and `endpoints` is empty.
    """

    name: str
    endpoints: tuple[Endpoint, ...] = ()
    source: EndpointSource | None = None
    upstream: Upstream = Upstream()
    cluster: str = ""

    @property
    def has_servers(self) -> bool:
        """Whether requests can go there: it has endpoints or a source of them, or a cluster of the operator's own."""
        return bool(self.endpoints or self.source or self.cluster)


class Listen(Value):
    """Where and how Envoy listens for the service. Services that share an address share all of this."""

    address: str = "127.0.0.1"
    port: int
    tls: ListenTls | None = None
    access_log: str = ""
    """Where Envoy writes a line of JSON for each request: "stdout", "stderr" or a file's path; empty: nowhere."""
    use_remote_address: bool = False
    """Whether Envoy is the first proxy: it takes the address of the connection for the client's, and appends it to
    `x-forwarded-for`."""
    xff_trusted_hops: int = 0
    """The proxies in front of Envoy whose entries of `x-forwarded-for` are trusted."""
    http_connection_manager: str = ""
    """Envoy's own fields of it, as JSON: see `EnvoyFields`."""

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class ErrorPolicy(Value):
    """Harm: the canary's error rate is above `ratio` x stable's + `margin`. `max`: an absolute limit (share)."""

    margin: float = 0.001
    ratio: float = 1.1
    max: float | None = None


class LatencyPolicy(Value):
    """Harm: the canary is slower than stable by more than `tolerance`, its first token comes later than stable's by
    more than `ttft_tolerance`; None: that time is not judged. `p99`: an absolute limit in seconds."""

    tolerance: float | None = 0.10
    ttft_tolerance: float | None = None
    p99: float | None = None


class MetricPolicy(Value):
    """A custom metric that the controller's settings define. `margin`: how much worse than stable is allowed, for a
    rate in points, for a gauge as a share of stable's value. `max` and `min`: absolute limits of the canary's value, of
    a rate as shares."""

    name: str
    margin: float = 0.01
    max: float | None = None
    min: float | None = None


class Shadow(Value):
    """The step before the first weight: the canary gets copies of a share of stable's requests (basis points), and no
    client has its responses; at least for `dwell` seconds."""

    dwell: float
    share: int = 1000

    @property
    def equivalent_weight(self) -> int:
        """The weight at which the canary would have as many requests beside stable's as it has copies, in basis points.

        Copies leave stable's requests where they are: of n requests stable has n and the canary share * n.
        """
        return max(1, round(TOTAL_WEIGHT * self.share / (TOTAL_WEIGHT + self.share)))


class Policy(Value):
    """By which evidence traffic moves. The defaults are those of the reference service file."""

    steps: tuple[int, ...] = (500, 1000, 2500, 5000)
    """The canary's weight at each step, in basis points; after the last comes promotion. The shadow step's is 0."""
    shadow: Shadow | None = None
    """The first of the steps, if it is a shadow step."""
    dwell: float = 60.0
    warmup: float = 60.0
    patience: float = 90.0
    """Seconds after the warm-up, for slowness also after each rise of the weight, for which a canary that has been
    worse from the beginning is waited for."""
    bake: float = 900.0
    holdback: int = 500
    """Stable's weight during the bake, in basis points: the control that the canary is judged by."""
    false_rollback: float = 0.01
    confidence: float = 0.95
    errors: ErrorPolicy = ErrorPolicy()
    latency: LatencyPolicy = LatencyPolicy()
    deadline: float = 21_600.0
    on_insufficient: Literal["hold", "advance", "rollback"] = "hold"
    on_blind: Literal["hold", "rollback"] = "hold"
    fallback: Literal["manual", "automatic"] = "manual"
    """Who may send traffic to the declared fallback: a person, or also the watch over stable's absolute limits."""
    approve: tuple[int, ...] = ()
    """The weights that a person must approve before they are served; 10 000 is promotion."""
    hooks: tuple[str, ...] = ()
    """The hooks, by their names in the controller's settings, that must pass before traffic moves forward."""
    keep_capacity: float = 0.8
    """The share of stable's healthy endpoints at the rollout's start that it must have for the rollout to advance."""
    metrics: tuple[MetricPolicy, ...] = ()
    """The custom metrics that are judged too."""

    @property
    def bake_weight(self) -> int:
        """The canary's weight from its promotion until the bake is over, in basis points: never less
        than at the last step, and everything where there is no bake."""
        return max(*self.steps[-1:], TOTAL_WEIGHT - self.holdback) if self.bake else TOTAL_WEIGHT


class Fallback(Value):
    """Where traffic goes when neither version can be trusted: another version, or a fixed response."""

    version: str | None = None
    status: int = 503
    body: str = ""


class Service(Value):
    """One model served in several versions behind Envoy."""

    name: str
    fleets: tuple[str, ...] = ()
    """The fleets (Envoy's node.cluster) that serve it; empty means every fleet."""
    listen: Listen | None = None
    """Where Envoy listens for it; None: a listener of the operator's own names `route_config`."""
    route_config: str = ""
    hosts: tuple[str, ...] = ("*",)
    paths: tuple[PathMatch, ...] = (PathMatch(path="/"),)
    match: tuple[MatchRule, ...] = ()
    """The first rule that holds for a request decides; requests without one are split by the weights."""
    sticky: Sticky | None = None
    """By what users keep their version; None: each request is split by itself."""
    protocol: Literal["http", "grpc"] = "http"
    timeout: float = 5.0
    """Seconds: of the whole response, of a stream until its headers."""
    streaming: bool = False
    """Whether responses are streams, whose whole duration says how long an answer is, and not how fast."""
    idle_timeout: float | None = None
    """Seconds that a stream may be silent; None: a minute, or the timeout if that is longer."""
    max_duration: float | None = None
    """Seconds of a whole stream; None: as long as it takes."""
    upgrades: tuple[str, ...] = ()
    """The protocols that a request may upgrade to, such as `websocket`."""
    mirror: Mirror | None = None
    retry: Retries = Retries()
    shield: bool = False
    """Whether requests that fail on the canary are tried again on stable."""
    idempotent: bool = True
    """Whether a request may be sent twice."""
    request_headers: RequestHeaders = RequestHeaders()
    envoy: EnvoyFields = EnvoyFields()
    version_header: bool = True
    """Whether responses say in `x-haldane-version` which version they are of."""
    own_clusters: bool = False
    """Whether the clusters of all versions are the operator's own."""
    versions: tuple[Version, ...]
    stable: str
    fallback: Fallback | None = None
    wanted_canary: str = ""
    """The canary that the file asks for: where the files of a folder are applied, it is started once."""
    policy: Policy = Policy()

    @property
    def route_configuration(self) -> str:
        """The name of Envoy's route configuration that has its routes: that of the operator's own listener, or else the
        address and port."""
        return self.route_config or str(self.listen)

    def version(self, name: str) -> Version | None:
        """The version of that name, if there is one."""
        return next((v for v in self.versions if v.name == name), None)

    def upstream_of(self, version: Version) -> Upstream:
        """How proxies reach that version; gRPC needs HTTP/2."""
        if version.upstream.http2 is not None or self.protocol != "grpc":
            return version.upstream
        return version.upstream.model_copy(update={"http2": True})

    def is_found_in_time(self, version: str) -> bool:
        """Whether proxies know only after a while whether an endpoint of that version is up: they must resolve its
        name, or check its health, or its source may have none."""
        known = self.version(version)
        if known is None:
            return False
        if known.cluster or known.source:
            return True  # what it has is in Envoy's own file, or with its source, and may be nothing at all
        return known.upstream.health is not None or not all_addresses(known.endpoints)

    def in_fleet(self, fleet: str) -> bool:
        """Whether proxies of that fleet serve this service."""
        return not self.fleets or fleet in self.fleets
