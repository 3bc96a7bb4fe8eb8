"""Valid service files, and what they mean."""

from pathlib import Path

import pytest

from controller.core.model.envoy_fields import EnvoyFields
from controller.core.model.route_rules import Condition, ListenTls, MatchRule, Mirror, PathMatch, RequestHeaders, Sticky
from controller.core.model.service import Endpoint, Fallback, Policy, Service, Shadow
from controller.core.model.upstream import HealthCheck, Outliers, Tls, Upstream, UpstreamLimits
from controller.core.servicefile.service_file import read_service
from tests.spec.files import END, LINE, file

REFERENCE = Path(__file__).parents[2] / "docs" / "examples" / "fraud-scorer.yaml"

EVERYTHING = (PathMatch(path="/"),)


def read(text: str) -> Service:
    result = read_service(text)
    assert result.service is not None, result.violations
    assert not result.violations
    return result.service


def test_the_reference_file_is_valid() -> None:
    """The file in the documentation gives the expected service."""
    service = read(REFERENCE.read_text())
    assert (service.name, service.fleets, str(service.listen)) == ("fraud-scorer", ("edge",), "127.0.0.1:10000")
    assert (service.hosts, service.paths, service.protocol, service.timeout) == (("*",), EVERYTHING, "http", 5.0)
    assert [(v.name, v.endpoints) for v in service.versions] == [
        ("v1", (Endpoint(host="127.0.0.1", port=9001),)),
        ("v2", (Endpoint(host="127.0.0.1", port=9002),)),
    ]
    assert service.stable == "v1"


def test_the_reference_files_policy_is_the_default() -> None:
    """Everything under `policy` in the reference file has its default there: the file documents the code."""
    assert read(REFERENCE.read_text()).policy == Policy()


def test_what_is_left_out_has_its_default() -> None:
    """Only service, listen.port, versions and stable are required."""
    service = read('service: s\nlisten: {port: 1}\nversions: {v1: {endpoints: ["a:1"]}}\nstable: v1\n')
    assert (service.listen.address, service.fleets, service.hosts, service.paths) == (
        "127.0.0.1",
        (),
        ("*",),
        EVERYTHING,
    )
    assert (service.protocol, service.timeout, service.fallback, service.policy) == ("http", 5.0, None, Policy())


def test_a_whole_policy() -> None:
    """Every value of a policy in its own unit: seconds, shares, basis points."""
    text = file(
        "  warmup: 0s",
        "  bake: 1d",
        "  patience: 10m",
        "  holdback: 0%",
        "  false_rollback: 0.5%",
        "  confidence: 0.99",
        "  errors: {margin: 0.2%, ratio: 1.5, max: 5%}",
        "  latency: {tolerance: 20%, p99: 250ms}",
        "  deadline: 2h",
        "  on_insufficient: rollback",
        "  on_blind: rollback",
        "  approve: [25%, 100%]",
        "  hooks: [ticket]",
        "  fallback: automatic",
        'fallback: {status: 429, body: "later"}',
        steps="  steps: [0.01%, 0.25, 99.99%]",
    )
    service = read(text.replace("approve: [25%", "approve: [99.99%"))
    policy = service.policy
    assert (policy.steps, policy.approve) == ((1, 2500, 9999), (9999, 10_000))
    assert (policy.warmup, policy.bake, policy.holdback, policy.deadline) == (0.0, 86_400.0, 0, 7200.0)
    assert policy.patience == 600.0
    assert (policy.false_rollback, policy.confidence) == (0.005, 0.99)
    assert (policy.errors.margin, policy.errors.ratio, policy.errors.max) == (0.002, 1.5, 0.05)
    assert (policy.latency.tolerance, policy.latency.p99) == (0.2, 0.25)
    assert (policy.on_insufficient, policy.on_blind, policy.hooks) == ("rollback", "rollback", ("ticket",))
    assert (policy.fallback, service.fallback) == ("automatic", Fallback(status=429, body="later"))


