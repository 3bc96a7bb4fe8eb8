"""List and watch of EndpointSlices at the API server of Kubernetes."""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from controller.core.base.text import clean
from controller.process.http_client import Unanswered, open_session, unanswered
from controller.sources.endpoint_slices import SERVICE_LABEL, EndpointSlice, MalformedSlice, read_slice

POD_FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod has the token of its service account, and the CAs of the API server."""
PAGE = 100
"""Slices in a page of a list."""
MAX_PAGE = 64 * 1024 * 1024
"""Bytes of a page."""
MAX_LINE = 16 * 1024 * 1024
"""Bytes of one event of a watch. A slice has at most 1000 endpoints."""
MAX_TOKEN = 65_536
"""Bytes of a token file."""
LIST_TIMEOUT = 30.0
"""Seconds for a page, and until a watch begins."""
WATCH = 60
"""Seconds of a watch, after which the server ends it: a connection that is cut without a word is noticed soon after."""
SLACK = 15.0
"""Seconds after that in which a silent watch counts as cut."""


class Gone(Exception):  # noqa: N818
    """The server no longer knows what has changed since the version that was asked for: list again."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is. The files are read again for each request, since Kubernetes replaces them."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    @classmethod
    def of(
        cls, url: str | None, token_file: Path | None, ca_file: Path | None, environment: Mapping[str, str]
    ) -> "ApiServer | None":
        """The one that is named, else that of the pod in which this program runs; None outside of Kubernetes."""
        if url:
            return cls(url.rstrip("/"), token_file, ca_file)
        host, port = (environment.get(f"KUBERNETES_SERVICE_{name}", "") for name in ("HOST", "PORT"))
        if not host or not port:
            return None
        netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(f"https://{netloc}", token_file or POD_FILES / "token", ca_file or POD_FILES / "ca.crt")


@dataclass(frozen=True, slots=True)
class SliceList:
    """All slices of a namespace, and the version from which they are watched."""

    slices: tuple[EndpointSlice, ...]
    version: str


@dataclass(frozen=True, slots=True)
class SliceEvent:
    """A change: of `slice`, which is no more if it is `gone`; None: nothing but the version."""

    version: str
    slice: EndpointSlice | None = None
    gone: bool = False


