"""Envoy's admin interface: what Envoy does, whatever the controller believes."""

from typing import Any

import aiohttp

from controller.demo.traffic_split import TrafficSplit, requests_by_version, split_of

DEADLINE = 5.0
"""Seconds for one response."""


class EnvoyAdmin:
    """The admin interface at `address`, asked about one service.

    Raises `aiohttp.ClientError` and `TimeoutError`.
    """

    def __init__(self, session: aiohttp.ClientSession, address: str, service: str) -> None:
        self._session = session
        self._address = address
        self._service = service

    async def split(self) -> TrafficSplit | None:
        """The split of the route configuration in force; None before there is one."""
        dump = await self._get("/config_dump?resource=dynamic_route_configs")
        return split_of(dump, self._service)

    async def requests(self) -> dict[str, int]:
        """Version -> requests that Envoy has sent to its endpoints."""
        page = await self._get("/clusters?format=json")
        return requests_by_version(page, self._service)

    async def _get(self, path: str) -> Any:
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        async with self._session.get(f"http://{self._address}{path}", timeout=timeout) as response:
            response.raise_for_status()
            return await response.json(content_type=None)
