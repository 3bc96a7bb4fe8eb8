"""The world as the one who decides needs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.core.control.session import Session
from controller.core.traffic.book import Book
from controller.ports.clock import Clock
from controller.ports.custom_metrics import CustomMetrics
from controller.ports.decision_tracer import NO_TRACES, DecisionTracer
from controller.ports.endpoint_sources import NoSources, SourceStatuses
from controller.ports.fleet import Fleet
from controller.ports.hooks import Hooks
from controller.ports.meters import TickMeter
from controller.ports.store import Backend
from controller.process.right_of_way import RightOfWay


@dataclass(frozen=True, slots=True)
class Adapters:
    """What ticks observe, and what they act through."""

    store: Backend
    clock: Clock
    book: Book
    fleet: Fleet
    hooks: Hooks
    custom: CustomMetrics
    meter: TickMeter
    tracer: DecisionTracer = NO_TRACES
    right_of_way: RightOfWay = field(default_factory=RightOfWay)
    """Claimed when a rollback is committed."""
    sources: SourceStatuses = field(default_factory=NoSources)
    reports: "ReportPositions | None" = None
    """Where `book` comes from, if several controllers' proxies report into it."""


class ReportPositions(Protocol):
    """Up to which batch the logs of all controllers were read."""

    @property
    def positions(self) -> Mapping[str, int]:
        """By instance of a controller: the number of the last batch that is in the book."""
        ...

    def on_saved(self, sessions: Mapping[str, Session]) -> None:
        """These sessions are saved, by service, each with the positions of its evidence."""
        ...
