"""What a replica knows of each service, as a test describes it."""

import asyncio
from collections.abc import Collection

from controller.core.model.view import View
from controller.ports.observatory import Live
from controller.ports.service_files import FilesStatus
from controller.ports.store import Store


class FakeObservatory:
    """Follows a store as a replica does, and shows for each service what `see` was given."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lives: dict[str, Live] = {}
        self._turn = 1
        self.status = FilesStatus()
        self._turned = asyncio.Condition()

    def view(self) -> View:
        return self._view

    def no_healthy_upstream(self, service: str, version: str) -> bool:
        return False

    def lacks_upstream(self, service: str, version: str) -> bool | None:
        return False

    def files(self) -> FilesStatus:
        return self.status

    def show(self, view: View) -> None:
        """Serve this view, until the store has a newer one."""
        self._view = view

    def live(self, service: str) -> Live:
        return self._lives.get(service, Live())

    async def refresh(self, services: Collection[str]) -> None:
        pass

    async def next(self, seen: int) -> int:
        async with self._turned:
            await self._turned.wait_for(lambda: self._turn > seen)
            return self._turn

    async def see(self, service: str, live: Live) -> None:
        """Replace what is shown of a service."""
        self._lives[service] = live
        await self._wake()

    async def follow(self, store: Store) -> None:
        async for view in store.watch(self._view.revision):
            self._view = view
            await self._wake()

    async def _wake(self) -> None:
        async with self._turned:
            self._turn += 1
            self._turned.notify_all()
