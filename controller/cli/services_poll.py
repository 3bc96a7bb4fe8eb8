"""All services, requested again and again."""

import time
from collections.abc import Iterator

from controller.cli.admin_client import AdminClient
from controller.cli.disconnected import Disconnected
from controller.cli.failure import Exit, Failure
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

INTERVAL = 1.0
"""Seconds between two polls."""
DEADLINE = 2.0
"""Seconds for one response."""


class ServicesPoll:
    """Iterates over the responses, one each `INTERVAL`, forever.

    Raises the `Failure` of the first request; a controller that is lost later is reported as
    `Disconnected`.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def __iter__(self) -> Iterator[pb.ListServicesResponse | Disconnected]:
        connected = False
        while True:
            try:
                response = self._client.call(
                    "Catalog/ListServices", pb.ListServicesRequest(), pb.ListServicesResponse, DEADLINE
                )
                connected = True
                yield response
            except Failure as failure:
                if not connected or failure.status is not Exit.UNREACHABLE:
                    raise
                yield Disconnected(failure.message)
            time.sleep(INTERVAL)
