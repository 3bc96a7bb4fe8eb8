"""An API server of Kubernetes that has EndpointSlices alone, and every fault on demand."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from controller.sources.endpoint_slices import SERVICE_LABEL

Plain = dict[str, Any]


def slice_of(
    service: str,
    *addresses: str,
    name: str = "",
    port: int = 8000,
    port_name: str = "http",
    family: str = "IPv4",
    endpoints: list[Plain] | None = None,
) -> Plain:
    """An EndpointSlice of that Service with these ready addresses, or these `endpoints`."""
    ready = [{"addresses": [each], "conditions": {"ready": True, "terminating": False}} for each in addresses]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name or f"{service}-1", "namespace": "ml", "labels": {SERVICE_LABEL: service}},
        "addressType": family,
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": ready if endpoints is None else endpoints,
    }


@dataclass
class FakeKubernetes:
    """Lists in pages of two, watches with bookmarks, knows how far back it remembers. `faults` are taken one for each
    request; the rest is served as usual.

    | fault | |
    |---|---|
    | a number | that status |
    | `gone` | the watch begins and says that its version is gone |
    | `half` | the next event is cut in the middle of its line, with the connection |
    | `cut` | the connection is cut before the next event |
    | `end` | the watch ends at once, as it should at its end |
    | `slow` | no answer at all |
    | `silent` | the watch begins and says nothing |
    | `garbage` | what is no JSON |
    | `malformed` | an object that is no EndpointSlice |
    """

    namespace: str = "ml"
    token: str = ""
    """What clients must bring; empty: nothing."""
    slices: dict[str, Plain] = field(default_factory=dict)
    version: int = 100
    oldest: int = 100
    """The version from which on changes are remembered."""
    changes: list[tuple[int, str, Plain]] = field(default_factory=list)
    faults: deque[str | int] = field(default_factory=deque)
    seen: Counter[str] = field(default_factory=Counter)
    """What was asked for: `list`, `watch`, and statuses."""
    watching: int = 0
    port: int = 0
    scheme: str = "http"
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: int = 0
    _runner: web.AppRunner | None = None
    _tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def put(self, plain: Plain) -> None:
        """Create or replace a slice."""
        name = plain["metadata"]["name"]
        self._note("MODIFIED" if name in self.slices else "ADDED", plain)
        self.slices[name] = self.changes[-1][2]

    def delete(self, name: str) -> None:
        """Delete a slice."""
        self._note("DELETED", self.slices.pop(name))

    def end_watches(self) -> None:
        """End the watches that are open, as at their time."""
        self._ended += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def compact(self) -> None:
        """Forget what has changed until now."""
        self.oldest = self.version

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Serve, on the same port each time."""
        app = web.Application()
        app.router.add_get(f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices", self._serve)
        self._tls = tls or self._tls
        self.scheme = "https" if self._tls else "http"
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener, ssl_context=self._tls).start()

    async def stop(self) -> None:
        """Cut every connection, and listen no more."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    def _note(self, kind: str, plain: Plain) -> None:
        self.version += 1
        copied = json.loads(json.dumps(plain))
        copied["metadata"]["resourceVersion"] = str(self.version)
        self.changes.append((self.version, kind, copied))
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        watch = request.query.get("watch") == "1"
        self.seen["watch" if watch else "list"] += 1
        assert request.query["labelSelector"] == SERVICE_LABEL
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            self.seen["401"] += 1
            return _status(401, "Unauthorized")
        fault = self.faults.popleft() if self.faults else ""
        if isinstance(fault, int):
            return _status(fault, f"the fault {fault}")
        if fault == "slow":
            await asyncio.sleep(60)
        if fault == "garbage":
            return web.Response(body=b'{"kind": "Endpo', content_type="application/json")
        return await self._watch(request, fault) if watch else self._list(request, fault)

    def _list(self, request: web.Request, fault: str) -> web.Response:
        names = sorted(self.slices)
        first = int(request.query.get("continue", "0"))
        page: list[Any] = [self.slices[name] for name in names[first : first + 2]]
        if fault == "malformed":
            page = [{"metadata": {"name": "x"}}]
        more = str(first + 2) if first + 2 < len(names) else ""
        metadata = {"resourceVersion": str(self.version), "continue": more}
        return web.json_response({"kind": "EndpointSliceList", "metadata": metadata, "items": page})

    async def _watch(self, request: web.Request, fault: str) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        if since < self.oldest:
            return _status(410, "too old")
        response = web.StreamResponse()
        await response.prepare(request)
        self.watching += 1
        try:
            if fault == "silent":
                await asyncio.sleep(60)
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(float(request.query["timeoutSeconds"])):
                    await self._events(request, response, since, fault)
        finally:
            self.watching -= 1
        return response

    async def _events(self, request: web.Request, response: web.StreamResponse, since: int, fault: str) -> None:
        assert request.transport
        if fault == "gone":
            error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            await response.write(json.dumps(error).encode() + b"\n")
        if fault in ("gone", "end"):
            return
        await response.write(_bookmark(since))
        ended = self._ended
        while ended == self._ended:
            changed = self._changed
            for version, kind, plain in self.changes:
                if version <= since:
                    continue
                line = json.dumps({"type": kind, "object": {} if fault == "malformed" else plain}).encode() + b"\n"
                if fault == "half":
                    await response.write(line[: len(line) // 2])
                if fault in ("half", "cut"):
                    request.transport.close()
                    return
                # In two pieces, as TCP may deliver it.
                await response.write(line[:10])
                await response.write(line[10:])
                since = version
            await changed.wait()


def _bookmark(version: int) -> bytes:
    metadata = {"resourceVersion": str(version)}
    return json.dumps({"type": "BOOKMARK", "object": {"kind": "EndpointSlice", "metadata": metadata}}).encode() + b"\n"


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


@contextlib.asynccontextmanager
async def fake_kubernetes(tls: ssl.SSLContext | None = None, **fields: Any) -> AsyncIterator[FakeKubernetes]:
    """It serves until the end of the block."""
    made = FakeKubernetes(**fields)
    await made.start(tls)
    try:
        yield made
    finally:
        await made.stop()