@pytest.mark.parametrize(
    ("latency", "expected"),
    [
        ("{}", (None, 0.1, None)),
        ("{tolerance: 20%}", (0.2, 0.2, None)),
        ("{ttft_tolerance: 30%}", (None, 0.3, None)),
        ("{tolerance: 20%, ttft_tolerance: 30%}", (0.2, 0.3, None)),
        ("{p99: 3s}", (None, 0.1, 3.0)),
    ],
)
def test_a_stream_is_judged_by_its_first_token(latency: str, expected: tuple[float | None, ...]) -> None:
    """And by the length of its answer where the file asks for it; the tolerance is the same unless another is given."""
    service = read(file(f"  latency: {latency}", "streaming: true"))
    assert service.streaming
    policy = service.policy.latency
    assert (policy.tolerance, policy.ttft_tolerance, policy.p99) == expected


def test_what_does_not_stream_has_no_first_token() -> None:
    """Neither by default nor where the file says so."""
    for more in ((), ("streaming: false",)):
        service = read(file(*more))
        assert (service.streaming, service.policy.latency.ttft_tolerance) == (False, None)


def test_null_means_no_absolute_limit() -> None:
    """The two limits that may be absent can be written as null."""
    policy = read(file("  errors: {max: null}", "  latency: {p99: null}")).policy
    assert (policy.errors.max, policy.latency.p99) == (None, None)


def test_a_version_that_is_not_started_yet_needs_no_endpoints() -> None:
    """Endpoints may come later; a start before that is rejected elsewhere."""
    assert read(file(v2="  v2: {endpoints: []}")).versions[1].endpoints == ()


def test_a_fallback_may_be_a_version() -> None:
    """Another version with endpoints that is not stable."""
    assert read(file("fallback: {version: v2}")).fallback == Fallback(version="v2")


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:9001", "127.0.0.1", 9001),
        ("[::1]:80", "::1", 80),
        ("[0:0:0:0:0:0:0:1]:80", "::1", 80),
        ("[2001:DB8::A]:80", "2001:db8::a", 80),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1", 80),
        ("[0:0:0:0:0:FFFF:7F00:1]:80", "127.0.0.1", 80),
        ("localhost:1", "localhost", 1),
        ("Model.Example.COM:65535", "model.example.com", 65535),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example", 443),
        ("a-b.c1:8080", "a-b.c1", 8080),
        (("a" * 63 + ".") * 3 + "b" * 61 + ":1", ("a" * 63 + ".") * 3 + "b" * 61, 1),
    ],
)
def test_endpoints_have_one_spelling(written: str, host: str, port: int) -> None:
    """Whatever the spelling of an address, it is kept in its shortest form and in lower case."""
    service = read(file(v1=f'  v1: {{endpoints: ["{written}"]}}'))
    assert service.versions[0].endpoints == (Endpoint(host=host, port=port),)


VERSION = """\
  v1:
    endpoints: ["10.0.0.1:80", {address: "10.0.0.2:80", weight: 2, zone: eu-1a}, {address: "unix:/run/model.sock"}]
    tls: {sni: Model.Internal, ca: /etc/ca.pem, san: ["spiffe://prod/model", "::0:1"], certificate: /a.crt, key: /a.key}
    http2: true
    health: {http: /v2/health/ready, every: 2s, timeout: 500ms, unhealthy_threshold: 3, healthy_threshold: 2}
    outliers: {consecutive_5xx: 3, ejection_time: 10s, floor: 70%}
    limits: {connections: 1024, pending: 512, requests: 2048}
    balance: round_robin
    slow_start: 30s
    idle_timeout: 1m"""


