"""Whether the store answers and takes changes, as its last calls showed: what every API and the metrics say of it."""

import structlog

from controller.core.model.store_errors import StoreError, StoreLost, TooLarge

log = structlog.get_logger()


class StoreHealth:
    """Kept by a backend. A read that works says nothing of writing: a store on a full disk still answers reads."""

    def __init__(self) -> None:
        self._unread: StoreError | None = None
        self._unwritten: StoreError | None = None

    @property
    def problem(self) -> str:
        """Why nothing can be read or written now; empty while everything can."""
        error = self._unread or self._unwritten
        return str(error) if error else ""

    @property
    def is_unread(self) -> bool:
        """Whether the last read failed: who needs an answer now need not wait for another one to fail."""
        return self._unread is not None

    def succeeded(self, *, writing: bool) -> None:
        """A read worked, or (`writing`) a change is durable."""
        self._set(None, None if writing else self._unwritten)

    def failed(self, error: StoreError, *, writing: bool) -> None:
        """A read or a change failed with that error. What is no `StoreLost`, or `TooLarge`, a healthy store answers."""
        if not isinstance(error, StoreLost) or isinstance(error, TooLarge):
            self.succeeded(writing=False)
        elif writing:
            self._set(self._unread, error)
        else:
            self._set(error, self._unwritten)

    def _set(self, unread: StoreError | None, unwritten: StoreError | None) -> None:
        """Log once when there is a problem, when it becomes one of another kind, and when there is none any longer. The
        words of one kind change all the time: they name whichever member was asked."""
        before = self._unread or self._unwritten
        self._unread, self._unwritten = unread, unwritten
        now = unread or unwritten
        if now and type(now) is not type(before):
            log.error("store_lost", reason=str(now))
        elif before and not now:
            log.info("store_back")
