"""Whether the store answers and takes changes, as its last calls showed: what every API and the metrics say of it."""

import structlog

from controller.core.model.store_errors import StoreError, StoreLost, TooLarge

log = structlog.get_logger()


class StoreHealth:
    """Kept by a backend. A read that works says nothing of writing: a store on a full disk still answers reads."""

    def __init__(self) -> None:
        self._unread = self._unwritten = ""

    @property
    def problem(self) -> str:
        """Why nothing can be read or written now; empty while everything can."""
        return self._unread or self._unwritten

    def succeeded(self, *, writing: bool) -> None:
        """A read worked, or (`writing`) a change is durable."""
        self._set("", "" if writing else self._unwritten)

    def failed(self, error: StoreError, *, writing: bool) -> None:
        """A read or a change failed with that error. What is no `StoreLost`, or `TooLarge`, a healthy store answers."""
        if not isinstance(error, StoreLost) or isinstance(error, TooLarge):
            self.succeeded(writing=False)
        elif writing:
            self._set(self._unread, str(error))
        else:
            self._set(str(error), self._unwritten)

    def _set(self, unread: str, unwritten: str) -> None:
        """Log once when there is a problem, when it becomes another one, and when there is none any longer."""
        before, self._unread, self._unwritten = self.problem, unread, unwritten
        if self.problem and self.problem != before:
            log.error("store_lost", reason=self.problem)
        elif before and not self.problem:
            log.info("store_back")
