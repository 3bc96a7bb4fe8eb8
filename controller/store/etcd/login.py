"""The login of a user of etcd's own access control."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

Metadata = tuple[tuple[str, str], ...]


class User(NamedTuple):
    """A user of etcd's own access control."""

    name: str
    password: Callable[[], str]
    """Reads it, at each login. OSError if it cannot be read."""


class Login:
    """A token, which is asked for again once etcd knows it no longer: it runs out, and goes with a change of users."""

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        """`ask` returns a new token; empty while etcd has no access control."""
        self._ask = ask
        self._metadata: Metadata | None = None
        self._asking = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """What goes with every call. Raises what `ask` does."""
        async with self._asking:  # many calls notice at once that it has run out
            if self._metadata is None:
                token = await self._ask()
                self._metadata = (("token", token),) if token else ()
            return self._metadata

    def expired(self, used: Metadata) -> None:
        """A call with that was refused for its login."""
        if used == self._metadata:
            self._metadata = None
