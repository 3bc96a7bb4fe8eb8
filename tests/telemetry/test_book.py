"""The book: what proxies say becomes windows. Pure; time is a number."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.core.model.cluster_names import ClusterId, Role
from controller.core.traffic.book import MAX_PROXIES, Book
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.latency_buckets import BUCKETS, EDGES_MS, bucket_of, quantile
from controller.core.traffic.proxy_counters import NEWBORN
from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics
from controller.telemetry.wanted_metrics import LATENCY, WantedMetrics

STABLE, CANARY = "s/v1", "s/v2"
INTERVAL = 0.5
NONE = (0, 0, 0)


def observing_book() -> Book:
    """A book that observes both versions of one service."""
    book = Book()
    book.track_clusters([STABLE, CANARY])
    return book


def idle() -> dict[str, ClusterLoad]:
    """A report of a proxy that has both versions and had no traffic."""
    return {STABLE: ClusterLoad(), CANARY: ClusterLoad()}


def client_errors(count: int, uptime: float = 100.0) -> ProxyMetrics:
    """Metrics that say that so many 4xx were counted on the canary since the proxy started."""
    return ProxyMetrics(uptime, {(CANARY, CounterKind.CLIENT_ERRORS): count})


@dataclass
class Proxy:
    """A proxy as it really is: what it counts, and what it has said of it."""

    name: str
    uptime: float = 0.0
    unreported: Counter[str] = field(default_factory=Counter)
    client_errors: int = 0
    ended: Counter[CounterKind] = field(default_factory=Counter)

    def serve(self, ok: int, bad: int, failed: int) -> None:
        """Requests come in; LRS counts 4xx as good."""
        self.unreported.update(ok=ok + bad, errors=failed)
        self.client_errors += bad

    def end_badly(self, broken: int, cancelled: int, abandoned: int) -> None:
        """Responses end badly; LRS counts those that had headers as good."""
        self.unreported.update(ok=broken + cancelled, abandoned=abandoned)
        ended = {CounterKind.BROKEN: broken, CounterKind.CANCELLED: cancelled, CounterKind.ABANDONED: abandoned}
        self.ended.update(ended)

    def metrics(self) -> ProxyMetrics:
        """The next flush; like Envoy's, without counters that were never used."""
        counters = {kind: count for kind, count in self.ended.items() if count}
        if self.client_errors:
            counters[CounterKind.CLIENT_ERRORS] = self.client_errors
        return ProxyMetrics(self.uptime, {(CANARY, kind): count for kind, count in counters.items()})

    def counted(self) -> Counter[str]:
        """What its counters say."""
        ended = self.ended
        return Counter(
            {
                "4xx": self.client_errors,
                "broken": ended[CounterKind.BROKEN],
                "left": ended[CounterKind.CANCELLED],
                "abandoned": ended[CounterKind.ABANDONED],
            }
        )

    def load(self) -> ClusterLoad:
        """The next load report."""
        said, self.unreported = self.unreported, Counter()
        return ClusterLoad(said["ok"] + said["errors"] + said["abandoned"], said["ok"], said["errors"])


ACTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["serve", "serve", "end badly", "load", "metrics", "lost", "restart", "window", "ack"]),
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    ),
    max_size=60,
)


