"""The ledger's lines on versions that have a source: when one has no endpoint any more, and when it has one again."""

from collections.abc import Collection

from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.service_state import ServiceState
from controller.core.model.source_status import SourceStatus
from controller.ports.endpoint_sources import SourceStatuses
from controller.runtime.ledger_writer import LedgerWriter


class EndpointLines:
    """What one term writes of them. Endpoints that come and go otherwise make no line."""

    def __init__(self, ledger: LedgerWriter, sources: SourceStatuses) -> None:
        self._ledger = ledger
        self._sources = sources
        self._empty: dict[tuple[str, str], bool] = {}
        """By service and version: whether it had no endpoint when it was seen last."""

    def observe(self, state: ServiceState) -> None:
        """Write what has changed since the last time. An empty version that is seen first has a line only if it has
        traffic: what was empty before the term is no news, but for that one."""
        for version, status in self._sources.statuses(state.name).items():
            if status.endpoints is None:
                continue
            key, empty = (state.name, version), status.is_empty
            news = empty != self._empty[key] if key in self._empty else empty and bool(state.weights.get(version))
            self._empty[key] = empty
            if news:
                self._write(state, version, status)

    def forget_all_but(self, services: Collection[str]) -> None:
        """Forget the services that are gone."""
        self._empty = {key: empty for key, empty in self._empty.items() if key[0] in services}

    def _write(self, state: ServiceState, version: str, status: SourceStatus) -> None:
        kind = LedgerKind.ENDPOINTS_GONE if status.is_empty else LedgerKind.ENDPOINTS_BACK
        has = "no endpoint" if status.is_empty else "endpoints again"
        self._ledger.note(
            state,
            kind,
            f"{version} has {has}: {status.source}",
            version=version,
            source=str(status.source),
            endpoints=len(status.endpoints or ()),
        )