class EndpointSlicesApi:
    """The EndpointSlices of Services in a namespace."""

    def __init__(self, server: ApiServer, watch_seconds: float = WATCH, slack: float = SLACK) -> None:
        self._server = server
        self._watch_seconds = watch_seconds
        self._slack = slack

    async def list(self, namespace: str) -> SliceList:
        """All of them now. Raises `Unanswered`, and `Gone` if they changed too much while they were read."""
        slices: list[EndpointSlice] = []
        more = ""
        while True:
            query = {"limit": str(PAGE), **({"continue": more} if more else {})}
            page = await self._page(namespace, query)
            slices += page.slices
            more = page.more
            if not more:
                return SliceList(tuple(slices), page.version)

    async def watch(self, namespace: str, version: str) -> AsyncGenerator[SliceEvent]:
        """What changes after that version, until the server ends the watch. Raises `Unanswered` and `Gone`.

        The first event, which has the version alone, says that the watch has begun.
        """
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(self._watch_seconds))),
        }
        async with self._get(namespace, query, self._watch_seconds + self._slack) as response:
            yield SliceEvent(version)
            async for line in _lines(response):
                yield _event(line)

    async def _page(self, namespace: str, query: Mapping[str, str]) -> "_Page":
        async with self._get(namespace, query, LIST_TIMEOUT) as response:
            try:
                async with asyncio.timeout(LIST_TIMEOUT):
                    body = await _body(response)
            except TimeoutError:
                raise Unanswered(f"no whole answer within {LIST_TIMEOUT:g} s") from None
        return await asyncio.to_thread(_read_page, body)

    @contextlib.asynccontextmanager
    async def _get(
        self, namespace: str, query: Mapping[str, str], silence: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request, once it has begun. `silence` is the time in seconds that it may say nothing."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        url = f"{self._server.url}{path}?{urlencode({'labelSelector': SERVICE_LABEL, **query})}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=LIST_TIMEOUT, sock_read=silence)
        try:
            headers, context = await asyncio.to_thread(_credentials, self._server)
            async with contextlib.AsyncExitStack() as stack:
                session = await stack.enter_async_context(open_session())
                async with asyncio.timeout(LIST_TIMEOUT):
                    request = session.get(url, headers=headers, ssl=context, timeout=timeout, allow_redirects=False)
                    response = await stack.enter_async_context(request)
                    await _check(response)
                yield response
        except TimeoutError:
            raise Unanswered("no answer in time") from None
        except aiohttp.ClientError as error:
            raise unanswered(error) from None
        except OSError as error:
            raise Unanswered(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Page:
    slices: tuple[EndpointSlice, ...]
    version: str
    more: str


def _credentials(server: ApiServer) -> tuple[Mapping[str, str], ssl.SSLContext | bool]:
    """The headers of a request and the TLS to send it by. Raises `Unanswered`."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if server.token_file:
        headers["Authorization"] = f"Bearer {_read_token(server.token_file)}"
    try:
        return headers, ssl.create_default_context(cafile=server.ca_file) if server.ca_file else True
    except OSError as error:  # also what is no certificate
        raise Unanswered(f"the CA file cannot be used: {error.strerror or error}") from None


def _read_token(path: Path) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            token = file.read(MAX_TOKEN + 1).strip()
    except OSError as error:
        raise Unanswered(f"the token file cannot be read: {error.strerror}") from None
    if not token or len(token) > MAX_TOKEN or not token.isascii() or any(byte <= 32 for byte in token):
        raise Unanswered("the token file has no token")
    return token.decode()


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises `Gone` or `Unanswered` unless the status is 200."""
    if response.status == 410:
        raise Gone
    if response.status == 200:
        return
    body = await response.content.read(4096)
    raise Unanswered(f"HTTP {response.status}{_message(body)}")


def _message(body: bytes) -> str:
    """What a Status of the API says, to follow its code; empty if it is none."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return f": {clean(message)[:200]}" if isinstance(message, str) else ""


async def _body(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_PAGE:
            raise Unanswered(f"the answer has more than {MAX_PAGE} bytes")
    return b"".join(chunks)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The whole lines of a response. Raises `Unanswered` if it ends within one."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        *whole, last = rest.split(b"\n")
        rest = last
        for line in whole:
            yield bytes(line)
        if len(rest) > MAX_LINE:
            raise Unanswered(f"an event has more than {MAX_LINE} bytes")
    if rest.strip():
        raise Unanswered("the watch ended within an event")


def _read_page(body: bytes) -> _Page:
    """Raises `Unanswered`."""
    plain = _json(body)
    try:
        metadata = plain["metadata"]
        slices = tuple(map(read_slice, plain["items"] or ()))
        version, more = metadata["resourceVersion"], metadata.get("continue") or ""
    except (KeyError, TypeError, AttributeError, MalformedSlice) as error:
        raise Unanswered(f"the list cannot be read: {clean(str(error))[:150]}") from None
    if not isinstance(version, str) or not isinstance(more, str) or not version:
        raise Unanswered("the list has no version")
    return _Page(slices, version, more)


def _event(line: bytes) -> SliceEvent:
    """Raises `Unanswered` and `Gone`."""
    plain = _json(line)
    try:
        kind, value = plain["type"], plain["object"]
        if kind == "ERROR":
            if value.get("code") == 410:
                raise Gone
            raise Unanswered(f"the watch failed{_message(json.dumps(value).encode())}")
        if kind == "BOOKMARK":
            return SliceEvent(str(value["metadata"]["resourceVersion"]))
        found = read_slice(value)
    except (KeyError, TypeError, AttributeError, MalformedSlice) as error:
        raise Unanswered(f"an event cannot be read: {clean(str(error))[:150]}") from None
    return SliceEvent(found.version, found, gone=kind == "DELETED")


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unanswered("the answer is no JSON") from None
