"""Envoy's access loggers that count how responses end and time first tokens; both leave by the metrics sink.

They are the listener's loggers and not the router's, which knows of no timeout and of no client that left. A response
whose headers were passed on is never retried: the client's response and the last attempt are one.
"""

from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from controller.core.traffic.response_flags import (
    BROKEN_FLAGS,
    CANCELLED_FLAGS,
    DURATION_FLAGS,
    FIRST_TOKEN,
    IDLE_FLAG,
    REPORTED_OK,
    STATS_PREFIX,
    UNREPORTED,
)
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.message_parts import any_of

STATS_LOGGER = "envoy.access_loggers.stats"
CONFIG = "envoy.extensions.access_loggers.stats.v3.Config"
MOST_STATS = 10_000
"""Counters or histograms of one logger. There is one for each cluster, and combination of flags that occurred."""
TIME_TO_FIRST_BYTE = "%COMMON_DURATION(US_TX_END:US_RX_BODY_BEG:ms)%"
_CLUSTER = pb.Tag(name="cluster", value_format="%UPSTREAM_CLUSTER%")
_GRPC = r"application/grpc(\+.*)?"
_GRPC_UNKNOWN = 2
_NO_RUNTIME_KEY = "haldane.none"
"""Envoy requires a key for each threshold, with which its runtime could change it."""


def stats_loggers() -> list[pb.AccessLog]:
    """Two loggers: of bad ends that load reports count as successes, and of those that they do not count.

    Of HTTP, load reports count a response at its headers; of gRPC, once it has ended, unless a client or a timeout
    ended it after its headers. A gRPC call without a status in its response counts as UNKNOWN.
    """
    after_headers = _all(_code(pb.ComparisonFilter.GE, 200), _code(pb.ComparisonFilter.LE, 399))
    left = _all(_flags(*CANCELLED_FLAGS), _any(_code(pb.ComparisonFilter.EQ, 0), _grpc(True)))
    idle = _all(_flags(IDLE_FLAG), _any(_code(pb.ComparisonFilter.EQ, 504), _grpc(True)))
    too_long = _all(_flags(*DURATION_FLAGS), _grpc(True), _no_grpc_status())
    return [
        _counter(REPORTED_OK, _all(_flags(*BROKEN_FLAGS, *CANCELLED_FLAGS), after_headers, _grpc(False))),
        _counter(UNREPORTED, _any(left, idle, too_long)),
    ]


def first_token_logger() -> pb.AccessLog:
    """A logger of the time from the end of the request to the first byte of the response's body.

    Responses with an error, and requests without a response, are left out. Of one without a body there is no such
    time: Envoy counts nothing, and writes an error line to its own log, at most every ten seconds. A time point that it
    does not know is absent likewise.
    """
    stat = pb.Stat(name=FIRST_TOKEN, tags=[_CLUSTER])
    histogram = pb.HistogramConfig(stat=stat, unit=pb.HistogramConfig.MILLISECONDS, value_format=TIME_TO_FIRST_BYTE)
    good = _all(_code(pb.ComparisonFilter.GE, 200), _code(pb.ComparisonFilter.LE, 399))
    scope = pb.StatsScope(prefix=STATS_PREFIX, max_histograms=UInt32Value(value=MOST_STATS))
    return _logger(pb.StatsLogger(stats_scope=scope, histograms=[histogram]), good)


def _counter(name: str, only: pb.AccessLogFilter) -> pb.AccessLog:
    stat = pb.Stat(name=name, tags=[_CLUSTER, pb.Tag(name="flags", value_format="%RESPONSE_FLAGS%")])
    counter = pb.CounterConfig(stat=stat, value_fixed=UInt64Value(value=1))
    scope = pb.StatsScope(prefix=STATS_PREFIX, max_counters=UInt32Value(value=MOST_STATS))
    return _logger(pb.StatsLogger(stats_scope=scope, counters=[counter]), only)


def _logger(config: pb.StatsLogger, only: pb.AccessLogFilter) -> pb.AccessLog:
    return pb.AccessLog(name=STATS_LOGGER, filter=only, typed_config=any_of(CONFIG, config))


def _all(*filters: pb.AccessLogFilter) -> pb.AccessLogFilter:
    return pb.AccessLogFilter(and_filter=pb.AndFilter(filters=filters))


def _any(*filters: pb.AccessLogFilter) -> pb.AccessLogFilter:
    return pb.AccessLogFilter(or_filter=pb.OrFilter(filters=filters))


def _flags(*flags: str) -> pb.AccessLogFilter:
    return pb.AccessLogFilter(response_flag_filter=pb.ResponseFlagFilter(flags=flags))


def _code(op: pb.ComparisonFilter.Comparison, code: int) -> pb.AccessLogFilter:
    value = pb.RuntimeUInt32(default_value=code, runtime_key=_NO_RUNTIME_KEY)
    comparison = pb.ComparisonFilter(op=op, value=value)
    return pb.AccessLogFilter(status_code_filter=pb.StatusCodeFilter(comparison=comparison))


def _no_grpc_status() -> pb.AccessLogFilter:
    return pb.AccessLogFilter(grpc_status_filter=pb.GrpcStatusFilter(statuses=[_GRPC_UNKNOWN]))


def _grpc(wanted: bool) -> pb.AccessLogFilter:
    """Whether Envoy takes the request for a gRPC call: by its content type, as Envoy does."""
    matcher = pb.HeaderMatcher(
        name="content-type",
        string_match=pb.ValueMatcher(safe_regex=pb.RegexMatcher(regex=_GRPC)),
        invert_match=not wanted,
        treat_missing_header_as_empty=True,
    )
    return pb.AccessLogFilter(header_filter=pb.HeaderFilter(header=matcher))
