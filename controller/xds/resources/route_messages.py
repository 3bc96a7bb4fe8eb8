"""Routes -> Envoy's virtual hosts, serialised. The messages are in `wire/v1/resources.proto`."""

import re
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import UInt32Value

from controller.core.model.cluster_names import Role, cluster_parts
from controller.core.model.envoy_fields import EnvoyMessage
from controller.core.model.route_rules import Condition, Sticky
from controller.core.routing.route import REQUEST_ID, HashSource, Route, RouteOptions
from controller.core.routing.routing import VirtualHost
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.cluster_messages import METADATA
from controller.xds.resources.message_parts import any_of

VERSION_HEADER = "x-haldane-version"
"""The response header that names the version of the response: for operators with curl, for clients' logs, for tests."""
APPEND, OVERWRITE = 0, 2
"""What is done with a header that is there: see HeaderAppendAction."""
NOT_SENT = "connect-failure,refused-stream,reset-before-request"
"""Failures after which a server has surely not seen the request: to try again is safe, whatever the request does."""
HOST_CHOICES = 20
"""How often a retry draws again when it draws the endpoint that has just failed. A dead one has no requests in
progress, so the balance by least requests prefers it."""
PREVIOUS_HOSTS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
QUIET = 300.0
"""Seconds. Envoy's connection manager ends a stream that is silent for so long, unless its route says otherwise."""
GRACE = 5.0
"""Seconds between two timers that start together, so that the one that is meant fires first."""


SECOND_ATTEMPT = (
    ("x-envoy-retry-on", "5xx,reset,connect-failure,refused-stream"),
    ("x-envoy-retry-grpc-on", "internal,unavailable,deadline-exceeded,resource-exhausted"),
    ("x-envoy-max-retries", "1"),
)
"""What fails on a shielded canary is tried once more. A retry policy is of a whole route and would also repeat what
fails on stable; these headers ask for it request by request, and Envoy removes them before it sends the request."""
SOON = pb.RetryBackOff(base_interval=Duration(nanos=1_000_000), max_interval=Duration(nanos=10_000_000))
"""A second attempt goes to another version, so there is nothing to wait for."""
MOST_REPEATED = 8 * 1024 * 1024
"""Bytes of a request that are kept for another attempt. Longer requests are tried once. Envoy's own limit is that of a
connection, 1 MiB: less than an image or a batch of tensors."""
VERSION_OF_ENDPOINT = f"%UPSTREAM_METADATA({METADATA}:version)%"
"""The version of the endpoint that responded, whichever attempt that was."""


def virtual_host(value: VirtualHost, name: str) -> bytes:
    """A VirtualHost with its routes in the given order."""
    routes = map(_route, value.routes)
    return pb.VirtualHost(name=name, domains=value.domains, routes=routes).SerializeToString()


def proxyless_virtual_host(value: VirtualHost, name: str) -> bytes:
    """The same for gRPC, which has the timeout in another place, does not know prefixes of whole
    segments, and retries by itself what has not left the client. See `proxyless_routes` for what it can have at all."""
    routes = map(_proxyless_route, value.routes)
    return pb.VirtualHost(name=name, domains=value.domains, routes=routes).SerializeToString()


def _route(value: Route) -> pb.Route:
    route = _matched(value)
    if value.match.exact:
        route.match.path = value.match.path
    elif value.match.path.endswith("/"):
        route.match.prefix = value.match.path
    else:
        route.match.path_separated_prefix = value.match.path
    if not value.fixed:
        route.route.CopyFrom(_action(value))
        # A percent sign would begin one of Envoy's format commands.
        added = ((name, text.replace("%", "%%")) for name, text in value.options.request_headers.add)
        route.request_headers_to_add.extend(_header(*header) for header in added)
        route.request_headers_to_remove.extend(value.options.request_headers.remove)
        if value.options.shield or value.options.retry.attempts:
            route.request_body_buffer_limit.value = MOST_REPEATED
        if value.minted:
            route.response_headers_to_add.append(_cookie(value.minted))
    if value.options.envoy:
        _add_envoys_own(route, value)
    return route


def _add_envoys_own(route: pb.Route, value: Route) -> None:
    """Add Envoy's own fields to a route; what it does is not added to one that Envoy responds to itself."""
    from controller.core.servicefile.envoy_messages import encoded  # see there why not above

    added = pb.Route.FromString(encoded(EnvoyMessage.ROUTE, value.options.envoy))
    if value.fixed:
        added.ClearField("route")
    route.MergeFrom(added)


def _proxyless_route(value: Route) -> pb.Route:
    route, options = _matched(value), value.options
    if value.match.exact:
        route.match.path = value.match.path
    else:
        route.match.prefix = value.match.path
    if not value.fixed:
        route.route.weighted_clusters.CopyFrom(_weighted_clusters(value))
        limit = options.timeout if options.stream is None else options.stream.max_duration or 0.0
        route.route.max_stream_duration.max_stream_duration.CopyFrom(_seconds(limit))
    return route