def test_how_a_version_is_reached() -> None:
    """Every key of a version."""
    version = read(file(v1=VERSION)).versions[0]
    assert version.endpoints == (
        Endpoint(host="10.0.0.1", port=80),
        Endpoint(host="10.0.0.2", port=80, weight=2, zone="eu-1a"),
        Endpoint(path="/run/model.sock"),
    )
    assert list(map(str, version.endpoints)) == ["10.0.0.1:80", "10.0.0.2:80", "unix:/run/model.sock"]
    assert version.upstream == Upstream(
        tls=Tls(
            sni="model.internal",
            ca="/etc/ca.pem",
            san=("spiffe://prod/model", "::1"),
            certificate="/a.crt",
            key="/a.key",
        ),
        http2=True,
        health=HealthCheck(
            kind="http",
            path="/v2/health/ready",
            every=2.0,
            timeout=0.5,
            unhealthy_threshold=3,
            healthy_threshold=2,
        ),
        outliers=Outliers(consecutive_5xx=3, ejection_time=10.0, floor=0.7),
        limits=UpstreamLimits(connections=1024, pending=512, requests=2048),
        balance="round_robin",
        slow_start=30.0,
        idle_timeout=60.0,
    )


def test_what_a_version_leaves_out_has_its_default() -> None:
    """No TLS, no health checks, no limits; an empty `outliers` is the default of them."""
    assert read(file()).versions[0].upstream == Upstream()
    assert read(file(v1='  v1: {endpoints: ["a:1"], outliers: {}}')).versions[0].upstream.outliers == Outliers()


@pytest.mark.parametrize(("written", "meant"), [("http: /up", "http"), ("grpc: true", "grpc"), ("tcp: true", "tcp")])
def test_kinds_of_health_checks(written: str, meant: str) -> None:
    """By HTTP, gRPC or TCP; the service speaks HTTP/2 where it is gRPC."""
    service = read(file("protocol: grpc", v1=f'  v1: {{endpoints: ["a:1"], health: {{{written}}}}}'))
    health = service.versions[0].upstream.health
    assert health
    assert (health.kind, service.upstream_of(service.versions[0]).http2) == (meant, True)


def test_tls_by_secrets() -> None:
    """In place of files, the names of secrets that Envoy has."""
    tls = "{san: model.internal, ca_sds: 'spiffe://prod', certificate_sds: own, sds_cluster: spire_agent}"
    assert read(file(v1=f'  v1: {{endpoints: ["a:1"], tls: {tls}}}')).versions[0].upstream.tls == Tls(
        san=("model.internal",), ca_sds="spiffe://prod", certificate_sds="own", sds_cluster="spire_agent"
    )


@pytest.mark.parametrize(
    "host",
    [
        *("*", "example.com", "example.com:8080", "*.example.com", "*-eu.example.com", "example.*", "api-*"),
        *("127.0.0.1", "127.0.0.1:10000", "[::1]:10000", "[::1]"),
    ],
)
def test_hosts_as_envoy_matches_them(host: str) -> None:
    """Exact, everything, a wildcard at the beginning or at the end; with a port if clients send one."""
    assert read(file(f'hosts: ["{host}"]')).hosts == (host,)


def test_hosts_are_compared_in_lower_case() -> None:
    """Host names are case-insensitive, so one spelling is kept."""
    assert read(file("hosts: [API.Example.com]")).hosts == ("api.example.com",)


@pytest.mark.parametrize("prefix", ["/", "/v2/models/fraud/", "/a%20b", "/~x;y=1"])
def test_prefixes(prefix: str) -> None:
    """The beginning of a path, as in a request."""
    assert read(file(f'prefix: "{prefix}"')).paths == (PathMatch(path=prefix),)


def test_several_paths_and_prefixes() -> None:
    """`path` is exact. Each of the two keys is one text or a list; with `path` alone no prefix is served."""
    exact = PathMatch(path="/a", exact=True)
    assert read(file("path: /a")).paths == (exact,)
    both = read(file("path: [/a, /b]\nprefix: [/a, /c/]"))
    assert both.paths == (
        exact,
        PathMatch(path="/b", exact=True),
        PathMatch(path="/a"),
        PathMatch(path="/c/"),
    )