@example(
    [(0, "ack", (2, 0, 0)), (1, "serve", (0, 1, 0)), (1, "ack", (2, 0, 0)), (0, "load", NONE), (1, "metrics", NONE)]
)
@given(ACTS)
def test_the_windows_sums_are_what_the_proxies_counted(acts: list[tuple[int, str, tuple[int, int, int]]]) -> None:
    """In whatever order reports and metrics arrive, with flushes lost, proxies restarted and splits ACKed: every answer
    counts once, in its class, never below zero; only what is in a flush that a restart swallowed is not known as
    such."""
    book = observing_book()
    proxies = [Proxy(name) for name in "abc"]
    truth: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    swallowed: Counter[str] = Counter()
    last_said: dict[str, Counter[str]] = {name: Counter() for name in "abc"}
    splits: dict[str, str] = {}
    now = 1000.0

    def read() -> None:
        window = book.take_window("s", "v1", "v2", 500, now)
        if window and window.canary:
            parts = {"ok": window.canary.ok, **window.canary.errors}
            assert min(parts.values()) >= 0
            assert window.canary.answered == sum(parts.values())
            seen.update(parts, cancelled=window.canary.cancelled, started=window.canary.started)

    def load(proxy: Proxy) -> None:
        book.on_load_report(proxy.name, {STABLE: ClusterLoad(), CANARY: proxy.load()}, INTERVAL, now)

    def metrics(proxy: Proxy) -> None:
        book.on_metrics(proxy.name, proxy.metrics(), now)
        last_said[proxy.name] = proxy.counted()

    for proxy in proxies:
        metrics(proxy)
    for number, act, (ok, bad, failed) in acts:
        proxy = proxies[number]
        now += 0.1
        for each in proxies:
            each.uptime += 0.1
        match act:
            case "serve":
                proxy.serve(ok, bad, failed)
                truth.update({"ok": ok, "4xx": bad, "5xx": failed, "started": ok + bad + failed})
            case "end badly":
                proxy.end_badly(ok, bad, failed)
                truth.update({"broken": ok, "cancelled": bad + failed, "started": ok + bad + failed})
            case "load":
                load(proxy)
            case "metrics":
                metrics(proxy)
            case "restart":
                load(proxy)
                swallowed.update(proxy.counted() - last_said[proxy.name])
                last_said[proxy.name] = Counter()
                proxy.client_errors = 0
                proxy.ended.clear()
                proxy.uptime = 0.0
                metrics(proxy)
            case "window":
                read()
            case "ack":
                splits = {name: split for name, split in splits.items() if name != proxy.name}
                splits |= {proxy.name: f"split {ok % 3}"} if ok % 3 else {}
                book.set_lagging("s", splits)
    book.set_lagging("s", {})
    for _ in range(2):  # a last round of both, and then enough good answers to take the last 4xx out of
        for proxy in proxies:
            metrics(proxy)
            proxy.serve(1000, 0, 0)
            truth.update(ok=1000, started=1000)
            load(proxy)
        read()
    truth.update(ok=swallowed["4xx"] + swallowed["broken"] + swallowed["left"])
    truth.subtract({"4xx": swallowed["4xx"], "broken": swallowed["broken"]})
    truth["cancelled"] -= swallowed["left"] + swallowed["abandoned"]
    assert seen == +truth | Counter(dict.fromkeys(seen, 0))
    assert book.totals()["s", "v2"] == {
        "ok": truth["ok"],
        "5xx": truth["5xx"],
        "4xx": truth["4xx"],
        "broken": truth["broken"],
        "cancelled": truth["cancelled"],
    }


def test_every_split_that_proxies_serve_is_a_stratum() -> None:
    """Two that lag at one split are one group, a third at another split is another: nothing of two splits is added
    up. Once a proxy has ACKed, what it reports is of the decided split."""
    book = observing_book()

    def strata(splits: dict[str, str], now: float) -> dict[str, int]:
        book.set_lagging("s", splits)
        for i, proxy in enumerate("abcd"):
            n = 10**i
            loads = {STABLE: ClusterLoad(n, n, 0), CANARY: ClusterLoad(n, n, 0)}
            book.on_load_report(proxy, loads, INTERVAL, now)
        window = book.take_window("s", "v1", "v2", 500, now)
        assert window
        return {each.name: each.canary.answered for each in window.groups if each.canary}

    assert strata({"b": "one", "c": "two", "d": "one"}, 10.0) == {"": 1, "one": 1010, "two": 100}
    assert strata({"c": "two"}, 10.5) == {"": 1011, "two": 100}
    assert strata({}, 11.0) == {"": 1111}
    assert strata(dict.fromkeys("abcd", "one"), 11.5) == {"": 1111}  # one split, whatever it is called


def test_what_is_still_to_be_taken_out_of_the_successes_goes_with_the_proxy() -> None:
    """A 4xx that was flushed before the ACK, of a response that is reported after it: it counts once."""
    book = observing_book()
    book.on_metrics("a", client_errors(0), 9.0)
    book.on_load_report("a", idle(), INTERVAL, 9.0)
    book.take_window("s", "v1", "v2", 500, 9.0)
    book.set_lagging("s", {"a": "one"})
    book.on_load_report("a", idle(), INTERVAL, 9.5)
    book.on_metrics("a", client_errors(3), 9.5)
    assert book.take_window("s", "v1", "v2", 500, 9.5)
    book.set_lagging("s", {})
    book.on_load_report("a", idle(), INTERVAL, 10.0)
    assert book.take_window("s", "v1", "v2", 500, 10.0)
    book.on_load_report("a", {**idle(), CANARY: ClusterLoad(10, 10, 0)}, INTERVAL, 10.5)
    window = book.take_window("s", "v1", "v2", 500, 10.5)
    assert window
    assert window.canary
    assert (window.canary.ok, window.canary.errors["4xx"]) == (7, 3)


