"""Fixtures of the xDS server's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.xds.local_server import LocalServer, local_server


@pytest.fixture
async def xds() -> AsyncIterator[LocalServer]:
    """A server on a port of its own, and a channel to it."""
    async with local_server() as opened:
        yield opened