def test_a_file_at_every_limit_is_valid() -> None:
    """At each limit of a count a file is still valid."""
    steps = ", ".join(f"{n / 100:.2f}%" for n in range(1, 101))
    versions = [f'  w{n}: {{endpoints: ["10.0.0.{n}:80"]}}' for n in range(18)]
    many = ", ".join(f'"10.1.{n // 250}.{n % 250}:80"' for n in range(1000))
    text = file(steps=f"  steps: [{steps}]", v1="\n".join([f"  v1: {{endpoints: [{many}]}}", *versions]))
    service = read(text.replace("dwell: 60s", "dwell: 1s"))
    assert (len(service.policy.steps), len(service.versions), len(service.versions[0].endpoints)) == (100, 20, 1000)


def test_a_byte_order_mark_and_crlf_are_accepted() -> None:
    """A file with a byte order mark and CRLF, as some editors write it, is the same file."""
    assert read("\ufeff" + file().replace("\n", "\r\n")) == read(file())


BOUNDS = {
    "policy: {dwell: X, warmup: 0s, steps: [5%], deadline: 30d}": ("100ms", "7d"),
    "policy: {warmup: X, deadline: 30d}": ("0s", "1d"),
    "policy: {patience: X}": ("0s", "1d"),
    "policy: {bake: X}": ("0s", "30d"),
    "policy: {deadline: X, dwell: 1s, warmup: 0s, steps: [5%]}": ("1s", "30d"),
    "policy: {false_rollback: X}": ("0.0001%", "50%"),
    "policy: {confidence: X}": ("50%", "99.9999%"),
    "policy: {errors: {margin: X}}": ("0.0001%", "50%"),
    "policy: {errors: {ratio: X}}": ("1", "100"),
    "policy: {errors: {max: X, margin: 0.0001%}}": ("0.0001%", "100%"),
    "policy: {latency: {tolerance: X}}": ("1%", "100%"),
    "policy: {latency: {p99: X}}\ntimeout: 1h": ("1ms", "59m"),
    "timeout: X": ("1ms", "1h"),
}


@pytest.mark.parametrize("line", BOUNDS)
def test_bounds_are_inclusive(line: str) -> None:
    """The bounds that a violation names are accepted themselves, in the notation of the message."""
    for bound in BOUNDS[line]:
        read(file(line.replace("X", bound), policy=None, steps=None, dwell=None))


VERSION_BOUNDS = {
    "slow_start: X": ("100ms", "1h"),
    "idle_timeout: X": ("100ms", "1d"),
    "health: {tcp: true, every: X, timeout: 50ms}": ("100ms", "1h"),
    "health: {tcp: true, every: 10s, timeout: X}": ("50ms", "10s"),
    "health: {tcp: true, unhealthy_threshold: X}": ("1", "100"),
    "outliers: {ejection_time: X}": ("100ms", "1h"),
    "outliers: {floor: X}": ("0%", "100%"),
    "limits: {requests: X}": ("1", "1000000"),
}


@pytest.mark.parametrize("keys", VERSION_BOUNDS)
def test_bounds_of_a_version_are_inclusive(keys: str) -> None:
    """Likewise."""
    for bound in VERSION_BOUNDS[keys]:
        read(file(v2=f"  v2: {{endpoints: [], {keys.replace('X', bound)}}}"))


def test_rules_that_pin_requests() -> None:
    """In their order. Names of headers in lower case, the others as they are."""
    text = file('match: [{headers: {X-Tester: "yes"}, query: {a%20b: "1"}, to: canary}, {cookie: {Lane: x}, to: v2}]')
    header = Condition(source="header", name="x-tester", value="yes")
    query, cookie = (
        Condition(source="query", name="a%20b", value="1"),
        Condition(source="cookie", name="Lane", value="x"),
    )
    assert read(text).match == (
        MatchRule(conditions=(header, query), to="canary"),
        MatchRule(conditions=(cookie,), to="v2"),
    )