def test_a_window_waits_for_every_proxy_that_reports() -> None:
    """Two proxies: half of the picture is not a window."""
    book = observing_book()
    for proxy in ("a", "b"):
        book.on_load_report(proxy, idle(), INTERVAL, 10.0)
    assert book.take_window("s", "v1", "v2", 500, 10.0)
    assert not book.on_load_report("a", {CANARY: ClusterLoad(3, 3, 0)}, INTERVAL, 10.5)
    assert book.take_window("s", "v1", "v2", 500, 10.5) is None
    assert book.on_load_report("b", {CANARY: ClusterLoad(4, 4, 0)}, INTERVAL, 10.6)
    window = book.take_window("s", "v1", "v2", 500, 10.6)
    assert window is not None
    assert (window.canary and window.canary.ok, window.stable, window.weight, window.at) == (7, None, 500, 10.6)
    assert book.take_window("s", "v1", "v2", 500, 10.7) is None


@pytest.mark.proves("fault 18")
def test_a_window_waits_two_intervals_for_a_silent_proxy_and_not_for_a_disconnected_one() -> None:
    """One proxy that hangs does not blind the judge to the others."""
    book = observing_book()
    for proxy in ("a", "hangs", "leaves"):
        book.on_load_report(proxy, idle(), INTERVAL, 10.0)
    assert book.take_window("s", "v1", "v2", 500, 10.0)
    book.on_load_reports_end("leaves")
    assert not book.on_load_report("a", idle(), INTERVAL, 10.5)
    assert book.on_load_report("a", idle(), INTERVAL, 11.1)
    assert book.take_window("s", "v1", "v2", 500, 11.1)
    assert book.on_load_report("a", idle(), INTERVAL, 11.6)


def test_a_window_does_not_wait_for_proxies_of_other_fleets() -> None:
    """A proxy that does not have the service says nothing about it, also while it reports."""
    book = observing_book()
    book.on_load_report("ours", idle(), INTERVAL, 10.0)
    assert not book.on_load_report("other", {"cp": ClusterLoad(1, 1, 0), "x/v1": ClusterLoad(5, 5, 0)}, INTERVAL, 10.0)
    assert book.take_window("s", "v1", "v2", 500, 10.0)
    assert book.take_window("s", "v1", "v2", 500, 20.0) is None
    assert book.totals().keys() == {("s", "v1"), ("s", "v2")}


def test_without_reports_there_is_no_window() -> None:
    """Blindness is the absence of windows, not a window of zeros."""
    book = observing_book()
    assert book.take_window("s", "v1", "v2", 500, 10.0) is None
    book.on_load_report("a", idle(), INTERVAL, 10.0)
    assert book.take_window("s", "v1", "v2", 500, 10.0)
    book.on_load_reports_end("a")
    assert book.take_window("s", "v1", "v2", 500, 99.0) is None


def test_late_client_errors_are_subtracted_from_later_successes() -> None:
    """The two sources arrive at different times; what is answered is never more than what was."""
    book = observing_book()
    book.on_metrics("a", client_errors(0), 9.0)
    book.on_load_report("a", {CANARY: ClusterLoad(5, 5, 0)}, INTERVAL, 10.0)
    first = book.take_window("s", "v1", "v2", 500, 10.0)
    book.on_metrics("a", client_errors(4), 10.2)
    book.on_load_report("a", {CANARY: ClusterLoad(3, 3, 0)}, INTERVAL, 10.5)
    second = book.take_window("s", "v1", "v2", 500, 10.5)
    book.on_load_report("a", {CANARY: ClusterLoad(3, 3, 0)}, INTERVAL, 11.0)
    third = book.take_window("s", "v1", "v2", 500, 11.0)
    samples = [window.canary for window in (first, second, third) if window and window.canary]
    assert [(sample.ok, sample.errors["4xx"]) for sample in samples] == [(5, 0), (0, 3), (2, 1)]


