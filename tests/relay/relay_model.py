"""A model of several controllers that report to each other, under what networks and crashes do to them.

It runs the real log, the real intake and the real book. What a session has judged is a number here: of each service's
requests, how many were judged. At the end, when everything that is alive has reported and been judged once more, it
must be how many were reported, to the last one, unless a controller died with its log.
"""

import random
from dataclasses import dataclass, field

from controller.core.control.session import Session
from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import ReportBatch, Split
from controller.core.traffic.report_intake import ReportIntake
from controller.core.traffic.report_log import ReportLog
from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics

SERVICES = ("a", "b")
MOST_BATCHES = 150
"""More than a log has in one run."""
DECIDED = "v2=500 v1=9500"
EMPTY = Session("r", None)  # type: ignore[arg-type]  # no evidence of the judge's is needed


@dataclass
class Edge:
    """One controller with its proxies: its log, and what was reported to it."""

    instance: str
    log: ReportLog
    reported: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERVICES, 0))


@dataclass
class Judged:
    """A service's session, and in place of its evidence the number of requests that it has judged."""

    session: Session = EMPTY
    requests: int = 0


class Leader:
    """One term: what it has read and judged, and not saved yet."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.book = Book()
        self.book.track_clusters([f"{service}/{version}" for service in SERVICES for version in ("v1", "v2")])
        self.judged = {service: Judged(saved.session, saved.requests) for service, saved in world.saved.items()}
        self.intake = world.intake(self.book, {s: each.session.positions for s, each in self.judged.items()})
        self.connected: set[str] = set()

    def connect(self, edge: Edge) -> None:
        """A new stream of that controller."""
        edge.log.resume(self.intake.open(edge.instance, edge.log.acknowledged))
        self.connected.add(edge.instance)

    def read(self, edge: Edge, batch: ReportBatch) -> None:
        """A batch has arrived, perhaps once more."""
        self.intake.add(edge.instance, batch, self.world.now)

    def judge(self, service: str) -> None:
        """Close a window, and count what is in it."""
        self.world.now += 100.0
        window = self.book.take_window(service, "v1", "v2", 500, self.world.now)
        if window is None:
            return
        judged = self.judged[service]
        judged.requests += sum(side.started for side in (window.stable, window.canary) if side)
        judged.session = self.world.after(judged.session, self.intake.positions)

    def safe(self, instance: str) -> int:
        """What every saved session has of that log."""
        return min(saved.session.positions.get(instance, 0) for saved in self.world.saved.values())


class World:
    """Three controllers, of which one decides."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.saved = {service: Judged() for service in SERVICES}
        self.edges = [Edge(name, self.log()) for name in ("one", "two", "three")]
        self.in_flight: list[tuple[Edge, ReportBatch]] = []
        """Batches that may arrive once more, late."""
        self.leader = Leader(self)

    def log(self) -> ReportLog:
        """A controller's log."""
        return ReportLog()

    def intake(self, book: Book, saved: dict[str, dict[str, int]]) -> ReportIntake:
        """What a term reads logs with."""
        return ReportIntake(book, saved, lambda _service: DECIDED)

    def after(self, session: Session, positions: dict[str, int]) -> Session:
        """The session once a window was judged."""
        return session.reported_until(positions)

    def acknowledge(self, edge: Edge, number: int, safe: int) -> None:
        """An answer of the one that decides has arrived."""
        edge.log.acknowledge(number, safe)

    def step(self) -> None:
        """One thing happens."""
        edge, service = self.random.choice(self.edges), self.random.choice(SERVICES)
        match self.random.choices(range(8), (6, 6, 4, 3, 1, 1, 1, 0.4))[0]:
            case 0:
                self.report(edge, service)
            case 1:
                self.send(edge, answered=self.random.random() < 0.7)
            case 2:
                self.leader.judge(service)
            case 3:
                judged = self.leader.judged[service]
                self.saved[service] = Judged(judged.session, judged.requests)
            case 4:
                self.leader.connected.discard(edge.instance)
            case 5 if self.in_flight:  # a late or repeated message of a stream that is lost
                late, batch = self.random.choice(self.in_flight)
                if late.instance in self.leader.connected:
                    self.leader.read(late, batch)
            case 6:
                self.split(edge, service)
            case 7:
                self.leader = Leader(self)
                self.in_flight.clear()

    def report(self, edge: Edge, service: str) -> None:
        """A proxy reports some requests, at the canary and at stable."""
        stable, canary = self.random.randint(0, 9), self.random.randint(0, 9)
        proxy = self.random.choice(("p", "q"))
        loads = {f"{service}/v1": ClusterLoad(stable, stable), f"{service}/v2": ClusterLoad(canary, canary)}
        edge.log.add_load(proxy, loads, 0.2)
        unserved = self.random.randint(0, 2)  # these count as started, too
        edge.log.add_metrics(proxy, {(f"{service}/v1", CounterKind.NO_SERVER): unserved}, ProxyMetrics())
        edge.reported[service] += stable + canary + unserved

    def split(self, edge: Edge, service: str) -> None:
        """A proxy of that controller lags, or has caught up."""
        splits = {each: Split(DECIDED, {}) for each in edge.log.services}
        if service in splits and self.random.random() < 0.5:
            splits[service] = Split(DECIDED, {"p": "0f3a"})
        edge.log.set_splits(splits)

    def send(self, edge: Edge, *, answered: bool) -> None:
        """That controller sends its next batch; the answer may be lost, and its stream with it."""
        if edge.instance not in self.leader.connected:
            self.leader.connect(edge)
        batch = edge.log.next()
        if batch is None:
            return
        self.in_flight.append((edge, batch))
        self.leader.read(edge, batch)
        if answered:
            self.acknowledge(edge, batch.number, self.leader.safe(edge.instance))
        else:
            self.leader.connected.discard(edge.instance)

    def finish(self) -> None:
        """Everything reports, and all of it is judged. AssertionError unless each request counted once."""
        for edge in self.edges:
            for service in SERVICES:
                self.report(edge, service)
            for _ in range(MOST_BATCHES):
                self.send(edge, answered=True)
        for service in SERVICES:
            self.leader.judge(service)
        judged = {service: each.requests for service, each in self.leader.judged.items()}
        reported = {service: sum(edge.reported[service] for edge in self.edges) for service in SERVICES}
        assert judged == reported


def play(world: type[World], seed: int, steps: int = 120) -> None:
    """One run. AssertionError if a request counted twice, or not at all."""
    played = world(seed)
    for _ in range(steps):
        played.step()
    played.finish()
