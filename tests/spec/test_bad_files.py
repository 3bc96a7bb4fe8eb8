"""Invalid service files: each row is one mistake and the violation that is reported."""

from dataclasses import dataclass

import pytest

from controller.core.servicefile.service_file import read_service
from controller.core.servicefile.yaml_tree import MAX_BYTES
from tests.spec.files import END, GOOD, LINE, file


@dataclass(frozen=True)
class Bad:
    """A text, and the one violation in it: field, line, and a part of the message."""

    text: str
    field: str
    line: int
    message: str


def added(line: str, field: str, message: str) -> Bad:
    """The valid file with one more line at the end."""
    return Bad(file(line), field, END, message)


def changed(key: str, line: str | None, field: str, message: str) -> Bad:
    """The valid file with one line changed."""
    return Bad(file(**{key: line}), field, LINE[key], message)


def reached(more: str, field: str, message: str) -> Bad:
    """How v2 is reached."""
    return changed("v2", f'  v2: {{endpoints: ["127.0.0.1:9002"], {more}}}', f"versions.v2.{field}", message)


def owned(more: str, field: str, message: str) -> Bad:
    """The valid file, its versions in clusters of the operator's own."""
    versions = {"v1": "  v1: {cluster: a}", "v2": "  v2: {cluster: b}"}
    return Bad(file(f"{more}\nclusters: own", **versions), field, END, message)


def owned_v2(written: str, field: str, message: str) -> Bad:
    """The second version in a cluster of the operator's own."""
    text = file("clusters: own", v1="  v1: {cluster: a}", v2=f"  v2: {{{written}}}")
    return Bad(text, f"versions.v2.{field}", LINE["v2"], message)


def sourced(written: str, field: str, message: str) -> Bad:
    """The Service that the second version comes from."""
    return changed("v2", f"  v2: {{kubernetes: {{{written}}}}}", f"versions.v2.kubernetes.{field}", message)


def envoys(written: str, field: str, message: str) -> Bad:
    """Envoy's own fields."""
    return added(f"envoy: {{{written}}}", f"envoy.{field}", message)


def endpoint(written: str, message: str) -> Bad:
    """The stable's only endpoint."""
    return changed("v1", f"  v1: {{endpoints: [{written}]}}", "versions.v1.endpoints[0]", message)


def host(written: str) -> Bad:
    """The service's only host."""
    return added(f'hosts: ["{written}"]', "hosts[0]", "a host is a name such as")


def step(written: str, message: str) -> Bad:
    """The first step."""
    return changed("steps", f"  steps: [{written}, 99%]", "policy.steps[0]", message)


def dwell(written: str, message: str) -> Bad:
    return changed("dwell", f"  dwell: {written}", "policy.dwell", message)


NOT_A_DURATION = "a duration such as 250ms, 5s, 2m or 6h is needed"
NOT_A_SHARE = "a share such as 5% or 0.05 is needed"
NOT_A_NAME = "a name has 1 to 63 of"
NO_TABS = "tabs are not allowed for indentation, use spaces"

