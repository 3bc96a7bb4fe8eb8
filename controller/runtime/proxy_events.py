"""What happens outside the loop, told to it; and what proxies did, also into the metrics and the ledger."""

import structlog

from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.ports.meters import ProxyMeter
from controller.runtime.cycle import Loop
from controller.runtime.ledger_writer import WHO

log = structlog.get_logger()


class News:
    """Whom the adapters tell what happened: the `Observer` of the xDS server. Nobody listens before there is a loop."""

    def __init__(self, metrics: ProxyMeter) -> None:
        self._metrics = metrics
        self.loop: Loop | None = None

    def acknowledged(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy acknowledged what was published so long ago."""
        self._metrics.acknowledged(seconds)
        self.notice()

    def rejected(self, node: str, fleet: str, type_url: str, error: str, *, news: bool) -> None:
        """A proxy refused a configuration: counted each time, written down once."""
        self._metrics.rejected(type_url)
        log.warning("proxy_refused", node=node, fleet=fleet, type=type_url, error=error, news=news)
        if self.loop and news:
            details = {"node": node, "fleet": fleet, "type": type_url}
            self.loop.note(Entry(kind=LedgerKind.PROXY_REFUSED, who=WHO, why=error, details=details))

    def connected(self, node: str, fleet: str) -> None:
        """A proxy opened its stream."""
        log.info("proxy_connected", node=node, fleet=fleet)
        self.notice()

    def disconnected(self, node: str, fleet: str) -> None:
        """A proxy's stream ended."""
        log.info("proxy_disconnected", node=node, fleet=fleet)
        self.notice()

    def notice(self) -> None:
        """Something happened that the loop should look at."""
        if self.loop:
            self.loop.notice()