def test_the_first_report_of_a_new_proxy_counts_and_that_of_a_running_one_does_not() -> None:
    """After a controller's restart the counters of days must not count; a proxy born just now has counted for us."""
    book = observing_book()
    book.on_metrics("old", client_errors(1_000_000, uptime=86_400.0), 10.0)
    book.on_metrics("new", client_errors(3, uptime=NEWBORN), 10.0)
    book.on_metrics("old", client_errors(1_000_002, uptime=86_400.5), 10.5)
    book.on_load_report("old", {CANARY: ClusterLoad(10, 10, 0)}, INTERVAL, 11.0)
    assert book.totals()["s", "v2"]["4xx"] == 5


def test_a_version_observed_again_starts_at_its_counter() -> None:
    """Deleted and declared again: what was counted before is not counted again."""
    book = observing_book()
    book.on_metrics("a", client_errors(0, 0.0), 9.0)
    book.on_metrics("a", client_errors(7, 1.0), 10.0)
    book.track_clusters([STABLE])
    book.on_metrics("a", client_errors(7, 1.5), 10.5)
    book.track_clusters([STABLE, CANARY])
    book.on_metrics("a", client_errors(7, 2.0), 11.0)
    book.on_metrics("a", client_errors(8, 2.5), 11.5)
    book.on_load_report("a", {CANARY: ClusterLoad(10, 10, 0)}, INTERVAL, 12.0)
    assert book.totals()["s", "v2"]["4xx"] == 1


def test_services_come_and_go_without_a_trace_in_the_others() -> None:
    """What was counted of those that stay is kept; of one that left and came back nothing is."""
    book, shield = Book(), ["t/v1", "t/v2", "t/v2/shielded"]
    book.track_clusters([STABLE, CANARY])
    book.on_load_report("a", {STABLE: ClusterLoad(5, 5, 0)}, INTERVAL, 1.0)
    book.track_clusters([STABLE, CANARY, *shield])
    flush = ProxyMetrics(latency={"t/v2/shielded": {7: 2}, CANARY: {7: 1}})
    assert not book.on_metrics("a", flush, 1.0)
    assert book.durations()["t", "v2"] == {7: 2}, "counted as those of the cluster that it leads to"
    assert book.on_load_report("a", {name: ClusterLoad() for name in shield[:2]}, INTERVAL, 2.0) == ["t"]
    book.set_lagging("t", {"a": "other"})
    book.track_clusters([STABLE, CANARY])
    assert book.observed == {STABLE, CANARY}
    assert (book.totals()["s", "v1"]["ok"], book.durations()) == (5, {("s", "v1"): {}, ("s", "v2"): {7: 1}})
    assert book.on_load_report("a", {name: ClusterLoad(1, 1, 0) for name in shield[:2]}, INTERVAL, 3.0) == []
    assert book.take_window("t", "v1", "v2", 500, 3.0) is None
    book.track_clusters([*shield, STABLE])
    assert book.durations() == {("s", "v1"): {}, ("t", "v1"): {}, ("t", "v2"): {}}
    assert book.on_load_report("a", {name: ClusterLoad(3, 3, 0) for name in shield[:2]}, INTERVAL, 4.0) == ["t"]
    window = book.take_window("t", "v1", "v2", 500, 4.0)
    assert window
    assert window.stable
    assert (window.stable.started, window.strata) == (3, ()), "the lag of another time is forgotten"


@pytest.mark.parametrize("tally", [CounterKind.NO_SERVER, CounterKind.OVERFLOW])
def test_requests_that_reached_no_endpoint_failed(tally: CounterKind) -> None:
    """They are in no load report, so they count as started and as failed from the metrics."""
    book = observing_book()
    book.on_metrics("a", ProxyMetrics(0.0), 9.0)
    book.on_metrics("a", ProxyMetrics(0.5, {(CANARY, tally): 6}), 10.0)
    book.on_load_report("a", idle(), INTERVAL, 10.1)
    window = book.take_window("s", "v1", "v2", 500, 10.1)
    assert window is not None
    assert window.canary is not None
    assert (window.canary.started, window.canary.ok, window.canary.errors) == (6, 0, {"5xx": 6, "4xx": 0, "broken": 0})


