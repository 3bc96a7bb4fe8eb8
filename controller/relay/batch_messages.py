"""Batches of reports as messages, and back. Whatever comes is checked whole before any of it counts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from controller.core.base.text import is_printable
from controller.core.traffic.latency_buckets import BUCKETS
from controller.core.traffic.report_batch import Counters, Health, Histograms, ProxyReport, ReportBatch, Split
from controller.core.traffic.reports import IDLE, ClusterLoad, CounterKind
from controller.pb.haldane.relay.v1 import relay_pb2 as pb

MAX_NAME = 512
"""Characters of a name: of a proxy, a cluster, a service or a split."""
MAX_CLUSTERS = 100_000
"""Clusters that one batch names: 10 000 services with some versions each in several roles."""
MAX_REPORTS = 20_000
MAX_COUNT = 2**40
"""The greatest plausible count: a million requests a second for twelve days."""
MAX_NUMBER = 2**53
"""The greatest number of a batch: more than a controller sends in a million years."""
LONGEST_INTERVAL = 60.0
"""Seconds between two load reports of a proxy at most."""

_KINDS: Mapping[int, CounterKind] = {pb.Counter.Value(kind.name): kind for kind in CounterKind}
_NUMBERS: Mapping[CounterKind, int] = {kind: pb.Counter.Value(kind.name) for kind in CounterKind}


Number = Callable[[str], int]
"""Gives each cluster its number in the batch."""


class InvalidUpdate(ValueError):  # noqa: N818
    """A message that no controller sends, and what is wrong with it."""


def batch_message(batch: ReportBatch) -> pb.Batch:
    """The batch as a message."""
    numbers: dict[str, int] = {}

    def number(cluster: str) -> int:
        return numbers.setdefault(cluster, len(numbers))

    reports = [_report_message(proxy, report, number) for proxy, report in batch.reports.items()]
    splits = [
        pb.Split(service=service, decided=split.decided, lagging=split.lagging)
        for service, split in batch.splits.items()
    ]
    return pb.Batch(number=batch.number, clusters=list(numbers), reports=reports, splits=splits)


def read_batch(message: pb.Batch) -> ReportBatch:
    """The batch in the message. `InvalidUpdate` if there is anything wrong with it."""
    if not 0 < message.number <= MAX_NUMBER:
        raise InvalidUpdate(f"a batch's number is from 1 to {MAX_NUMBER}, not {message.number}")
    clusters = message.clusters
    if len(clusters) > MAX_CLUSTERS:
        raise InvalidUpdate(f"a batch names at most {MAX_CLUSTERS} clusters")
    if len(message.reports) > MAX_REPORTS:
        raise InvalidUpdate(f"a batch holds at most {MAX_REPORTS} reports")
    names = [validate_name(each, "a cluster") for each in clusters]
    try:
        reports = {validate_name(each.proxy, "a proxy"): _report(each, names) for each in message.reports}
    except IndexError:
        raise InvalidUpdate(f"a batch of {len(names)} clusters has numbers of others") from None
    return ReportBatch(message.number, reports, dict(map(_split, message.splits)))


def validate_name(name: str, what: str) -> str:
    """The name, if it can be logged and shown. `InvalidUpdate` otherwise."""
    if not name or len(name) > MAX_NAME or not is_printable(name):
        raise InvalidUpdate(f"the name of {what} has 1 to {MAX_NAME} printable characters")
    return name


def _report_message(proxy: str, report: ProxyReport, number: Number) -> pb.Report:
    idle: list[int] = []
    loads: list[int] = []
    for name, load in report.loads.items():
        if load is IDLE:
            idle.append(number(name))
        else:
            loads += (number(name), *load)
    message = pb.Report(
        proxy=proxy,
        interval_ms=round(report.interval * 1000),
        idle=idle,
        loads=loads,
        flushed=report.flushed,
        ended=report.ended,
    )
    if report.counters:
        message.counters.extend(
            [each for (name, kind), n in report.counters.items() for each in (number(name), _NUMBERS[kind], n)]
        )
    if report.latency:
        message.latency.extend(_histogram_messages(report.latency, number))
    if report.ttft:
        message.ttft.extend(_histogram_messages(report.ttft, number))
    if report.health:
        message.health.CopyFrom(
            pb.Health(healthy=_pairs(report.health.healthy, number), members=_pairs(report.health.members, number))
        )
    return message


def _histogram_messages(histograms: Histograms, number: Number) -> Iterator[pb.Histogram]:
    for name, counts in histograms.items():
        yield pb.Histogram(cluster=number(name), counts=[each for pair in counts.items() for each in pair])


def _pairs(counts: Mapping[str, int], number: Number) -> list[int]:
    return [each for name, count in counts.items() for each in (number(name), count)]


def _report(message: pb.Report, names: Sequence[str]) -> ProxyReport:
    interval = message.interval_ms / 1000
    if interval > LONGEST_INTERVAL:
        raise InvalidUpdate(f"a proxy reports every {LONGEST_INTERVAL:.0f} s at least")
    loads = {names[each]: IDLE for each in message.idle}
    for cluster, started, ok, errors, in_progress in _grouped(message.loads, 5):
        loads[names[cluster]] = ClusterLoad(started, ok, errors, in_progress)
        if started + ok + errors + in_progress > MAX_COUNT:
            raise InvalidUpdate(f"a proxy's counts are at most {MAX_COUNT}")
    report = ProxyReport(loads, interval, flushed=message.flushed, ended=message.ended)
    if message.counters:
        report.counters = _counters(message.counters, names)
    if message.latency:
        report.latency = _histograms(message.latency, names)
    if message.ttft:
        report.ttft = _histograms(message.ttft, names)
    if message.HasField("health"):
        report.health = Health(_by_name(message.health.healthy, names), _by_name(message.health.members, names))
    return report


def _counters(numbers: Sequence[int], names: Sequence[str]) -> Counters:
    """A kind that a newer controller counts is left out."""
    counters: Counters = {}
    for cluster, kind, risen in _grouped(numbers, 3):
        if risen > MAX_COUNT:
            raise InvalidUpdate(f"a counter rises by at most {MAX_COUNT}")
        if known := _KINDS.get(kind):
            counters[names[cluster], known] = risen
    return counters


def _histograms(messages: Iterable[pb.Histogram], names: Sequence[str]) -> Histograms:
    histograms: Histograms = {}
    for message in messages:
        counts = {bucket: count for bucket, count in _grouped(message.counts, 2)}  # noqa: C416  # typed so
        if any(bucket >= BUCKETS or count > MAX_COUNT for bucket, count in counts.items()):
            raise InvalidUpdate(f"a histogram has {BUCKETS} buckets, and at most {MAX_COUNT} in each")
        histograms[names[message.cluster]] = counts
    return histograms


def _by_name(numbers: Sequence[int], names: Sequence[str]) -> dict[str, int]:
    return {names[cluster]: count for cluster, count in _grouped(numbers, 2)}


def _grouped(numbers: Sequence[int], size: int) -> "zip[tuple[int, ...]]":
    if len(numbers) % size:
        raise InvalidUpdate(f"numbers come {size} at a time, and here are {len(numbers)}")
    each = iter(numbers)
    return zip(*[each] * size, strict=True)


def _split(message: pb.Split) -> tuple[str, Split]:
    for name in (message.service, message.decided, *message.lagging, *message.lagging.values()):
        validate_name(name, "a split")
    return message.service, Split(message.decided, dict(message.lagging))