FORM = {
    "nothing": Bad("", "", 1, "begins with 'service: NAME'"),
    "a comment": Bad("# to do\n", "", 1, "begins with 'service: NAME'"),
    "a word": Bad("fraud-scorer\n", "", 1, "begins with 'service: NAME'"),
    "a list": Bad("- service: scorer\n", "", 1, "begins with 'service: NAME'"),
    "half written: an open bracket": Bad(file("hosts: [a, "), "", END, "not valid YAML"),
    "half written: an open quote": Bad(file('prefix: "/v2'), "", END, "not valid YAML"),
    "half written: half a key": Bad(file("time"), "", END, "not valid YAML"),
    "half written: a key without a value": added("timeout:", "timeout", "is empty"),
    "a tab for indentation": Bad(file("\tdeadline: 6h"), "", END, f"a tab in column 1: {NO_TABS}"),
    "a tab behind spaces": Bad(file("  \tdeadline: 6h"), "", END, f"a tab in column 3: {NO_TABS}"),
    "a tab before spaces": Bad(file(dwell="\t  dwell: 60s"), "", LINE["dwell"], f"a tab in column 1: {NO_TABS}"),
    "a tab under a key": Bad(file(steps="\tsteps: [5%]"), "", LINE["steps"], f"a tab in column 1: {NO_TABS}"),
    "a tab on the first line": Bad("\t" + file(), "", 1, f"a tab in column 1: {NO_TABS}"),
    "a tab on a line of Windows": Bad(file("\tdeadline: 6h").replace("\n", "\r\n"), "", END, NO_TABS),
    "another sign, and a tab behind it": Bad(file("prefix: @x\t"), "", END, "not valid YAML"),
    "a binary zero": Bad(file("prefix: /\0"), "", END, r"the character '\x00' is not allowed"),
    "an escape sequence": Bad(file("# \x1b[31m"), "", END, r"the character '\x1b' is not allowed"),
    "half a surrogate pair": Bad(file("prefix: /\ud800"), "", END, r"the character '\ud800' is not allowed"),
    "a second document": Bad(file("---", "service: other"), "", END, "a second one begins here"),
    "an anchor": added("prefix: &here /", "prefix", "anchors such as &here"),
    "an anchor of a page": added(f"prefix: &{'a' * 1000} /", "prefix", "anchors such as &aaa"),
    "an alias of nothing": Bad(file("prefix: *here"), "prefix", END, "aliases such as *here"),
    "a tag": added("prefix: !!str /", "prefix", "tags such as"),
    "a tag that names a class": added("prefix: !!python/name:os.system /", "prefix", "tags such as"),
    "a merge key": changed("v2", "  v2: {<<: {}, endpoints: []}", "versions.v2", "merge keys (<<)"),
    "a key twice": added("service: other", "service", "duplicate, first on line 1"),
    "a version twice": changed("v2", "  v1: {endpoints: []}", "versions.v1", "duplicate, first on line 4"),
    "a number for a key": changed("v2", "  1.0: {endpoints: []}", "versions", "YAML takes '1.0' for a number: quote"),
    "a truth for a key": changed("v2", "  on: {endpoints: []}", "versions", "'on' for true or false: quote it"),
    "a date for a key": changed("v2", "  2026-11-23: {endpoints: []}", "versions", "for a date: quote it"),
    "a list for a key": changed("v2", "  ? [v2]\n  : {endpoints: []}", "versions", "a key is plain text"),
    "an alias for a key": Bad(file(v2="  *x : {endpoints: []}"), "versions", LINE["v2"], "aliases such as *x"),
    "21 levels": Bad("a: " * 0 + "[" * 21, "", 1, "nested deeper than 20"),
    "a hundred thousand levels": Bad("[" * 100_000, "", 1, "nested deeper than 20"),
    "a hundred thousand mappings": Bad("{a: " * 50_000, "", 1, "nested deeper than 20"),
    "256 KiB and a byte": Bad("#" * (MAX_BYTES + 1), "", 1, "at most 256 KiB"),
    "256 KiB of two-byte letters": Bad("#" + "ä" * (MAX_BYTES // 2), "", 1, "at most 256 KiB"),
}

KEYS = {
    "no service": Bad(file(service=None), "service", 1, "is missing"),
    "no listen": Bad(file(listen=None), "listen", 1, "is missing"),
    "no stable": Bad(file(stable=None), "stable", 1, "is missing"),
    "two kinds of listener": added("route_config: mine", "route_config", "leave listen out, or this"),
    "a route configuration with a slash": changed("listen", "route_config: a/b", "route_config", NOT_A_NAME),
    "a name of Envoy's cluster": envoys("cluster: {name: x}", "cluster.name", "is set by Haldane"),
    "limits as Envoy's": envoys("cluster: {circuit_breakers: {}}", "cluster.circuit_breakers", "see limits"),
    "a field in Envoy's other spelling": envoys(
        "route: {route: {retryPolicy: {}}}", "route.route.retryPolicy", "retry"
    ),
    "no field of Envoy's": envoys("cluster: {colour: red}", "cluster.colour", "no field of Envoy's Cluster"),
    "no field of a message in it": envoys(
        "cluster: {upstream_connection_options: {tcp_keepalive: {every: 1}}}",
        "cluster.upstream_connection_options.tcp_keepalive.every",
        "no field of Envoy's TcpKeepalive",
    ),
    "another type than Envoy's": envoys(
        "cluster: {max_requests_per_connection: many}", "cluster.max_requests_per_connection", "another type"
    ),
    "a word for a boolean": envoys(
        "cluster: {track_timeout_budgets: 'yes'}", "cluster.track_timeout_budgets", "true or"
    ),
    "a mapping for a list": envoys("route: {route: {rate_limits: {}}}", "route.route.rate_limits", "a list in Envoy"),
    "a list for a mapping": envoys("route: {metadata: []}", "route.metadata", "a mapping in Envoy"),
    "a field of a filter": envoys(
        'route: {typed_per_filter_config: {cors: {"@type": '
        "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, colour: red}}}",
        "route.typed_per_filter_config.cors.colour",
        "no field of Envoy's CorsPolicy",
    ),
    "an unknown filter": envoys(
        'route: {typed_per_filter_config: {x: {"@type": type.googleapis.com/a.b.C}}}',
        "route.typed_per_filter_config.x",
        "needs the @type",
    ),
    "a module of Python's": envoys(
        'route: {typed_per_filter_config: {x: {"@type": type.googleapis.com/google.protobuf..Os}}}',
        "route.typed_per_filter_config.x",
        "needs the @type",
    ),
    "another router": envoys(
        "http_connection_manager: {http_filters: [{name: envoy.filters.http.router}]}",
        "http_connection_manager.http_filters[0]",
        "its router comes after",
    ),
    "loggers of Envoy's": envoys(
        "http_connection_manager: {access_log: []}", "http_connection_manager.access_log", "see listen.access_log"
    ),
    "a connection manager that is the operator's": Bad(
        file("envoy: {http_connection_manager: {server_name: x}}", listen="route_config: mine"),
        "envoy.http_connection_manager",
        END,
        "in your own Envoy's file",
    ),
    "another of Envoy's messages": added("envoy: {listener: {}}", "envoy.listener", "unknown key"),
    "nothing in Envoy's fields": envoys("cluster: {dns_refresh_rate: null}", "cluster.dns_refresh_rate", "is empty"),
    "other clusters than one's own": added("clusters: mine", "clusters", "own is needed"),
    "a cluster of one version alone": reached("cluster: a", "cluster", "needs clusters: own"),
    "pins into clusters of one's own": owned("match: [{headers: {a: b}, to: v2}]", "match", "could not be told"),
    "copies into clusters of one's own": owned("mirror: {to: v2}", "mirror", "could not be told"),
    "a shield of clusters of one's own": owned("shield: true", "shield", "could not be told"),
    "a shadow step by clusters of one's own": Bad(
        file("clusters: own", v1="  v1: {cluster: a}", v2="  v2: {cluster: b}", steps="  steps: [shadow 1m, 5%]"),
        "policy.steps",
        LINE["steps"],
        "could not be told",
    ),
    "fields of clusters of one's own": owned(
        "envoy: {cluster: {metadata: {}}}", "envoy.cluster", "your own Envoy's file"
    ),
    "endpoints of a cluster of one's own": owned_v2("cluster: b, endpoints: []", "endpoints", "your own Envoy's file"),
    "health of a cluster of one's own": owned_v2("cluster: b, health: {tcp: true}", "health", "your own Envoy's file"),
    "no name of a cluster of one's own": owned_v2("", "cluster", "is missing"),
    "a dot in a cluster of one's own": owned_v2("cluster: b.c", "cluster", "letters, digits"),
    "one cluster for two versions": owned_v2("cluster: a", "cluster", "a cluster judged against itself"),
    "no port": changed("listen", "listen: {address: 127.0.0.1}", "listen.port", "is missing"),
    "no endpoints": changed("v2", "  v2: {}", "versions.v2.endpoints", "is missing"),
    "endpoints from two places": changed(
        "v2", "  v2: {endpoints: [], endpoints_file: /v2}", "versions.v2.endpoints_file", "come from one place"
    ),
    "a Service without its port": sourced("namespace: ml, service: v2", "port", "is missing"),
    "a Service of a namespace in capitals": sourced("namespace: ML, service: v2, port: a", "namespace", "0-9 and '-'"),
    "a Service at port 0": sourced("namespace: ml, service: v2, port: 0", "port", "from 1 to 65535"),
    "a Service at a port with a space": sourced("namespace: ml, service: v2, port: a b", "port", "the name of a port"),
    "a Service with a key nobody knows": sourced("namespace: ml, service: v2, port: a, pod: b", "pod", "unknown key"),
    "a Service that is text": changed("v2", "  v2: {kubernetes: v2}", "versions.v2.kubernetes", "a mapping is needed"),
    "SRV records of one label": changed("v2", "  v2: {dns_srv: model}", "versions.v2.dns_srv", "_http._tcp"),
    "SRV records with a dot at the end": changed(
        "v2", "  v2: {dns_srv: _http._tcp.model.}", "versions.v2.dns_srv", "_http._tcp"
    ),
    "a file by a relative path": changed(
        "v2", "  v2: {endpoints_file: v2.yaml}", "versions.v2.endpoints_file", "the absolute path"
    ),
    "two versions of one file": Bad(
        file(v1="  v1: {endpoints_file: /v}", v2="  v2: {endpoints_file: /v}"),
        "versions.v2",
        LINE["v2"],
        "file /v is the source of v1 too",
    ),
    "a key misspelt": added("  dwel: 30s", "policy.dwel", "did you mean dwell?"),
    "a key in capitals": added("Timeout: 5s", "Timeout", "did you mean timeout?"),
    "a key nobody knows": added("owner: ada", "owner", "known here: clusters, envoy, fallback"),
    "a key of a version nobody knows": changed(
        "v2", "  v2: {endpoints: [], weight: 5}", "versions.v2.weight", "known here: balance, dns_srv, endpoints"
    ),
    "a key of another place": added("steps: [5%]", "steps", "unknown key"),
    "a weight beside the steps": added("weights: {v1: 90, v2: 20}", "weights", "unknown key"),
    "a key of emoji": added("🔥: 1", "'🔥'", "unknown key"),
    "a key of a page": added(f"{'k' * 1000}: 1", repr("k" * 37 + "..."), "unknown key"),
    "a listen that is text": changed("listen", "listen: 127.0.0.1:10000", "listen", "a mapping is needed"),
    "versions that are a list": Bad(
        file(versions="versions: [v1]", v1=None, v2=None), "versions", LINE["versions"], "not a list"
    ),
    "versions that are nothing": Bad(
        file(versions="versions: {}", v1=None, v2=None), "versions", LINE["versions"], "at least one"
    ),
    "a version that is nothing": changed("v2", "  v2:", "versions.v2", "a mapping is needed, not nothing"),
    "endpoints that are text": changed(
        "v2", '  v2: {endpoints: "127.0.0.1:9002"}', "versions.v2.endpoints", "a list is needed"
    ),
    "a policy that is empty": Bad(file(steps=None, dwell=None), "policy", LINE["policy"], "not nothing"),
    "a name that is a list": changed("service", "service: [scorer]", "service", "a single value is needed"),
    "a name that is null": changed("service", "service: null", "service", "YAML takes 'null' for nothing: quote it"),
}

UPSTREAM = {
    "an endpoint that is a list": changed(
        "v2", "  v2: {endpoints: [[]]}", "versions.v2.endpoints[0]", "a single value is needed"
    ),
    "an endpoint without an address": changed(
        "v2", "  v2: {endpoints: [{weight: 2}]}", "versions.v2.endpoints[0].address", "is missing"
    ),
    "an endpoint without weight": changed(
        "v2", '  v2: {endpoints: [{address: "a:1", weight: 0}]}', "versions.v2.endpoints[0].weight", "from 1 to 1000"
    ),
    "an endpoint with an odd zone": changed(
        "v2", '  v2: {endpoints: [{address: "a:1", zone: "a b"}]}', "versions.v2.endpoints[0].zone", "a zone has"
    ),
    "an endpoint with a share": changed(
        "v2", '  v2: {endpoints: [{address: "a:1", share: 2}]}', "versions.v2.endpoints[0].share", "unknown key"
    ),
    "an endpoint twice, once with a weight": changed(
        "v2", '  v2: {endpoints: ["a:1", {address: "a:1", weight: 2}]}', "versions.v2.endpoints", "is listed twice"
    ),
    "a socket that is relative": changed(
        "v2", '  v2: {endpoints: ["unix:model.sock"]}', "versions.v2.endpoints[0]", "an absolute path"
    ),
    "a socket that is too long": changed(
        "v2", f'  v2: {{endpoints: ["unix:/{"s" * 107}"]}}', "versions.v2.endpoints[0]", "at most 107"
    ),
    "a socket beside a name": changed(
        "v2", '  v2: {endpoints: ["unix:/s", "a:1"]}', "versions.v2.endpoints", "beside a host name"
    ),
    "tls of any authority": reached("tls: {sni: a}", "tls.ca", "is missing"),
    "tls with any server": reached("tls: {ca: /ca}", "tls.sni", "is missing"),
    "tls with two authorities": reached("tls: {sni: a, ca: /ca, ca_sds: ca}", "tls.ca_sds", "not both"),
    "tls with two certificates": reached(
        "tls: {sni: a, ca: /ca, certificate: /c, key: /k, certificate_sds: c}", "tls.certificate_sds", "not both"
    ),
    "tls with a certificate without its key": reached(
        "tls: {sni: a, ca: /ca, certificate: /c}", "tls.certificate", "needs certificate and key"
    ),
    "tls with a key without its certificate": reached("tls: {sni: a, ca: /ca, key: /k}", "tls.key", "needs certif"),
    "tls with secrets of nothing": reached("tls: {sni: a, ca: /ca, sds_cluster: c}", "tls.sds_cluster", "needs ca_sds"),
    "tls with a relative file": reached("tls: {sni: a, ca: ca.pem}", "tls.ca", "the absolute path of a file"),
    "tls to an address": reached("tls: {sni: 10.0.0.1, ca: /ca}", "tls.sni", "a host name such as"),
    "tls with no name": reached("tls: {san: [], ca: /ca}", "tls.san", "an empty list"),
    "tls with an odd name": reached("tls: {san: ['a b'], ca: /ca}", "tls.san[0]", "a host name, an IP address or a U"),
    "tls with an odd secret": reached("tls: {sni: a, ca_sds: 'a b'}", "tls.ca_sds", "1 to 255 printable"),
    "tls with an odd cluster of secrets": reached(
        "tls: {sni: a, ca_sds: a, sds_cluster: 'a b'}", "tls.sds_cluster", "the name of a cluster"
    ),
    "tls of text": reached("tls: true", "tls", "a mapping is needed"),
    "http2 that is a number": reached("http2: 2", "http2", "true or false"),
    "http2 of gRPC switched off": Bad(
        file("protocol: grpc", v2='  v2: {endpoints: ["a:1"], http2: false}'),
        "versions.v2.http2",
        LINE["v2"],
        "gRPC needs HTTP/2",
    ),
    "health by nothing": reached("health: {}", "health", "one of http: PATH, grpc: true and tcp: true"),
    "health by two": reached("health: {tcp: true, http: /up}", "health", "one of http"),
    "health by false": reached("health: {tcp: false}", "health.tcp", "leave the key out"),
    "health by gRPC over HTTP/1.1": reached("health: {grpc: true}", "health.grpc", "gRPC needs HTTP/2"),
    "health that lasts": reached(
        "health: {tcp: true, every: 1s, timeout: 2s}", "health.timeout", "longer than the 1s between"
    ),
    "outliers of every endpoint": reached("outliers: {floor: 101%}", "outliers.floor", "between 0% and 100%"),
    "a limit of nothing": reached("limits: {requests: 0}", "limits.requests", "from 1 to 1000000"),
    "a balance nobody knows": reached("balance: random", "balance", "one of least_request, round_robin"),
    "a slow start of a ring": reached("balance: ring_hash, slow_start: 5s", "slow_start", "ring_hash sends each"),
}

NAMES = {
    "a name in capitals": changed("service", "service: Scorer", "service", NOT_A_NAME),
    "a name like a path": changed("service", "service: ../../etc/passwd", "service", NOT_A_NAME),
    "a name with a slash": changed("service", "service: a/b", "service", NOT_A_NAME),
    "a name with a line break": changed("service", r'service: "a\nb"', "service", NOT_A_NAME),
    "a name with a line break at its end": changed("service", r'service: "scorer\n"', "service", NOT_A_NAME),
    "a name with quotes": changed("service", "service: 'a\"b'", "service", NOT_A_NAME),
    "a name with braces": changed("service", "service: 'a{}'", "service", NOT_A_NAME),
    "a name with a space": changed("service", "service: fraud scorer", "service", NOT_A_NAME),
    "a name that begins with a dot": changed("service", "service: .hidden", "service", NOT_A_NAME),
    "a name that begins with a dash": changed("service", "service: -x", "service", NOT_A_NAME),
    "an empty name": changed("service", "service: ''", "service", NOT_A_NAME),
    "a name of 64": changed("service", f"service: {'a' * 64}", "service", NOT_A_NAME),
    "a name of emoji": changed("service", "service: 🔥", "service", NOT_A_NAME),
    "a name with a Cyrillic letter": changed("service", "service: sc\u043erer", "service", NOT_A_NAME),
    "a name with an Arabic digit": changed("service", "service: v\u0662", "service", NOT_A_NAME),
    "a name from right to left": changed(
        "service", "service: a\u202eb", "service", "the character '\\u202e' is not allowed"
    ),
    "a name without width": changed(
        "service", "service: a\u200bb", "service", "the character '\\u200b' is not allowed"
    ),
    "a name of 100 kB": changed("service", f"service: {'a' * 100_000}", "service", "aaa...'"),
    "a name that YAML takes for a number": changed("service", "service: 7", "service", "'7' for a number: quote it"),
    "a name that YAML takes for a truth": changed("service", "service: on", "service", "quote it"),
    "a version with a bad name": Bad(file(v2="  V2: {endpoints: []}"), "versions.V2", LINE["v2"], NOT_A_NAME),
    "a stable with a bad name": changed("stable", "stable: V1", "stable", NOT_A_NAME),
    "a fleet with a bad name": added("fleets: [edge, e*]", "fleets[1]", NOT_A_NAME),
    "a fleet twice": added("fleets: [edge, edge]", "fleets", "edge is listed twice"),
    "no fleet at all": added("fleets: []", "fleets", "matches nothing"),
    "101 fleets": added(f"fleets: [{', '.join(f'f{n}' for n in range(101))}]", "fleets", "at most 100 entries"),
    "a hook with a bad name": added("  hooks: ['http://evil.example']", "policy.hooks[0]", NOT_A_NAME),
}

ADDRESSES = {
    "a port of 0": changed("listen", "listen: {port: 0}", "listen.port", "from 1 to 65535"),
    "a port of 65536": changed("listen", "listen: {port: 65536}", "listen.port", "from 1 to 65535"),
    "a port below zero": changed("listen", "listen: {port: -1}", "listen.port", "from 1 to 65535"),
    "half a port": changed("listen", "listen: {port: 80.5}", "listen.port", "from 1 to 65535"),
    "a port in octal": changed("listen", "listen: {port: 010}", "listen.port", "from 1 to 65535"),
    "a port in hex": changed("listen", "listen: {port: 0x50}", "listen.port", "from 1 to 65535"),
    "a port of truth": changed("listen", "listen: {port: yes}", "listen.port", "from 1 to 65535"),
    "a port of NaN": changed("listen", "listen: {port: .nan}", "listen.port", "from 1 to 65535"),
    "a port without end": changed("listen", f"listen: {{port: {'9' * 5000}}}", "listen.port", "from 1 to 65535"),
    "a port in Arabic digits": changed("listen", "listen: {port: \u0668\u0660}", "listen.port", "from 1 to 65535"),
    "a name to listen on": changed("listen", "listen: {address: localhost, port: 1}", "listen.address", "an IP"),
    "a zone to listen on": changed("listen", "listen: {address: 'fe80::1%eth0', port: 1}", "listen.address", "an IP"),
    "an address of three": changed("listen", "listen: {address: '127.0.1', port: 1}", "listen.address", "an IP"),
    "an endpoint without a port": endpoint("localhost", "an endpoint is host:port"),
    "an endpoint without a host": endpoint("':9001'", "a host is an IP address or a name"),
    "an endpoint that is a number": endpoint("9001", "text is needed, and YAML takes '9001' for a number"),
    "an endpoint with port 0": endpoint('"a:0"', "from 1 to 65535"),
    "an endpoint with port 65536": endpoint('"a:65536"', "from 1 to 65535"),
    "an endpoint that is a URL": endpoint('"http://model:80"', "an IPv6 address stands in brackets"),
    "an endpoint with a path": endpoint('"model:80/v2"', "from 1 to 65535"),
    "an endpoint with a user": endpoint('"me@model:80"', "RFC 1123"),
    "an endpoint without brackets": endpoint('"::1:9001"', "an IPv6 address stands in brackets"),
    "an endpoint with a name in brackets": endpoint('"[model]:80"', "between the brackets an IPv6 address"),
    "an endpoint with IPv4 in brackets": endpoint('"[127.0.0.1]:80"', "between the brackets an IPv6 address"),
    "an endpoint with a zone": endpoint('"[fe80::1%eth0]:80"', "between the brackets an IPv6 address"),
    "an endpoint of the empty address": endpoint('"0.0.0.0:80"', "not the address of a server"),
    "an endpoint of many servers": endpoint('"224.0.0.1:80"', "not the address of a server"),
    "an endpoint of almost IPv4": endpoint('"256.0.0.1:80"', "RFC 1123"),
    "an endpoint of three numbers": endpoint('"10.0.1:80"', "RFC 1123"),
    "an endpoint with a look-alike letter": endpoint('"m\u043edel:80"', "RFC 1123"),
    "an endpoint with a wide dot": endpoint('"a\uff0eb:80"', "RFC 1123"),
    "an endpoint with an underscore": endpoint('"my_model:80"', "RFC 1123"),
    "an endpoint that begins with a dash": endpoint('"-model:80"', "RFC 1123"),
    "an endpoint with two dots": endpoint('"a..b:80"', "RFC 1123"),
    "an endpoint with a label of 64": endpoint(f'"{"a" * 64}:80"', "RFC 1123"),
    "an endpoint of 254 letters": endpoint(f'"{("a" * 63 + ".") * 3 + "b" * 62}:80"', "RFC 1123"),
    "an endpoint twice": changed(
        "v2", '  v2: {endpoints: ["a:1", "a:1"]}', "versions.v2.endpoints", "a:1 is listed twice"
    ),
    "an endpoint twice in other letters": changed(
        "v2", '  v2: {endpoints: ["a:1", "A:1"]}', "versions.v2.endpoints", "a:1 is listed twice"
    ),
    "an endpoint of both versions": changed(
        "v2", '  v2: {endpoints: ["127.0.0.1:9001"]}', "versions.v2.endpoints", "is an endpoint of v1 too"
    ),
    "an endpoint of both versions, once as a mapped address": changed(
        "v2", '  v2: {endpoints: ["[::ffff:127.0.0.1]:9001"]}', "versions.v2.endpoints", "is an endpoint of v1 too"
    ),
    "an endpoint twice, once as a mapped address": changed(
        "v2",
        '  v2: {endpoints: ["10.0.0.1:1", "[::FFFF:A00:1]:1"]}',
        "versions.v2.endpoints",
        "10.0.0.1:1 is listed twice",
    ),
    "an endpoint twice, once in long form": changed(
        "v2",
        '  v2: {endpoints: ["[::1]:1", "[0:0:0:0:0:0:0:1]:1"]}',
        "versions.v2.endpoints",
        "[::1]:1 is listed twice",
    ),
    "an endpoint of everywhere as a mapped address": endpoint('"[::ffff:0.0.0.0]:80"', "not the address of a server"),
    "an endpoint with leading zeros": endpoint('"127.0.0.01:80"', "RFC 1123"),
    "an endpoint of a hexadecimal address": endpoint('"0x7f000001:80"', "RFC 1123"),
    "an endpoint that ends with a dot": endpoint('"model.example.:80"', "RFC 1123"),
    "1001 endpoints": changed(
        "v2",
        f"  v2: {{endpoints: [{', '.join(f'h{n}:1' for n in range(1001))}]}}",
        "versions.v2.endpoints",
        "at most 1000 entries, not 1001",
    ),
    "21 versions": Bad(
        file(v2="\n".join(f"  w{n}: {{endpoints: []}}" for n in range(20))),
        "versions",
        LINE["versions"],
        "at most 20 versions, not 21",
    ),
    "no host at all": added("hosts: []", "hosts", "matches nothing"),
    "a host twice": added("hosts: [a.example, A.example]", "hosts", "a.example is listed twice"),
    "a host with two wildcards": host("*.example.*"),
    "a host with a wildcard in the middle": host("api.*.example"),
    "a host of two stars": host("**"),
    "a host with a path": host("example.com/v2"),
    "a host with a scheme": host("http://example.com"),
    "a host with a space": host("example com"),
    "a host with a look-alike letter": host("ex\u0430mple.com"),
    "an empty host": host(""),
    "a host with a wild port": added('hosts: ["example.com:*"]', "hosts[0]", "a host is a name such as"),
    "a host with an empty port": added('hosts: ["example.com:"]', "hosts[0]", "a host is a name such as"),
    "a prefix without a slash": added("prefix: v2", "prefix", "a prefix begins with /"),
    "an empty prefix": added("prefix: ''", "prefix", "a prefix begins with /"),
    "a prefix with a query": added("prefix: /a?b", "prefix", "a prefix begins with /"),
    "a prefix with a fragment": added("prefix: '/a#b'", "prefix", "a prefix begins with /"),
    "a prefix with a line break": added(r'prefix: "/a\nb"', "prefix", "a prefix begins with /"),
    "a prefix of 1025": added(f"prefix: /{'a' * 1024}", "prefix", "at most 1024"),
    "a path without a slash": added("path: v2", "path", "a path begins with /"),
    "a path listed twice": added("path: [/a, /a]", "path", "/a is listed twice"),
    "a prefix listed twice": added("prefix: [/a, /b, /a]", "prefix", "/a is listed twice"),
    "no path": added("path: []", "path", "an empty list matches nothing"),
    "a list of paths with a bad one": added("path: [/a, b]", "path[1]", "a path begins with /"),
    "a shield of what may not be sent twice": added(
        "shield: true\nidempotent: false", "shield", "idempotent: false forbids"
    ),
    "copies to nobody": added("mirror: {to: v9}", "mirror.to", "v9 is not among the versions"),
    "copies to stable": added("mirror: {to: v1}", "mirror.to", "is the stable"),
    "no copies": added("mirror: {to: v2, share: 0%}", "mirror.share", "above 0%"),
    "copies of what may not be sent twice": added("mirror: {to: v2}\nidempotent: false", "mirror", "two versions"),
    "a rule without a condition": added("match: [{to: canary}]", "match[0]", "a rule needs a condition"),
    "a rule that says not where to": added("match: [{headers: {a: b}}]", "match[0].to", "is missing"),
    "a rule to nobody": added("match: [{headers: {a: b}, to: v9}]", "match[0].to", "v9 is not among the versions"),
    "a rule on the host": added("match: [{headers: {Host: b}, to: v1}]", "match[0].headers.Host", "other than host"),
    "a rule on a number": added("match: [{query: {a: 1}, to: v1}]", "match[0].query.a", "quote it"),
    "a rule on a bad cookie": added("match: [{cookie: {a;b: x}, to: v1}]", "match[0].cookie.'a;b'", "name of a cookie"),
    "a rule that is never reached": added(
        "match: [{headers: {a: b}, to: v1}, {headers: {A: b}, to: v2}]", "match[1]", "never reached"
    ),
    "sticky by two things": added("sticky: {header: a, cookie: b}", "sticky", "one of header: NAME"),
    "sticky by nothing": added("sticky: {}", "sticky", "one of header: NAME"),
    "sticky by no address": added("sticky: {source_ip: false}", "sticky", "one of header: NAME"),
    "a ttl of a header": added("sticky: {header: a, ttl: 1d}", "sticky.ttl", "is of a cookie"),
    "an idle timeout without streams": added("idle_timeout: 1m", "idle_timeout", "needs streaming: true"),
    "a longest duration without streams": added("max_duration: 1m", "max_duration", "needs streaming: true"),
    "an upgrade without streams": added("upgrades: [websocket]", "upgrades", "needs streaming: true"),
    "an upgrade to connect": added("upgrades: [connect]\nstreaming: true", "upgrades[0]", "such as websocket"),
    "an idle timeout below the timeout": added(
        "idle_timeout: 1s\nstreaming: true", "idle_timeout", "below the timeout of 5s"
    ),
    "a duration below the timeout": added(
        "max_duration: 1s\nstreaming: true", "max_duration", "below the timeout of 5s"
    ),
    "streaming by another word": added("streaming: 'yes'", "streaming", "true or false"),
    "too many attempts": added("retry: {attempts: 6}", "retry.attempts", "a whole number from 0 to 5"),
    "a header that carries the request": added(
        "request_headers: {remove: [Content-Length]}", "request_headers.remove[0]", "other than host"
    ),
    "a header added and removed": added(
        "request_headers: {add: {a: b}, remove: [A]}", "request_headers.remove", "a is added too"
    ),
    "a header with a line break": added(
        'request_headers: {add: {a: "b\\nc"}}', "request_headers.add.a", "printable ASCII"
    ),
    "an unknown protocol": added("protocol: https", "protocol", "one of http, grpc is needed, not 'https'"),
}

POLICY = {
    "no steps": changed("steps", "  steps: []", "policy.steps", "at least one step"),
    "steps that are text": changed("steps", "  steps: 5%", "policy.steps", "a list is needed"),
    "steps that fall": changed("steps", "  steps: [50%, 5%]", "policy.steps", "must rise: 5% follows 50%"),
    "steps that stand still": changed("steps", "  steps: [5%, 5%]", "policy.steps", "must rise: 5% follows 5%"),
    "steps that are equal in other words": changed("steps", "  steps: [5%, 0.05]", "policy.steps", "must rise"),
    "101 steps": changed("steps", f"  steps: [{', '.join(['1%'] * 101)}]", "policy.steps", "at most 100 entries"),
    "10 000 steps": changed("steps", f"  steps: [{', '.join(['1%'] * 10_000)}]", "policy.steps", "at most 100"),
    "a step of 0": step("0%", "above 0% and below 100%"),
    "a shadow step alone": changed("steps", "  steps: [shadow 10m]", "policy.steps", "must follow the shadow step"),
    "a shadow step in the middle": changed(
        "steps", "  steps: [5%, shadow 10m]", "policy.steps[1]", "a shadow step is the first"
    ),
    "two shadow steps": changed("steps", "  steps: [shadow 1m, shadow 2m, 5%]", "policy.steps[1]", "is the first"),
    "a shadow step without a time": changed("steps", "  steps: [shadow, 5%]", "policy.steps[0]", "a duration"),
    "a shadow step of a share": changed("steps", "  steps: [shadow 5%, 25%]", "policy.steps[0]", "a duration"),
    "a shadow step of no time": changed("steps", "  steps: [shadow 0s, 5%]", "policy.steps[0]", "between 100ms and 7d"),
    "a shadow step of what may not be sent twice": Bad(
        file("idempotent: false", steps="  steps: [shadow 10m, 5%]"), "policy.steps", LINE["steps"], "two versions"
    ),
    "a shadow step after the deadline": changed(
        "steps", "  steps: [shadow 7d, 5%]", "policy.deadline", "ends before the last step can"
    ),
    "a step of 100 %": changed("steps", "  steps: [5%, 100%]", "policy.steps[1]", "above 0% and below 100%"),
    "a step above 100 %": step("101%", "between 0% and 100%"),
    "a step in percent without the sign": step("5", "between 0% and 100%"),
    "a step below 0": step("-5%", NOT_A_SHARE),
    "a step finer than 0.01 %": step("0.005%", "multiples of 0.01%"),
    "a step of NaN": step(".nan", NOT_A_SHARE),
    "a step of nan": step("nan", NOT_A_SHARE),
    "a step without end": step(".inf", NOT_A_SHARE),
    "a step of inf": step("inf%", NOT_A_SHARE),
    "a step of 1e400": step("1e400", NOT_A_SHARE),
    "a step of 1e-2": step("1e-2", NOT_A_SHARE),
    "a step of truth": step("true", NOT_A_SHARE),
    "a step of nothing": step("null", NOT_A_SHARE),
    "an empty step": step("~", "is empty"),
    "a step with a space": step("'5 %'", NOT_A_SHARE),
    "a step with an underscore": step("1_0%", NOT_A_SHARE),
    "a step in Arabic digits": step("\u0665%", NOT_A_SHARE),
    "a step that is a list": step("[5%]", "a single value is needed"),
    "a dwell without a unit": dwell("60", NOT_A_DURATION),
    "a dwell of 0": dwell("0s", "between 100ms and 7d"),
    "a dwell below 0": dwell("-5s", NOT_A_DURATION),
    "a dwell of years": dwell("3650d", "between 100ms and 7d"),
    "a dwell of 1e400": dwell("1e400s", NOT_A_DURATION),
    "a dwell of NaN": dwell(".nan", NOT_A_DURATION),
    "a dwell without end": dwell("inf", NOT_A_DURATION),
    "a dwell in weeks": dwell("1w", NOT_A_DURATION),
    "a dwell in words": dwell("a minute", NOT_A_DURATION),
    "a dwell of two units": dwell("1m30s", NOT_A_DURATION),
    "a dwell by the clock": dwell("1:30", NOT_A_DURATION),
    "a dwell of truth": dwell("yes", NOT_A_DURATION),
    "a warm-up of a week": added("  warmup: 7d", "policy.warmup", "between 0s and 1d"),
    "a patience of a week": added("  patience: 7d", "policy.patience", "between 0s and 1d"),
    "a patience below nothing": added("  patience: -1s", "policy.patience", "a duration"),
    "a patience without a unit": added("  patience: 90", "policy.patience", "a duration"),
    "a holdback above half": added("  holdback: 50.01%", "policy.holdback", "a holdback is at most 50%, unlike"),
    "a holdback below nothing": added("  holdback: -5%", "policy.holdback", "a share such as 5%"),
    "a holdback that is a time": added("  holdback: 15m", "policy.holdback", "a share"),
    "a bake of 10 years": added("  bake: 3650d", "policy.bake", "between 0s and 30d"),
    "a deadline of 0": added("  deadline: 0s", "policy.deadline", "between 1s and 30d"),
    "a deadline before the steps": added("  deadline: 90s", "policy.deadline", "warm-up and dwells take 2m"),
    "a timeout of 0": added("timeout: 0s", "timeout", "between 1ms and 1h"),
    "a timeout of a day": added("timeout: 1d", "timeout", "between 1ms and 1h"),
    "false rollbacks never": added("  false_rollback: 0%", "policy.false_rollback", "between 0.0001% and 50%"),
    "false rollbacks mostly": added("  false_rollback: 51%", "policy.false_rollback", "between 0.0001% and 50%"),
    "a confidence of 100 %": added("  confidence: 100%", "policy.confidence", "between 50% and 99.9999%"),
    "a confidence of a coin": added("  confidence: 49%", "policy.confidence", "between 50% and 99.9999%"),
    "no margin": added("  errors: {margin: 0%}", "policy.errors.margin", "between 0.0001% and 50%"),
    "a margin of everything": added("  errors: {margin: 60%}", "policy.errors.margin", "between 0.0001% and 50%"),
    "a ratio below 1": added("  errors: {ratio: 0.9}", "policy.errors.ratio", "a number between 1 and 100"),
    "a ratio in percent": added("  errors: {ratio: 110%}", "policy.errors.ratio", "a number between 1 and 100"),
    "a ratio of NaN": added("  errors: {ratio: .nan}", "policy.errors.ratio", "a number between 1 and 100"),
    "a ratio of 1e400": added("  errors: {ratio: 1e400}", "policy.errors.ratio", "a number between 1 and 100"),
    "a ratio of nothing": added("  errors: {ratio: null}", "policy.errors.ratio", "a number between 1 and 100"),
    "a maximum below the margin": added(
        "  errors: {margin: 1%, max: 0.5%}", "policy.errors.max", "0.5% is below the margin of 1%"
    ),
    "a maximum of 0": added("  errors: {max: 0%}", "policy.errors.max", "between 0.0001% and 100%"),
    "a tolerance of 0": added("  latency: {tolerance: 0%}", "policy.latency.tolerance", "between 1% and 100%"),
    "a tolerance for the first token of what does not stream": added(
        "  latency: {ttft_tolerance: 10%}", "policy.latency.ttft_tolerance", "it needs streaming: true"
    ),
    "a tolerance for the first token of 0": added(
        "  latency: {ttft_tolerance: 0%}", "policy.latency.ttft_tolerance", "between 1% and 100%"
    ),
    "streaming as a word": added("streaming: yes", "streaming", "true or false is needed, not 'yes'"),
    "a p99 above the timeout": added("  latency: {p99: 5s}", "policy.latency.p99", "below the timeout of 5s"),
    "a p99 without a unit": added("  latency: {p99: 250}", "policy.latency.p99", NOT_A_DURATION),
    "errors that are a number": added("  errors: 5%", "policy.errors", "a mapping is needed, not '5%'"),
    "an unknown word at the deadline": added("  on_insufficient: promote", "policy.on_insufficient", "one of hold"),
    "to advance blindly": added("  on_blind: advance", "policy.on_blind", "one of hold, rollback"),
    "approval at no step": added("  approve: [10%]", "policy.approve[0]", "10% is not a step; approval is possible at"),
    "approval at the first step": added("  approve: [5%]", "policy.approve[0]", "5% is the first step"),
    "approval at 0": added("  approve: [0%]", "policy.approve[0]", "above 0%"),
    "approval above everything": added("  approve: [101%]", "policy.approve[0]", "between 0% and 100%"),
    "approval twice": added("  approve: [25%, 25%]", "policy.approve", "25% is listed twice"),
    "approval that is text": added("  approve: 25%", "policy.approve", "a list is needed"),
}

TOGETHER = {
    "a stable that is no version": changed("stable", "stable: v9", "stable", "v9 is not among the versions: v1, v2"),
    "a stable without endpoints": Bad(
        file(v1="  v1: {endpoints: []}"), "stable", LINE["stable"], "versions.v1 has no endpoints"
    ),
    "a rollout without a canary": added("rollout: {}", "rollout.canary", "is missing"),
    "a rollout of no version": added("rollout: {canary: v9}", "rollout.canary", "v9 is not among the versions"),
    "a rollout with a share": added("rollout: {canary: v2, share: 5%}", "rollout.share", "unknown key"),
    "a rollout of a version without endpoints": Bad(
        file("rollout: {canary: v2}", v2="  v2: {endpoints: []}"), "rollout.canary", END, "has no endpoints"
    ),
    "a fallback that is nothing": added("fallback: {}", "fallback", "name a version, or a status and a body"),
    "a fallback of two kinds": added("fallback: {version: v2, status: 503}", "fallback.version", "not both"),
    "a fallback that is no version": added("fallback: {version: v9}", "fallback.version", "not among the versions"),
    "a fallback that is the stable": added("fallback: {version: v1}", "fallback.version", "v1 is the stable"),
    "a fallback without endpoints": Bad(
        file("fallback: {version: v2}", v2="  v2: {endpoints: []}"), "fallback.version", END, "has no endpoints"
    ),
    "a fallback with a status of 99": added("fallback: {status: 99}", "fallback.status", "from 200 to 599"),
    "a fallback with a status of 600": added("fallback: {status: 600}", "fallback.status", "from 200 to 599"),
    "a fallback with a book": added(f"fallback: {{body: {'x' * 4097}}}", "fallback.body", "at most 4096 bytes"),
    "an automatic fallback to nothing": added(
        "  fallback: automatic", "policy.fallback", "needs a fallback to be declared"
    ),
}

ROWS = {**FORM, **KEYS, **UPSTREAM, **NAMES, **ADDRESSES, **POLICY, **TOGETHER}


@pytest.mark.proves("bad-input 21")
@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in ROWS.items()])
def test_each_mistake_is_reported_with_its_field_and_line(bad: Bad) -> None:
    """One mistake gives one violation with the field, the line, and what would be valid, of bounded length."""
    result = read_service(bad.text)
    assert result.service is None
    found = result.violations[0]
    assert (found.field, found.line) == (bad.field, bad.line), result.violations
    assert bad.message in found.message
    assert len(result.violations) == 1, result.violations
    assert len(str(found)) < 600


def test_the_rows_start_from_a_valid_file() -> None:
    """If the common file were invalid itself, every row would prove nothing."""
    assert read_service(file()).service is not None
    assert set(LINE) == set(GOOD)