@pytest.mark.proves("fault 29", "track-record 6")
def test_no_healthy_upstream_only_if_it_is_known() -> None:
    """A rollback must not go into a void, and must not be held back by a proxy that knows nothing or is gone."""
    book = observing_book()
    assert not book.no_healthy_upstream("s", "v1", 10.0)
    book.on_metrics("a", ProxyMetrics(1.0, healthy={STABLE: 0, CANARY: 3}), 10.0)
    assert book.no_healthy_upstream("s", "v1", 10.0)
    assert not book.no_healthy_upstream("s", "v2", 10.0)
    book.on_metrics("other fleet", ProxyMetrics(1.0), 10.0)
    assert book.no_healthy_upstream("s", "v1", 10.0)
    book.on_metrics("b", ProxyMetrics(1.0, healthy={STABLE: 1}), 11.0)
    assert not book.no_healthy_upstream("s", "v1", 11.0)
    book.on_metrics("a", ProxyMetrics(5.0, healthy={STABLE: 0}), 30.0)
    assert book.no_healthy_upstream("s", "v1", 30.0)  # b has said nothing for long
    assert not book.no_healthy_upstream("s", "v1", 60.0)


def test_an_upstream_is_lacking_if_one_proxy_of_the_service_lacks_it() -> None:
    """Envoy reports no endpoints of a name that it never resolved: what it reports of the others tells."""
    book = observing_book()
    assert book.lacks_upstream("s", "v2", 10.0) is None
    book.on_metrics("other fleet", ProxyMetrics(1.0), 10.0)
    assert book.lacks_upstream("s", "v2", 10.0) is None
    book.on_metrics("a", ProxyMetrics(1.0, healthy={STABLE: 1}), 10.0)
    assert book.lacks_upstream("s", "v2", 10.0)
    book.on_metrics("a", ProxyMetrics(2.0, healthy={STABLE: 1, CANARY: 1}), 11.0)
    assert book.lacks_upstream("s", "v2", 11.0) is False
    book.on_metrics("b", ProxyMetrics(1.0, healthy={STABLE: 1, CANARY: 0}), 11.0)
    assert book.lacks_upstream("s", "v2", 11.0)
    book.on_metrics("a", ProxyMetrics(15.0, healthy={CANARY: 1}), 24.0)
    assert book.lacks_upstream("s", "v2", 24.0) is False  # b has said nothing for long
    assert book.lacks_upstream("s", "v2", 40.0) is None


def test_the_endpoints_of_a_version_are_those_of_the_proxy_that_has_the_fewest() -> None:
    """Each proxy checks health for itself."""
    book = observing_book()
    assert book.endpoint_health("s", "v1", 10.0) is None
    book.on_metrics("a", ProxyMetrics(1.0, healthy={STABLE: 5}, members={STABLE: 5}), 10.0)
    book.on_metrics("b", ProxyMetrics(1.0, healthy={STABLE: 3}, members={STABLE: 5}), 10.0)
    assert book.endpoint_health("s", "v1", 10.0) == EndpointHealth(3, 5, 5, 2)
    assert book.endpoint_health("s", "v2", 10.0) == EndpointHealth(0, 0, 0, 0)
    assert book.endpoint_health("s", "v1", 30.0) is None


def test_endpoints_are_counted_again_when_a_number_changes_or_a_proxy_falls_silent() -> None:
    """Every change of a report shows at once; silence, two seconds after it is taken for one."""
    book = observing_book()
    for healthy, members in ((3, 5), (2, 5), (2, 4)):
        book.on_metrics("a", ProxyMetrics(1.0, healthy={STABLE: healthy}, members={STABLE: members}), 10.0)
        assert book.endpoint_health("s", "v1", 10.0) == EndpointHealth(healthy, healthy, members, 1)
    book.on_metrics("b", ProxyMetrics(1.0, healthy={STABLE: 1}), 11.0)
    assert book.endpoint_health("s", "v1", 11.0) == EndpointHealth(1, 2, 4, 2)
    book.forget_counters("b")
    assert book.endpoint_health("s", "v1", 19.5) == EndpointHealth(2, 2, 4, 1)
    assert book.endpoint_health("s", "v1", 21.6) is None


