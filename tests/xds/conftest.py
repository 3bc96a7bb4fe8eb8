"""The xDS server's tests: a door to it."""

from collections.abc import AsyncIterator

import pytest

from tests.xds.door import Door, door


@pytest.fixture
async def xds() -> AsyncIterator[Door]:
    """A server on a port of its own, and a channel to it."""
    async with door() as opened:
        yield opened
