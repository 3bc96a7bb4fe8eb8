"""Fixtures of the admin doors' tests."""

from collections.abc import AsyncIterator

import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.admin.doors import Doors, opened_doors
from tests.builders import service_file


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    """Both doors over an empty store."""
    async with opened_doors() as opened:
        yield opened


@pytest.fixture
async def served(doors: Doors) -> Doors:
    """Both doors over a store with the service `scorer`."""
    await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file()))
    return doors