@pytest.mark.parametrize(
    ("written", "sticky"),
    [
        ("{header: X-User-Id}", Sticky(source="header", name="x-user-id")),
        ("{cookie: Lane}", Sticky(source="cookie", name="Lane", ttl=7 * 86_400.0)),
        ("{cookie: lane, ttl: 2m}", Sticky(source="cookie", name="lane", ttl=120.0)),
        ("{source_ip: true}", Sticky(source="source_ip")),
    ],
)
def test_by_what_users_keep_their_version(written: str, sticky: Sticky) -> None:
    """A header, a cookie that Envoy sets, or the client's address."""
    assert read(file(f"sticky: {written}")).sticky == sticky


def test_what_routes_and_listeners_can_be_asked_for() -> None:
    """Each key once."""
    asked = """\
streaming: true
timeout: 30s
idle_timeout: 1m
max_duration: 1h
upgrades: [WebSocket]
retry: {attempts: 2}
request_headers: {add: {X-Tier: gold}, remove: [X-Secret]}
version_header: false
"""
    service = read(file(asked))
    assert (service.streaming, service.idle_timeout, service.max_duration) == (True, 60.0, 3600.0)
    assert (service.upgrades, service.retry.attempts, service.version_header) == (("websocket",), 2, False)
    assert service.request_headers == RequestHeaders(add=(("x-tier", "gold"),), remove=("x-secret",))
    listen = "{port: 10000, tls: {certificate: /c, key: /k}, access_log: stdout, use_remote_address: true}"
    told = read(file(listen=f"listen: {listen}")).listen
    assert (told.tls, told.access_log, told.use_remote_address) == (
        ListenTls(certificate="/c", key="/k"),
        "stdout",
        True,
    )
    listen = "{port: 10000, tls: {sds: my-cert}, access_log: /var/log/x.json, xff_trusted_hops: 2}"
    told = read(file(listen=f"listen: {listen}")).listen
    assert (told.tls, told.access_log, told.xff_trusted_hops) == (ListenTls(sds="my-cert"), "/var/log/x.json", 2)


@pytest.mark.parametrize(("written", "share"), [("{to: v2}", 10_000), ("{to: v2, share: 0.5%}", 50)])
def test_copies_for_a_version_without_weight(written: str, share: int) -> None:
    """Of every request, or of a share of them."""
    assert read(file(f"mirror: {written}")).mirror == Mirror(to="v2", share=share)


def test_a_listener_of_ones_own() -> None:
    """Its route configuration stands in the place of an address. What cannot be known is said, at the key's line."""
    service = read(file(listen="route_config: ingress"))
    assert (service.listen, service.route_config, service.route_configuration) == (None, "ingress", "ingress")
    for more, known in ((), False), (("streaming: true",), True):
        (note,) = read_service(file(*more, listen="route_config: ingress")).notes
        assert (note.field, note.line) == ("route_config", LINE["listen"])
        assert ("times to the first token" in note.message) is known
    assert read_service(file()).notes == ()


def test_envoys_own_fields() -> None:
    """As JSON, in either spelling; those of the connection manager are the listener's."""
    fields = """\
envoy:
  cluster: {track_timeout_budgets: true, preconnect_policy: {per_upstream_preconnect_ratio: 1.5}}
  route: {route: {hostRewriteLiteral: model.internal}}
  http_connection_manager: {max_request_headers_kb: 96, server_name: "1.0"}
"""
    service = read(file(fields))
    assert service.envoy == EnvoyFields(
        cluster='{"preconnect_policy":{"per_upstream_preconnect_ratio":1.5},"track_timeout_budgets":true}',
        route='{"route":{"hostRewriteLiteral":"model.internal"}}',
    )
    assert service.listen
    assert service.listen.http_connection_manager == '{"max_request_headers_kb":96,"server_name":"1.0"}'
    assert read(file("envoy: {cluster: {}}")).envoy == EnvoyFields()


