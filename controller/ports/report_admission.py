"""Whose reports count: what is known of the programs that report load and metrics."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class Reporter(NamedTuple):
    """Who opened a report stream: what it says of itself, and what is known of its connection."""

    node: str
    fleet: str
    peer: str
    """The address at the other end: the same for all streams of one connection."""
    identity: str | None = None
    """What it proved to be; None where nothing is proved."""


class NotCounted(StrEnum):
    """Why reports do not count."""

    NO_XDS_STREAM = "no_xds_stream"
    """No xDS stream of that node, in that fleet, is open."""
    OTHER_CONNECTION = "other_connection"
    """There is one, and another connection, or identity, has it."""
    EXCLUDED = "excluded"
    """An operator excluded it."""
    NOT_ACKNOWLEDGED = "not_acknowledged"
    """They are about clusters that it has not ACKed, or that its fleet is not served."""


class Admission(NamedTuple):
    """What counts of a reporter's reports: those of these clusters. `reason`: why the reporter is no proxy at all."""

    clusters: frozenset[str] = frozenset()
    reason: NotCounted | None = None


class ReportAdmission(Protocol):
    """Knows which reporters are proxies. Answers at once, from memory; raises nothing."""

    def admission(self, reporter: Reporter) -> Admission:
        """What counts of this reporter's reports now; the same object while nothing has changed."""
        ...


@dataclass(frozen=True, slots=True)
class StrangerStatus:
    """A program whose reports do not count. Times are Unix seconds."""

    node: str
    fleet: str
    peer: str
    reason: NotCounted
    since: float
    last_report: float
    reports: int
    """How many reports did not count."""
