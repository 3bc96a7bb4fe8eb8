"""The log of one controller: what adds up, what is told apart, and what is kept how long."""

from controller.core.traffic import report_log
from controller.core.traffic.report_batch import Split
from controller.core.traffic.report_log import ReportLog
from controller.core.traffic.reports import IDLE, ClusterLoad, CounterKind, ProxyMetrics

V1, V2 = "scorer/v1", "scorer/v2"


def test_reports_add_up_until_somebody_takes_them() -> None:
    """A batch grows by proxies, not by time: requests add up, those in progress are the newest."""
    log = ReportLog()
    for in_progress in (3, 1):
        log.add_load("p", {V1: ClusterLoad(10, 8, 2, in_progress), V2: IDLE}, 0.2)
        log.add_metrics("p", {(V1, CounterKind.BROKEN): 1}, ProxyMetrics(latency={V1: {7: 4}}, healthy={V1: 2}))
    batch = log.next()
    assert batch
    assert batch.number == 1
    (report,) = batch.reports.values()
    assert report.loads == {V1: ClusterLoad(20, 16, 4, 1), V2: IDLE}
    assert report.counters == {(V1, CounterKind.BROKEN): 2}
    assert report.latency == {V1: {7: 8}}
    assert report.health
    assert report.health.healthy == {V1: 2}
    assert log.next() is batch  # until it is acknowledged


def test_what_follows_an_end_is_a_new_beginning() -> None:
    """A proxy that ends and comes back within one batch has not ended; one that only ends has nothing in progress."""
    log = ReportLog()
    log.add_load("gone", {V1: ClusterLoad(5, 1, 0, 4)}, 0.2)
    log.add_load("back", {V1: ClusterLoad(5, 1, 0, 4)}, 0.2)
    log.end("gone")
    log.end("back")
    log.add_load("back", {V1: ClusterLoad(0, 4, 0, 0)}, 0.2)
    batch = log.next()
    assert batch
    assert [batch.reports[name].ended for name in ("gone", "back")] == [True, False]
    assert batch.reports["gone"].loads[V1] == ClusterLoad(5, 1, 0, 0)
    assert batch.reports["back"].loads[V1] == ClusterLoad(5, 5, 0, 0)


def test_a_change_of_the_split_closes_the_batch() -> None:
    """What was reported under one split is not mixed with what follows, although nobody takes batches."""
    log = ReportLog()
    log.add_load("p", {V1: ClusterLoad(1, 1)}, 0.2)
    log.set_splits({"scorer": Split("v2=500 v1=9500", {})})
    log.set_splits({"scorer": Split("v2=2500 v1=7500", {"p": "0f"})})
    log.add_load("p", {V1: ClusterLoad(2, 2)}, 0.2)
    log.set_splits({"scorer": Split("v2=2500 v1=7500", {"p": "0f"})})
    first = log.next()
    assert first
    assert first.splits == {"scorer": Split("v2=500 v1=9500", {})}
    log.acknowledge(1, 0)
    second = log.next()
    assert second
    assert (second.number, second.reports["p"].loads[V1].started) == (2, 2)
    assert second.splits == {"scorer": Split("v2=2500 v1=7500", {"p": "0f"})}


def test_an_acknowledged_batch_is_kept_until_it_is_safe() -> None:
    """Whoever decides next can ask for it again; once it is in every saved session it is dropped."""
    log = ReportLog()
    for _ in range(3):
        log.add_load("p", {V1: ClusterLoad(1, 1)}, 0.2)
        batch = log.next()
        assert batch
        log.acknowledge(batch.number, 0)
    assert log.next() is None
    log.acknowledge(3, 1)
    log.resume(0)
    again = log.next()
    assert again
    assert again.number == 2
    log.acknowledge(3, 3)
    log.resume(0)
    assert log.next() is None


def test_a_new_stream_is_told_of_every_proxy_s_endpoints() -> None:
    """They are sent when they change, which the one that decides now has not seen."""
    log = ReportLog()
    for proxy in ("stays", "goes"):
        log.add_metrics(proxy, {}, ProxyMetrics(healthy={V1: 2}, members={V1: 3}))
    log.acknowledge(1 if log.next() else 0, 1)
    log.add_metrics("stays", {}, ProxyMetrics(healthy={V1: 2}))
    batch = log.next()
    assert batch
    assert batch.reports["stays"].health is None
    log.acknowledge(2, 2)
    log.forget("goes")
    log.resume(2)
    batch = log.next()
    assert batch
    assert {name: report.health for name, report in batch.reports.items()} == {"stays": ({V1: 2}, {V1: 3})}


def test_memory_is_bounded_while_nobody_decides(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Proxies that come and go under new names are dropped, the oldest first, and counted."""
    monkeypatch.setattr(report_log, "MAX_OPEN", 10)
    monkeypatch.setattr(report_log, "MAX_WAITING", 3)
    log = ReportLog()
    for number in range(100):
        log.add_load(f"p{number}", {V1: ClusterLoad(1, 1)}, 0.2)
        log.end(f"p{number}")
    batch = log.next()
    assert batch
    assert batch.number == 7
    assert log.dropped == 60
    assert list(batch.reports) == [f"p{number}" for number in range(60, 70)]


def test_memory_is_bounded_while_nothing_is_saved(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Beyond the bound the oldest acknowledged batches are dropped: only a successor would have wanted them."""
    monkeypatch.setattr(report_log, "MAX_KEPT", 5)
    log = ReportLog()
    for _ in range(20):
        log.add_load("p", {V1: ClusterLoad(1, 1)}, 0.2)
        batch = log.next()
        assert batch
        log.acknowledge(batch.number, 0)
    log.resume(0)
    batch = log.next()
    assert batch
    assert batch.number == 16


def test_a_large_fleet_is_sent_in_parts() -> None:
    """No message is larger than the port takes."""
    log = ReportLog()
    for number in range(1200):
        log.add_load(f"p{number}", {V1: ClusterLoad(1, 1)}, 0.2)
    sizes = []
    while batch := log.next():
        sizes.append(len(batch.reports))
        log.acknowledge(batch.number, batch.number)
    assert sizes == [500, 500, 200]