def test_a_reset_begins_the_rollouts_counts_and_windows() -> None:
    """What a version did before its rollout is not held against it; totals for the metrics page go on rising."""
    book = observing_book()
    book.on_load_report("a", {STABLE: ClusterLoad(9, 9, 0), CANARY: ClusterLoad(5, 1, 4)}, INTERVAL, 10.0)
    book.begin_rollout("s")
    assert book.take_window("s", "v1", "v2", 500, 10.1) is None
    book.on_load_report("a", {STABLE: ClusterLoad(2, 2, 0), CANARY: ClusterLoad(1, 1, 0)}, INTERVAL, 10.5)
    window = book.take_window("s", "v1", "v2", 500, 10.5)
    assert window is not None
    assert window.canary is not None
    assert (window.canary.ok, window.canary.errors["5xx"]) == (1, 0)
    assert (book.traffic("s", "v2", 10.5).requests, book.traffic("s", "v2", 10.5).errors) == (1, 0)
    assert book.totals()["s", "v2"] == {"ok": 2, "5xx": 4, "4xx": 0, "broken": 0, "cancelled": 0}


def test_times_to_the_first_token_are_in_the_window_and_in_what_people_see() -> None:
    """Those of one flush, by version; a window takes them along once."""
    book = observing_book()
    book.on_load_report("a", {STABLE: ClusterLoad(9, 9, 0), CANARY: ClusterLoad(5, 5, 0)}, INTERVAL, 10.0)
    book.on_metrics("a", ProxyMetrics(9.0, ttft={CANARY: {bucket_of(20.0): 4, bucket_of(400.0): 1}}), 10.1)
    window = book.take_window("s", "v1", "v2", 500, 10.2)
    assert window
    assert window.canary
    assert window.stable
    assert (window.canary.ttft, window.stable.ttft) == (((20.0, 4), (420.0, 1)), ())
    seen = book.traffic("s", "v2", 11.0)
    assert (seen.ttft_p50_ms, seen.ttft_p99_ms, seen.p50_ms) == (20.0, 420.0, 0.0)
    assert book.traffic("s", "v2", 30.0).ttft_p50_ms == 0.0
    book.on_load_report("a", {STABLE: ClusterLoad(9, 9, 0), CANARY: ClusterLoad(5, 5, 0)}, INTERVAL, 10.5)
    window = book.take_window("s", "v1", "v2", 500, 10.6)
    assert window
    assert window.canary
    assert window.canary.ttft == ()


def test_rates_are_those_of_the_last_ten_seconds() -> None:
    """100 requests a second for a minute, a tenth of them failed, then silence."""
    book = observing_book()
    for half_second in range(120):
        now = 1000.0 + half_second / 2
        book.on_load_report("a", {CANARY: ClusterLoad(50, 45, 5)}, INTERVAL, now)
        book.on_metrics("a", ProxyMetrics(now, {}, {CANARY: {bucket_of(20.0): 48, bucket_of(400.0): 2}}), now)
    seen = book.traffic("s", "v2", 1060.0)
    assert seen.requests_per_second == pytest.approx(100, rel=0.1)
    assert seen.error_rate == pytest.approx(0.1)
    assert (seen.p50_ms, seen.p99_ms) == (20.0, 420.0)
    assert (seen.requests, seen.errors) == (6000, 600)
    later = book.traffic("s", "v2", 1080.0)
    assert (later.requests_per_second, later.error_rate, later.p99_ms, later.requests) == (0.0, 0.0, 0.0, 6000)


def test_memory_is_bounded() -> None:
    """Ten thousand node ids cost no more than the limit, and a proxy's word makes no cluster."""
    book = observing_book()
    for number in range(MAX_PROXIES + 500):
        book.on_metrics(f"node-{number}", ProxyMetrics(50.0, {("book-up/x", CounterKind.OVERFLOW): 5}), 10.0)
    book.on_metrics("node-0", client_errors(9, 51.0), 11.0)  # forgotten: its counter starts here
    book.on_metrics("node-501", client_errors(2, 51.0), 11.0)  # remembered: it had none
    book.on_load_report("a", {CANARY: ClusterLoad(20, 20, 0)}, INTERVAL, 12.0)
    nothing = {"ok": 0, "5xx": 0, "4xx": 0, "broken": 0, "cancelled": 0}
    assert book.totals() == {("s", "v1"): nothing, ("s", "v2"): {**nothing, "ok": 18, "4xx": 2}}


def test_no_step_between_buckets_is_above_ten_percent() -> None:
    """From half a millisecond to a minute, so that a slow-down of 10 % is never inside one bucket."""
    assert (EDGES_MS[0], EDGES_MS[-1]) == (0.5, 60_000.0)
    assert all(1 < b / a <= 1.1 + 1e-9 for a, b in pairwise(EDGES_MS))


