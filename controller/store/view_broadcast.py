"""The newest view, handed to every watcher: a value that is replaced, not a queue."""

import asyncio
from collections.abc import AsyncIterator

from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View

CLOSED = "the store was closed"


class ViewBroadcast:
    """Holds the newest view of a store. A slow watcher skips views and never sees an old one after a new one."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._ended = False
        self._changed = asyncio.Event()

    @property
    def view(self) -> View:
        """The newest view."""
        return self._view

    def publish(self, view: View) -> None:
        """Take a view, unless a newer one is here already, and wake everyone who waits for it."""
        if view.revision > self._view.revision:
            self._view = view
            self._wake()

    def end(self) -> None:
        """End every watch with `StoreLost`."""
        self._ended = True
        self._wake()

    async def watch(self, after: int) -> AsyncIterator[View]:
        """The newest view each time there is one later than `after`. `StoreLost` once the store is closed."""
        while True:
            while self._view.revision <= after and not self._ended:
                await self._changed.wait()
            if self._ended:
                raise StoreLost(CLOSED)
            after = self._view.revision
            yield self._view

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
