"""Where a store is moved from, and where to: what a backend must offer for that."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from controller.core.model.change import Change
from controller.store.migration.contents import Contents


class Source(Protocol):
    """A store that no controller uses."""

    async def read(self) -> Contents:
        """Everything in it. `Unusable` or `StoreLost` if it cannot be read."""
        ...

    async def command(self, change: Change) -> None:
        """Apply a change, durably. Raises what `ports.Store.command` does."""
        ...

    async def check_unused(self) -> None:
        """`Unusable` if anything has written to it since `read`."""
        ...


class Target(Protocol):
    """A store that is being made. Until `finish` no controller can open it."""

    async def write(self, contents: Contents) -> None:
        """Fill it. `Unusable` or `StoreLost` if that fails."""
        ...

    async def read(self) -> Contents:
        """What is in it now."""
        ...

    async def finish(self) -> None:
        """Let controllers open it: durable once this returns."""
        ...


class Place(Protocol):
    """A place that the setting `store` can name."""

    def source(self) -> AbstractAsyncContextManager[Source]:
        """The store there, kept from being opened by a controller as far as the backend can. `Unusable`: there is
        none, or one uses it."""
        ...

    def target(self) -> AbstractAsyncContextManager[Target]:
        """A new store there. `Unusable`: something is there already. What is not finished is no store."""
        ...
