"""What the demo asks and looks at: the controller's admin API, the `haldane` command, and Envoy's own admin page.

Nothing here reaches into the controller: what the demo tells, anybody could have seen.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
import grpc
import grpc.aio
from google.protobuf.message import Message

from controller.core.model.cluster_names import cluster_parts
from controller.demo.harness.child_processes import surroundings

Answer = TypeVar("Answer", bound=Message)

OPTIONS = (("grpc.enable_http_proxy", 0),)
ASK_WITHIN = 5.0
"""Seconds for one answer of the admin API or of Envoy's admin page."""
COMMAND_WITHIN = 20.0
"""Seconds for one `haldane` command."""


def monotonic_of(unix: float) -> float:
    """A time of the wall clock on the monotonic one, by which answers are recorded."""
    return unix - time.time() + time.monotonic()


class AdminApi:
    """The controller's admin API. Methods are named as in the API: `Fleet/ListProxies`."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)

    async def ask(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """One answer."""
        call = self._channel.unary_unary(
            f"/haldane.admin.v1.{method}", type(request).SerializeToString, answer.FromString
        )
        given: Answer = await call(request, timeout=ASK_WITHIN)
        return given

    async def follow(self, method: str, request: Message, answer: type[Answer]) -> AsyncIterator[Answer]:
        """The answers of a stream."""
        call = self._channel.unary_stream(
            f"/haldane.admin.v1.{method}", type(request).SerializeToString, answer.FromString
        )
        async for given in call(request):
            yield given

    async def aclose(self) -> None:
        """Hang up."""
        await self._channel.close(None)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a `haldane` command printed on standard output and on standard error, and its exit code."""

    code: int
    out: str
    err: str


async def haldane(env: Mapping[str, str], *words: str) -> CommandResult:
    """Run a `haldane` command as a user would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controller", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**surroundings(), **env},
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), COMMAND_WITHIN)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return CommandResult(
        process.returncode or 0, out.decode(errors="replace").strip(), err.decode(errors="replace").strip()
    )


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """The weights by which Envoy splits the service's traffic, and since when (seconds of the monotonic clock)."""

    weights: dict[str, int]
    since: float


class EnvoyAdmin:
    """Envoy's admin page: what it does, whatever the controller thinks."""

    def __init__(self, session: aiohttp.ClientSession, address: str, service: str) -> None:
        self._session = session
        self._address = address
        self._service = service

    async def served(self) -> TrafficSplit | None:
        """The split of the route table that is in force; None before there is one."""
        dump = await self._get("/config_dump?resource=dynamic_route_configs")
        return split_of(dump, self._service)

    async def sent(self) -> dict[str, int]:
        """Version -> requests that Envoy has sent to its servers."""
        page = await self._get("/clusters?format=json")
        return sent_of(page, self._service)

    async def _get(self, path: str) -> Any:
        timeout = aiohttp.ClientTimeout(total=ASK_WITHIN)
        async with self._session.get(f"http://{self._address}{path}", timeout=timeout) as response:
            response.raise_for_status()
            return await response.json(content_type=None)


def split_of(dump: Any, service: str) -> TrafficSplit | None:
    """The service's split in Envoy's config dump."""
    for config in dump.get("configs", []):
        for host in config["route_config"].get("virtual_hosts", []):
            for route in host.get("routes", []):
                weights = _weights(route.get("route", {}), service)
                if weights:
                    since = datetime.fromisoformat(config["last_updated"]).timestamp()
                    return TrafficSplit(weights, monotonic_of(since))
    return None


def sent_of(page: Any, service: str) -> dict[str, int]:
    """Version -> requests sent, in Envoy's list of clusters."""
    sent: dict[str, int] = {}
    for cluster in page.get("cluster_statuses", []):
        parts = cluster_parts(cluster["name"])
        if parts and parts[0] == service:
            stats = [stat for host in cluster.get("host_statuses", []) for stat in host["stats"]]
            sent[parts[1]] = sum(int(stat.get("value", 0)) for stat in stats if stat["name"] == "rq_total")
    return sent


def _weights(action: Mapping[str, Any], service: str) -> dict[str, int]:
    clusters = action.get("weighted_clusters", {}).get("clusters") or [
        {"name": action.get("cluster", ""), "weight": 10_000}
    ]
    found = {}
    for cluster in clusters:
        parts = cluster_parts(cluster["name"])
        if parts and parts[0] == service and cluster.get("weight"):
            found[parts[1]] = int(cluster["weight"])
    return found
