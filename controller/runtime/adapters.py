"""The world as the one who decides needs it."""

from dataclasses import dataclass, field

from controller.core.traffic.book import Book
from controller.ports.clock import Clock
from controller.ports.custom_metrics import CustomMetrics
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
    right_of_way: RightOfWay = field(default_factory=RightOfWay)
    """Claimed when a rollback is committed."""
    sources: SourceStatuses = field(default_factory=NoSources)