def test_clusters_of_ones_own() -> None:
    """A version is the name of a cluster; what else is judged there is said."""
    text = file("clusters: own", v1="  v1: {cluster: Model_1}", v2="  v2: {cluster: model-2}")
    service = read(text)
    assert service.own_clusters
    assert [(v.name, v.cluster, v.has_servers) for v in service.versions] == [
        ("v1", "Model_1", True),
        ("v2", "model-2", True),
    ]
    assert [(note.field, note.line) for note in read_service(text).notes] == [("clusters", END)]


@pytest.mark.parametrize(
    ("more", "missing"),
    [
        ("", ()),
        ("match: [{headers: {a: b}, to: v2}]", ()),
        ("match: [{cookie: {a: b}, to: v2}]", ("match by query and cookie",)),
        ("sticky: {source_ip: true}\nmirror: {to: v2}\nshield: true", ("sticky", "mirror", "shield")),
        ("retry: {attempts: 0}\nrequest_headers: {remove: [x-a]}", ("retry", "request_headers")),
        ("streaming: true\nidle_timeout: 1m\nupgrades: [websocket]", ("idle_timeout", "upgrades")),
        ("envoy: {cluster: {metadata: {}}}\nfallback: {status: 503}", ("envoy", "the fallback's fixed response")),
    ],
)
def test_what_clients_without_a_proxy_do_not_have(more: str, missing: tuple[str, ...]) -> None:
    """A service for gRPC that asks for more than gRPC knows is told so; of HTTP there are no such clients."""
    notes = read_service(file("protocol: grpc", more)).notes
    said = [(note.field, note.line, note.message) for note in notes]
    expected = f"gRPC clients without a proxy do not have {', '.join(missing)}"
    assert said == ([("protocol", END, expected)] if missing else [])
    assert read_service(file(more)).notes == ()


def test_what_versions_have_and_clients_without_a_proxy_have_not() -> None:
    """Once each, whatever the version."""
    v2 = "  v2: {endpoints: ['unix:/run/m'], health: {tcp: true}, limits: {pending: 1}, balance: maglev}"
    (note,) = read_service(file("protocol: grpc", v2=v2)).notes
    assert note.message.endswith("do not have health, limits.pending, balance: maglev, Unix sockets")


@pytest.mark.parametrize(("mirror", "share"), [("", 1000), ("mirror: {to: v2, share: 25%}", 2500)])
def test_a_shadow_step(mirror: str, share: int) -> None:
    """The first of the steps, without weight; it copies what the service mirrors, or a tenth."""
    text = file("  approve: [5%]", mirror, steps="  steps: [shadow 10m, 5%]")
    policy = read(text).policy
    assert (policy.steps, policy.shadow, policy.approve) == ((0, 500), Shadow(dwell=600.0, share=share), (500,))


def test_where_endpoints_come_from() -> None:
    """A Service of Kubernetes, by the name of its port or the number; a file; SRV records."""
    service = read(
        file(
            v1="  v1: {kubernetes: {namespace: ml, service: scorer-v1, port: http}}",
            v2="  v2: {kubernetes: {namespace: ml, service: scorer-v2, port: 8000}}\n  v3: {endpoints_file: /v3.yaml}\n"
            "  v4: {dns_srv: _HTTP._tcp.model.internal}",
        )
    )
    assert [str(version.source) for version in service.versions] == [
        "kubernetes ml/scorer-v1:http",
        "kubernetes ml/scorer-v2:8000",
        "file /v3.yaml",
        "dns_srv _http._tcp.model.internal",
    ]
    assert all(version.has_servers and not version.endpoints for version in service.versions)
    assert Service.model_validate_json(service.model_dump_json()) == service
