"""Envoy's access loggers that count how responses end; the counters leave by the metrics sink.

They are the listener's loggers and not the router's, which knows of no timeout and of no client that left. A response
whose headers were passed on is never retried: the client's response and the last attempt are one.
"""

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
from envoy_data_plane.envoy.config.core.v3 import RuntimeUInt32
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import Config, ConfigCounter, ConfigStat, ConfigTag
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import Scope
from envoy_data_plane.google.protobuf import Any

from controller.core.traffic.response_flags import (
    BROKEN_FLAGS,
    CANCELLED_FLAGS,
    DURATION_FLAGS,
    IDLE_FLAG,
    REPORTED_OK,
    STATS_PREFIX,
    UNREPORTED,
)

STATS_LOGGER = "envoy.access_loggers.stats"
MOST_COUNTERS = 10_000
"""Counters of one logger. There is one for each cluster and combination of flags that occurred."""
_GRPC = r"application/grpc(\+.*)?"
_NO_RUNTIME_KEY = "haldane.none"
"""Envoy requires a key for each threshold, with which its runtime could change it."""


def stats_loggers() -> list[AccessLog]:
    """Two loggers: of bad ends that load reports count as successes, and of those that they do not count.

    Of HTTP, load reports count a response at its headers; of gRPC, once it has ended, unless a client or a timeout
    ended it after its headers. A gRPC call without a status in its response counts as UNKNOWN.
    """
    after_headers = _all(_code(ComparisonFilterOp.GE, 200), _code(ComparisonFilterOp.LE, 399))
    left = _all(_flags(*CANCELLED_FLAGS), _any(_code(ComparisonFilterOp.EQ, 0), _grpc(True)))
    idle = _all(_flags(IDLE_FLAG), _any(_code(ComparisonFilterOp.EQ, 504), _grpc(True)))
    too_long = _all(_flags(*DURATION_FLAGS), _grpc(True), _no_grpc_status())
    return [
        _logger(REPORTED_OK, _all(_flags(*BROKEN_FLAGS, *CANCELLED_FLAGS), after_headers, _grpc(False))),
        _logger(UNREPORTED, _any(left, idle, too_long)),
    ]


def _logger(name: str, only: AccessLogFilter) -> AccessLog:
    tags = [
        ConfigTag(name="cluster", value_format="%UPSTREAM_CLUSTER%"),
        ConfigTag(name="flags", value_format="%RESPONSE_FLAGS%"),
    ]
    counter = ConfigCounter(stat=ConfigStat(name=name, tags=tags), value_fixed=1)
    config = Config(stats_scope=Scope(prefix=STATS_PREFIX, max_counters=MOST_COUNTERS), counters=[counter])
    return AccessLog(name=STATS_LOGGER, filter=only, typed_config=Any.pack(config))


def _all(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def _any(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(or_filter=OrFilter(filters=list(filters)))


def _flags(*flags: str) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def _code(op: ComparisonFilterOp, code: int) -> AccessLogFilter:
    value = RuntimeUInt32(default_value=code, runtime_key=_NO_RUNTIME_KEY)
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=op, value=value)))


def _no_grpc_status() -> AccessLogFilter:
    return AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=[GrpcStatusFilterStatus.UNKNOWN]))


def _grpc(wanted: bool) -> AccessLogFilter:
    """Whether Envoy takes the request for a gRPC call: by its content type, as Envoy does."""
    matcher = HeaderMatcher(
        name="content-type",
        string_match=StringMatcher(safe_regex=RegexMatcher(regex=_GRPC)),
        invert_match=not wanted,
        treat_missing_header_as_empty=True,
    )
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))
