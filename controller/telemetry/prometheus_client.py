"""A client of Prometheus's query API: one instant query, one number.

The address comes from the settings; a service file names metrics and nothing more. An answer is bounded in time and
size, redirects are not followed, nothing is decompressed, and one number is kept of it.
"""

import asyncio
import json
import math
import os

import aiohttp

from controller.core.base.text import clean

MAX_BODY = 65_536
"""Bytes of an answer; one number needs 200."""
MAX_CONCURRENT_QUERIES = 8
MAX_SKEW = 1.0
"""Seconds by which an answer's time may differ from the time of the query."""


class NoNumber(Exception):  # noqa: N818
    """A query gave no usable number; the message is the reason."""


class PrometheusClient:
    """Queries one Prometheus. `timeout` is in seconds, for one query."""

    def __init__(self, address: str | None, session: aiohttp.ClientSession, timeout: float) -> None:
        self._url = f"{(address or '').rstrip('/')}/api/v1/query"
        self._session = session
        self._timeout = timeout
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_QUERIES)

    async def query(self, query: str, at: float) -> float:
        """The one number that the query gives at that time (Unix seconds). Raises `NoNumber`."""
        try:
            async with self._slots, asyncio.timeout(self._timeout):
                return _number_in(await self._get(query, at), at)
        except TimeoutError:
            raise NoNumber(f"no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            number = error.errno if isinstance(error, OSError) else None
            why = os.strerror(number) if number and number > 0 else type(error).__name__
            raise NoNumber(f"Prometheus cannot be asked ({why})") from None

    async def _get(self, query: str, at: float) -> bytes:
        parameters = {"query": query, "time": f"{at:.3f}"}
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._session.get(self._url, params=parameters, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise NoNumber(f"Prometheus answered with HTTP {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise NoNumber("the answer is compressed, which was not asked for")
            body = b""
            while chunk := await response.content.read(MAX_BODY + 1 - len(body)):
                body += chunk
                if len(body) > MAX_BODY:
                    raise NoNumber(f"the answer has more than {MAX_BODY} bytes")
            return body


def _number_in(body: bytes, at: float) -> float:
    """The number in an answer of `/api/v1/query`: one series, finite, of the time of the query."""
    try:
        answer = json.loads(body)
        data = answer["data"] if answer["status"] == "success" else {}
        kind, result = data["resultType"], data["result"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise NoNumber("the answer is not one of Prometheus") from None
    if kind != "vector":
        raise NoNumber(f"a vector is needed, the query gives a {clean(str(kind))[:20]}")
    if not isinstance(result, list) or len(result) != 1:
        count = len(result) if isinstance(result, list) else 0
        raise NoNumber("there is no such series" if not count else f"{count} series where one is needed")
    try:
        then, text = result[0]["value"]
        number = float(text)
        skew = float(then) - at
    except (ValueError, KeyError, TypeError, OverflowError):
        raise NoNumber("the answer holds no number") from None
    if not math.isfinite(number):
        raise NoNumber(f"its value is {number}")
    if not abs(skew) <= MAX_SKEW:
        raise NoNumber("the answer is of another time than was asked for")
    return number
