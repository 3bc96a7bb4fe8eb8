"""Reports that come before their reporter is known to be a proxy: nothing of them is lost, nothing counts before."""

from controller.core.model.cluster_names import cluster_name
from controller.core.traffic.book import Book
from controller.core.traffic.held_reports import HeldLoads, HeldMetrics
from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics

V1, V2 = cluster_name("s", "v1"), cluster_name("s", "v2")
BOTH = frozenset((V1, V2))
NONE: frozenset[str] = frozenset()


def flush(uptime: float, healthy: int = 1, **bad: int) -> ProxyMetrics:
    """A flush of both versions; `bad` are their 4xx so far."""
    counters = {(cluster_name("s", v), CounterKind.CLIENT_ERRORS): count for v, count in bad.items()}
    return ProxyMetrics(uptime, counters, latency={V2: {3: 1}}, healthy={V1: healthy, V2: healthy}, clusters=BOTH)


def counted(*flushes: tuple[ProxyMetrics, frozenset[str]], book: Book | None = None) -> Book:
    """A book with what counts of these flushes of one proxy, each with the clusters that are admitted then."""
    book = book or Book()
    book.track_clusters([V1, V2])
    held = HeldMetrics()
    for now, (metrics, admitted) in enumerate(flushes):
        for counting in held.admit(metrics, book.observed, admitted):
            book.on_metrics("edge", counting, float(now))
    return book


def client_errors(book: Book) -> int:
    """The 4xx of v2 that are known, once its good responses have been reported."""
    book.on_load_report("edge", {V2: ClusterLoad(100, 100)}, 1.0, 9.0)
    return book.totals()["s", "v2"]["4xx"]


def test_held_load_counts_once_with_the_first_report_that_counts() -> None:
    """Sums; of the requests in progress, the newest number."""
    held = HeldLoads()
    for _ in range(2):
        assert held.admit({V1: ClusterLoad(3, 2, 1, 4), "x": ClusterLoad(9)}, BOTH, NONE) == {}
    assert held.has_requests
    assert held.admit({V1: ClusterLoad(1, 1, 0, 2), V2: ClusterLoad(5)}, BOTH, frozenset((V1,))) == {
        V1: ClusterLoad(7, 5, 2, 2)
    }
    assert held.admit({V2: ClusterLoad(1)}, BOTH, BOTH) == {V2: ClusterLoad(6)}
    assert not held.has_requests
    assert held.admit({V1: ClusterLoad(1)}, BOTH, BOTH) == {V1: ClusterLoad(1)}


def test_a_stranger_changes_nothing_in_the_book() -> None:
    """Neither its counters, nor its latencies, nor the endpoints that it has."""
    book = counted((flush(100.0, healthy=0, v2=5), NONE), (flush(100.5, healthy=0, v2=50), NONE))
    assert client_errors(book) == 0
    assert book.endpoint_health("s", "v2", 1.0) is None
    assert book.traffic("s", "v2", 1.0).p99_ms == 0


def test_counters_count_from_their_first_value_also_if_it_was_held() -> None:
    """Of a proxy that was there before: from the first flush on, as if it had counted at once."""
    assert (
        client_errors(counted((flush(100.0, v2=5), NONE), (flush(100.5, v2=7), NONE), (flush(101.0, v2=8), BOTH))) == 3
    )


def test_all_that_a_young_proxy_has_counted_is_new() -> None:
    """Its first flush came before its ACK."""
    assert client_errors(counted((flush(0.5, v2=2), NONE), (flush(9.0, v2=8), BOTH))) == 8


def test_the_counters_of_a_proxy_that_comes_back_go_on() -> None:
    """Nothing of the time without an xDS stream is lost, and nothing counts twice."""
    book = counted((flush(100.0, v2=5), BOTH))
    counted((flush(110.0, v2=9), NONE), (flush(110.5, v2=12), BOTH), book=book)
    assert client_errors(book) == 7


def test_a_cluster_that_is_confirmed_later_is_no_restart() -> None:
    """Its held counters are older than what has counted of the others."""
    one = frozenset((V1,))
    book = counted(
        (flush(100.0, v1=50, v2=5), one), (flush(101.0, v1=51, v2=6), one), (flush(102.0, v1=51, v2=9), BOTH)
    )
    assert client_errors(book) == 4
    book.on_load_report("edge", {V1: ClusterLoad(100, 100)}, 1.0, 9.0)
    assert book.totals()["s", "v1"]["4xx"] == 1
