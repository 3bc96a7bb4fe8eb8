"""How the one that decides reads the logs: as if all proxies were connected to it."""

from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import Health, ProxyReport, ReportBatch, Split
from controller.core.traffic.report_intake import ReportIntake
from controller.core.traffic.reports import IDLE, ClusterLoad, CounterKind
from controller.core.traffic.window import Window

V1, V2 = "scorer/v1", "scorer/v2"
NOW, BEFORE = "v2=2500 v1=7500", "v2=500 v1=9500"


def intake(**saved: dict[str, int]) -> ReportIntake:
    """One that reads into a new book; `saved` are the positions in saved sessions, by service."""
    book = Book()
    book.track_clusters([V1, V2])
    return ReportIntake(book, saved, lambda _service: NOW)


def loads(started: int) -> ProxyReport:
    """A report of as many requests to each version, all of which succeeded."""
    return ProxyReport({V1: ClusterLoad(started, started), V2: ClusterLoad(started, started)}, 0.2)


def batch(number: int, split: str = NOW, lagging: dict[str, str] | None = None, **reports: ProxyReport) -> ReportBatch:
    """A batch of these proxies' reports, under that split."""
    return ReportBatch(number, reports, {"scorer": Split(split, lagging or {})})


def window(reader: ReportIntake, now: float) -> Window | None:
    """The window of all that was read."""
    return reader._book.take_window("scorer", "v1", "v2", 2500, now)


def started(taken: Window | None) -> tuple[int, int]:
    """Requests of stable and the canary."""
    assert taken
    assert taken.stable
    assert taken.canary
    return taken.stable.started, taken.canary.started


def test_a_window_waits_for_the_proxies_of_every_controller() -> None:
    """It is complete once each has reported again, at whichever controller; proxies of one name are two."""
    reader = intake()
    for instance in ("one", "two"):
        assert reader.open(instance, 0) == 0
    assert reader.add("one", batch(1, p=loads(1)), 0.0) == {"scorer"}
    reader.add("two", batch(1, p=loads(10)), 0.0)
    assert started(window(reader, 0.0)) == (11, 11)
    assert reader.add("one", batch(2, p=loads(2)), 0.1) == set()
    assert window(reader, 0.1) is None
    assert reader.add("two", batch(2, p=loads(20)), 0.2) == {"scorer"}
    assert started(window(reader, 0.2)) == (22, 22)
    assert reader.positions == {"one": 2, "two": 2}


def test_a_batch_counts_once_in_a_term() -> None:
    """Whether its answer was lost, or an older one arrives late on a lost connection."""
    reader = intake()
    reader.open("one", 0)
    for number in (1, 2, 2, 1):
        reader.add("one", batch(number, p=loads(number)), 0.0)
    assert started(window(reader, 0.0)) == (3, 3)
    assert reader.open("one", 2) == 2


def test_what_a_saved_session_has_is_not_judged_again() -> None:
    """A successor asks for what is after the oldest session, and counts of it what each session does not have."""
    reader = intake(scorer={"one": 4}, other={"one": 2})
    assert reader.open("one", 7) == 2
    for number in range(3, 9):
        reader.add("one", batch(number, p=loads(10**number)), 0.0)
    assert started(window(reader, 0.0)) == (111_100_000, 111_100_000)


def test_a_service_without_a_saved_session_begins_with_what_nobody_had() -> None:
    """At which weight the rest was reported is not known."""
    reader = intake(other={"one": 2})
    reader.open("one", 5)
    for number in range(3, 8):
        reader.add("one", batch(number, p=loads(10**number)), 0.0)
    assert started(window(reader, 0.0)) == (11_000_000, 11_000_000)


def test_other_splits_are_strata_of_their_own() -> None:
    """That of a controller which is behind with the store, and that of a proxy which is behind with its controller."""
    reader = intake()
    for instance in ("one", "two"):
        reader.open(instance, 0)
    reader.add("one", batch(1, lagging={"q": "0f3a"}, p=loads(1), q=loads(10)), 0.0)
    reader.add("two", batch(1, BEFORE, lagging={"q": "0f3a"}, p=loads(100), q=loads(1000)), 0.0)
    taken = window(reader, 0.0)
    assert taken
    assert {each.name: each.canary.started for each in taken.strata if each.canary} == {
        "": 1,
        "0f3a": 1010,
        BEFORE: 100,
    }


def test_endpoints_and_requests_in_progress_are_those_of_all() -> None:
    """And of a controller that is gone they are forgotten."""
    reader = intake()
    for instance, healthy in (("one", 2), ("two", 0)):
        reader.open(instance, 0)
        report = ProxyReport({V1: ClusterLoad(3, 1, 0, 2), V2: IDLE}, 0.2, flushed=True)
        report.health = Health({V1: 3, V2: healthy}, {V1: 3, V2: 3})
        report.counters = {(V2, CounterKind.NO_SERVER): 1}
        reader.add(instance, batch(1, p=report), 0.0)
    book = reader._book
    assert book.in_progress("scorer", "v1") == 4
    assert book.endpoint_health("scorer", "v2", 0.0) == (0, 2, 3, 2)
    taken = window(reader, 0.0)
    assert taken
    assert taken.canary
    assert taken.canary.failed == 2
    reader.forget("two")
    assert book.in_progress("scorer", "v1") == 2
    assert book.endpoint_health("scorer", "v2", 0.0) == (2, 2, 3, 1)


def test_dropped_batches_are_counted() -> None:
    """A controller with too much to keep drops the oldest: the rest counts."""
    reader = intake()
    reader.open("one", 0)
    reader.add("one", batch(4, p=loads(1)), 0.0)
    assert reader.skipped == 3
    assert started(window(reader, 0.0)) == (1, 1)
