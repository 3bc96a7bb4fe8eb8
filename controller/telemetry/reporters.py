"""Who reports: which of them are proxies, and the strangers, whose reports do not count.

A proxy may report a moment before its ACK arrives, and after a restart before its xDS stream is back: so a stranger is
logged only once it has had time to become a proxy, or has gone without becoming one.
"""

from collections.abc import Mapping

import structlog

from controller.core.traffic.reports import ClusterLoad
from controller.ports.clock import Clock
from controller.ports.fleet import ReportsPaced
from controller.ports.meters import ReportMeter
from controller.ports.report_admission import Admission, NotCounted, ReportAdmission
from controller.runtime.report_totals import ReportTotals
from controller.runtime.stranger_log import StrangerLog
from controller.telemetry.report_streams import ReportStream

GRACE = 5.0
"""Seconds after the beginning of its stream for which a reporter may be about to become a proxy."""

log = structlog.get_logger()


class Reporters:
    """Asks of each report whether it counts, and has those of strangers logged, counted and shown."""

    def __init__(
        self,
        proxies: ReportAdmission,
        strangers: StrangerLog,
        totals: ReportTotals,
        meter: ReportMeter,
        clock: Clock,
    ) -> None:
        self._proxies = proxies
        self._totals = totals
        self._strangers = strangers
        self._meter = meter
        self._clock = clock
        self._logged: set[ReportStream] = set()

    def check(self, stream: ReportStream) -> Admission:
        """What counts of a report that has arrived on this stream. One of a stranger is noted."""
        admission = self._proxies.admission(stream.reporter)
        if admission.reason is NotCounted.EXCLUDED:
            self._meter.count_ignored_report(admission.reason)
        elif admission.reason is not None:
            self.note(stream, admission.reason)
        return admission

    def pace(self, interval: float, paced: ReportsPaced | None) -> None:
        """Note at which interval proxies with a canary report, and what is asked of them if that is less often than is
        wanted."""
        self._totals.paced = paced
        self._meter.set_report_interval(interval)

    def count(self, stream: ReportStream, loads: Mapping[str, ClusterLoad]) -> None:
        """Add what counts of a load report to what its proxy has reported."""
        self._totals.add(stream.reporter, loads)

    def forget(self, stream: ReportStream) -> None:
        """All of a load report counts."""
        self._strangers.forget(stream.reporter)

    def note(self, stream: ReportStream, reason: NotCounted) -> None:
        """A report has arrived on this stream of which something does not count, and why."""
        self._strangers.add(stream.reporter, reason)
        self._meter.count_ignored_report(reason)
        if self._clock.monotonic() - stream.opened_at >= GRACE:
            self._log(stream)

    def end(self, stream: ReportStream) -> None:
        """The stream has ended."""
        if not stream.key:
            self._log(stream)
        self._logged.discard(stream)

    def _log(self, stream: ReportStream) -> None:
        """Once for each stream."""
        stranger = self._strangers.find(stream.reporter)
        if stranger is None or stream in self._logged:
            return
        self._logged.add(stream)
        log.warning(
            "reports_not_counted",
            node=stranger.node,
            fleet=stranger.fleet,
            peer=stranger.peer,
            reason=stranger.reason,
            reports=stranger.reports,
        )