def _matched(value: Route) -> pb.Route:
    route = pb.Route(name=value.service)
    for condition in value.conditions:
        _add_condition(route.match, condition)
    if value.fixed:
        route.direct_response.status, route.direct_response.body.inline_string = value.fixed
    return route


def _add_condition(match: pb.RouteMatch, condition: Condition) -> None:
    if condition.source == "cookie":
        value = "[^;]*" if condition.value is None else re.escape(condition.value)
        header = match.headers.add(name="cookie")
        header.string_match.safe_regex.regex = rf"(.*;\s*)?{re.escape(condition.name)}={value}(\s*;.*)?"
    elif condition.source == "query":
        match.query_parameters.add(name=condition.name).string_match.exact = condition.value or ""
    else:
        match.headers.add(name=condition.name).string_match.exact = condition.value or ""


def _action(value: Route) -> pb.RouteAction:
    """A whole response ends within `timeout`, and nothing else ends it. Of a stream, and of a shielded service, which
    may need two tries, `timeout` is that of each try: Envoy holds it until it passes the response's headers on."""
    options, stream = value.options, value.options.stream
    action = pb.RouteAction(
        weighted_clusters=_weighted_clusters(value),
        upgrade_configs=[pb.UpgradeConfig(upgrade_type=name) for name in options.upgrades],
    )
    if value.hash_on:
        action.weighted_clusters.use_hash_policy.value = True
        action.hash_policy.append(_hash_policy(value.hash_on))
    if value.mirror:
        cluster, share = value.mirror
        fraction = pb.FractionalPercent(numerator=share, denominator=pb.FractionalPercent.TEN_THOUSAND)
        policy = pb.RequestMirrorPolicy(cluster=cluster, runtime_fraction=pb.RuntimeFraction(default_value=fraction))
        action.request_mirror_policies.append(policy)
    if options.retry.attempts:
        action.retry_policy.CopyFrom(_retries(options))
    if options.shield:
        action.retry_policy.retry_back_off.CopyFrom(SOON)
    if stream or options.shield:
        action.retry_policy.per_try_timeout.CopyFrom(_seconds(options.timeout))
    if stream is None:
        whole = options.timeout * (2 if options.shield else 1)
        action.timeout.CopyFrom(_seconds(whole))
        if whole > QUIET - GRACE:
            action.idle_timeout.CopyFrom(_seconds(whole + GRACE))
        return action
    action.timeout.CopyFrom(_seconds(0.0))  # none
    action.idle_timeout.CopyFrom(_seconds(stream.idle_timeout))
    if stream.max_duration is not None:
        action.max_stream_duration.max_stream_duration.CopyFrom(_seconds(stream.max_duration))
    return action


def _hash_policy(source: HashSource) -> pb.HashPolicy:
    match source.source:
        case "header":
            return pb.HashPolicy(header=pb.HashedHeader(header_name=source.name))
        case "cookie":
            return pb.HashPolicy(cookie=pb.HashedCookie(name=source.name))
        case "source_ip":
            return pb.HashPolicy(connection_properties=pb.ConnectionProperties(source_ip=True))


def _retries(options: RouteOptions) -> pb.RetryPolicy:
    policy = pb.RetryPolicy(retry_on=NOT_SENT, num_retries=UInt32Value(value=options.retry.attempts))
    if options.several_endpoints:
        policy.retry_host_predicate.add(
            name="envoy.retry_host_predicates.previous_hosts", typed_config=any_of(PREVIOUS_HOSTS, Empty())
        )
        policy.host_selection_retry_max_attempts = HOST_CHOICES
    return policy


def _weighted_clusters(value: Route) -> pb.WeightedCluster:
    """Always weighted clusters, even one: a step then changes numbers, never the structure."""
    header, own = value.options.version_header, dict(value.own)
    weights = [_cluster_weight(*share, header=header, version=own.get(share[0], "")) for share in value.split]
    return pb.WeightedCluster(clusters=weights)


def _cluster_weight(name: str, weight: int, *, header: bool, version: str) -> pb.ClusterWeight:
    """A share of the requests. `version` is that of a cluster whose name does not say it."""
    share, parts = pb.ClusterWeight(name=name, weight=UInt32Value(value=weight)), cluster_parts(name)
    shielded = parts is not None and parts.role is Role.SHIELDED
    if shielded:
        share.request_headers_to_add.extend(_header(*each) for each in SECOND_ATTEMPT)
    if header:
        version = version or (VERSION_OF_ENDPOINT if shielded or not parts else parts.version)
        share.response_headers_to_add.append(_header(VERSION_HEADER, version))
    return share


def _cookie(minted: Sticky) -> pb.HeaderValueOption:
    """The cookie by which its user keeps the version: the id of the first request."""
    value = f"{minted.name}=%REQ({REQUEST_ID})%; Path=/; Max-Age={minted.ttl:.0f}; HttpOnly; SameSite=Lax"
    return _header("set-cookie", value, action=APPEND)


def _header(name: str, value: str, *, action: int = OVERWRITE) -> pb.HeaderValueOption:
    return pb.HeaderValueOption(header=pb.HeaderValue(key=name, value=value), append_action=action)


def _seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=value))
    return duration
