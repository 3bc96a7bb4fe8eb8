"""How many exports of the ledger are kept, and for how long."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from controller.store.ledger_export import exports_in

DAY = 86_400.0
"""Seconds."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: at most so many files, none older than so many days. None is no bound."""

    files: int | None = None
    days: float | None = None


@dataclass(frozen=True, slots=True)
class Exports:
    """The folder of a store's exports, and how long they stay in it."""

    folder: Path
    retention: Retention

    def delete_old(self, now: float) -> None:
        """Delete the oldest exports beyond the retention; each is logged. `now` is Unix seconds. Raises nothing.

        Only exports are deleted, from the oldest on, so that what is kept has no gap.
        """
        try:
            self._delete_old(now)
        except OSError as error:
            log.warning("exports_not_deleted", reason=str(error))

    def _delete_old(self, now: float) -> None:
        exports, kept = exports_in(self.folder), self.retention
        beyond = 0 if kept.files is None else len(exports) - kept.files
        for number, export in enumerate(exports):
            too_old = kept.days is not None and now - export.path.stat().st_mtime > kept.days * DAY
            if number >= beyond and not too_old:
                return
            export.path.unlink()
            log.info("export_deleted", file=str(export.path), first=export.first, last=export.last)
