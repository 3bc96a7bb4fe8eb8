"""JSON documents from addresses of the settings: bounded in time and size, never redirected, never decompressed."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from controller.core.base.text import clean
from controller.process.http_client import Unanswered, open_session, unanswered
from controller.process.settings_file import read_settings_file

MAX_DOCUMENT = 262_144
"""Bytes of a document."""
TIMEOUT = 10.0
"""Seconds for a request with its whole response."""


class ErrorAnswer(Unanswered):
    """The server answered with an error of OAuth 2.0 (RFC 6749, section 5.2)."""

    def __init__(self, status: int, code: str, description: str = "") -> None:
        self.status = status
        """Of HTTP."""
        self.code = code
        """The error's code, for programs and people; "" if the answer has none."""
        self.description = description
        """What the server says of it, "" for nothing."""
        super().__init__(f"HTTP {status}{f', {code}' if code else ''}")


class JsonClient:
    """Reads JSON objects. Each request has a connection of its own."""

    def __init__(self, ca_file: Path | None = None, timeout: float = TIMEOUT) -> None:
        """`ca_file` has the CAs that servers' certificates must be of, the system's if it is None. It is read again at
        each request."""
        self._ca_file = ca_file
        self._timeout = timeout

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The object at that address. Raises `Unanswered`, an `ErrorAnswer` for a status other than 200."""
        return _object(*await self._request("GET", url, None, headers or {}))

    async def post_form(
        self, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """The object that is the response to these fields. Raises `Unanswered`, an `ErrorAnswer` for a status other
        than 200."""
        return _object(*await self._request("POST", url, fields, headers or {}))

    async def send_form(self, url: str, fields: Mapping[str, str]) -> None:
        """Send these fields where the response has nothing to say. Raises as `post_form`."""
        status, body = await self._request("POST", url, fields, {})
        if status != 200:
            raise _error(status, body)

    async def _request(
        self, method: str, url: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """The status of the response, and its body."""
        wanted = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        try:
            async with asyncio.timeout(self._timeout), open_session() as session:
                context = await asyncio.to_thread(self._context)
                async with session.request(
                    method, url, data=fields, headers=wanted, allow_redirects=False, ssl=context
                ) as response:
                    return response.status, await _body(response)
        except TimeoutError:
            raise Unanswered(f"no answer within {self._timeout:g} s") from None
        except aiohttp.ClientError as error:
            raise unanswered(error) from None
        except (OSError, ValueError) as error:
            raise Unanswered(str(error)) from None

    def _context(self) -> ssl.SSLContext | bool:
        if self._ca_file is None:
            return True
        content = read_settings_file(self._ca_file, MAX_DOCUMENT)
        return ssl.create_default_context(cadata=content.decode("ascii", "ignore"))  # comments may have other letters


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Unanswered("the answer is compressed, which was not asked for")
    body = b""
    while chunk := await response.content.read(MAX_DOCUMENT + 1 - len(body)):
        body += chunk
        if len(body) > MAX_DOCUMENT:
            raise Unanswered(f"the answer has more than {MAX_DOCUMENT} bytes")
    return body


def _object(status: int, body: bytes) -> Mapping[str, Any]:
    if status != 200:
        raise _error(status, body)
    document = _parsed(body)
    if not isinstance(document, dict):
        raise Unanswered("the answer is no JSON object")
    return document


def _error(status: int, body: bytes) -> ErrorAnswer:
    document = _parsed(body)
    found = [document.get(name) for name in ("error", "error_description")] if isinstance(document, dict) else []
    return ErrorAnswer(status, *(clean(text)[:200] if isinstance(text, str) else "" for text in found or ("",)))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