@given(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(0, 50)), st.floats(0.01, 1.0))
def test_a_quantile_is_the_least_edge_with_that_share_below_it(counts: dict[int, int], share: float) -> None:
    """By the definition, on any histogram; what is above the last edge is shown as the last edge."""
    values = sorted(number for number, count in counts.items() for _ in range(count))
    found = quantile(counts, share)
    if not values:
        assert found == 0.0
        return
    expected = next(v for i, v in enumerate(values, 1) if i >= share * len(values))
    assert found == EDGES_MS[min(expected, BUCKETS - 2)]


def test_durations_are_added_up_for_as_long_as_a_version_is_observed() -> None:
    """Of what the weights sent there alone; neither a window nor a rollout resets them."""
    book, pinned = Book(), "s/v2/pinned"
    book.track_clusters([STABLE, CANARY, pinned])
    flush = ProxyMetrics(latency={CANARY: {7: 2}, pinned: {9: 1}}, ttft={CANARY: {5: 1}})
    book.on_metrics("a", flush, 1.0)
    book.on_load_report("a", idle(), INTERVAL, 1.0)
    assert book.take_window("s", "v1", "v2", 500, 1.0)
    book.begin_rollout("s")
    book.on_metrics("b", flush, 2.0)
    assert book.durations() == {("s", "v1"): {}, ("s", "v2"): {7: 4}}
    assert book.first_tokens() == {("s", "v1"): {}, ("s", "v2"): {5: 2}}
    book.track_clusters([STABLE])
    assert book.durations() == {("s", "v1"): {}}


def test_pinned_requests_are_counted_apart_and_never_judged() -> None:
    """They are in no window, complete none, and are shown by themselves."""
    book, pinned = Book(), "s/v2/pinned"
    book.track_clusters([STABLE, CANARY, pinned])
    assert not book.on_load_report("p", {pinned: ClusterLoad(started=5, ok=2, errors=3)}, INTERVAL, 0.0)
    assert book.on_load_report("p", {**idle(), pinned: ClusterLoad(started=1, ok=1)}, INTERVAL, 0.5)
    window = book.take_window("s", "v1", "v2", 500, 0.5)
    assert window
    assert window.canary
    assert (window.canary.started, window.canary.answered) == (0, 0)
    assert [(name, traffic.requests, traffic.errors) for name, traffic in book.unjudged("s", 0.5).items()] == [
        ("v2/pinned", 6, 3)
    ]
    assert book.traffic("s", "v2", 0.5).requests == 0
    assert (book.totals()["s", "v2"]["ok"], book.unjudged_totals()[ClusterId("s", "v2", Role.PINNED)]["ok"]) == (0, 3)


def test_metrics_of_an_operators_own_cluster_mean_the_version_that_it_is() -> None:
    """Under the name that Envoy has for it; another name for it later is another cluster to look for."""
    book = Book()
    book.track_clusters([STABLE, CANARY], {"model-1": STABLE, "model-2": CANARY})
    first = book.observed
    wanted = WantedMetrics(book.observed, book.own)
    assert wanted.meaning_of(b"cluster.model-2.upstream_rq_time") == (CANARY, LATENCY)
    assert wanted.meaning_of(b"haldane.unreported.cluster.model-1.flags.DC") == (STABLE, CounterKind.ABANDONED)
    assert wanted.meaning_of(b"cluster.s/v2.upstream_rq_time") is None
    book.track_clusters([STABLE, CANARY], {"model-1": STABLE, "model-3": CANARY})
    assert book.observed is not first


def test_a_window_of_copies_has_nothing_else_of_the_canary() -> None:
    """In a shadow step; the copies of before it are forgotten when a rollout begins."""
    book = Book()
    book.track_clusters(["s/v1", "s/v2", "s/v2/mirror"])
    loads = {"s/v1": ClusterLoad(10, 10, 0), "s/v2": ClusterLoad(5, 5, 0), "s/v2/mirror": ClusterLoad(3, 2, 1)}
    book.on_load_report("a", loads, INTERVAL, 1.0)
    book.begin_rollout("s")
    book.on_load_report("a", loads, INTERVAL, 2.0)
    window = book.take_window("s", "v1", "v2", 0, 2.0, Role.MIRROR)
    assert window
    assert window.stable
    assert window.canary
    assert (window.stable.ok, window.canary.ok, window.canary.failed) == (10, 2, 1)
