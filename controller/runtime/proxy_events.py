"""What proxies did, on its way into the metrics, the log, the ledger, and to the decider."""

import structlog

from controller.core.model.actor import CONTROLLER
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.ports.decision_tracer import NO_TRACES, DecisionTracer
from controller.ports.meters import ProxyMeter
from controller.runtime.replica import Replica

log = structlog.get_logger()


class ProxyEvents:
    """The `ProxyObserver` of the xDS server."""

    def __init__(self, meter: ProxyMeter, replica: Replica, tracer: DecisionTracer = NO_TRACES) -> None:
        self._tracer = tracer
        self._meter = meter
        self._replica = replica

    def on_ack(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy ACKed what was published so many seconds ago."""
        self._meter.observe_ack(seconds)
        self._tracer.acked(node, fleet, type_url, seconds)
        self._replica.on_proxies()

    def on_nack(self, node: str, fleet: str, type_url: str, error: str, *, is_new: bool) -> None:
        """A proxy sent a NACK: counted each time, written into the ledger once."""
        self._meter.count_nack(type_url)
        self._replica.on_proxies()
        log.warning("proxy_refused", node=node, fleet=fleet, type=type_url, error=error, news=is_new)
        if is_new:
            details = {"node": node, "fleet": fleet, "type": type_url}
            self._replica.write_line(Entry(kind=LedgerKind.PROXY_REFUSED, who=CONTROLLER, why=error, details=details))

    def on_connect(self, node: str, fleet: str) -> None:
        """A proxy opened its stream."""
        log.info("proxy_connected", node=node, fleet=fleet)
        self._replica.on_proxies()

    def on_disconnect(self, node: str, fleet: str) -> None:
        """A proxy's stream ended."""
        log.info("proxy_disconnected", node=node, fleet=fleet)
        self._replica.on_proxies()
