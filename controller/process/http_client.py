"""Outgoing HTTP requests, to addresses from the settings: bounded in time and size, signed, never redirected.

Notifications and hooks are sent through this module. Only the status of a response is used: its body is never read, so
a receiver can neither fill the memory nor put words into the state.

Signatures follow the Standard Webhooks specification (standardwebhooks.com), for which receivers find libraries in
most languages: headers webhook-id, webhook-timestamp, and webhook-signature with HMAC-SHA256 over all three parts.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator, Field, SecretBytes

from controller import __version__
from controller.core.base.text import is_printable
from controller.core.base.value import Seconds, Value
from controller.process.settings_file import read_settings_file

MAX_SECRET = 4096
"""Bytes of a secret file: a larger one was named by mistake."""
CODED = "whsec_"
"""A secret with this prefix is base64, as in the specification; any other is used as it is."""


class Unanswered(Exception):  # noqa: N818
    """There was no response, and why: refused, timed out, no secret, not HTTP."""


def unanswered(error: aiohttp.ClientError) -> Unanswered:
    """Why there is no answer, without the text of errors that can hold what the server sent."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Unanswered(f"its certificate is not valid: {error.certificate_error}")
        case aiohttp.ClientConnectorError():
            return Unanswered(f"cannot connect: {error.os_error}")
        case _:
            return Unanswered(f"the connection broke ({type(error).__name__})")


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not is_printable(text) or " " in text:
        raise ValueError("an address such as https://example.com/path is needed")
    if parts.username or parts.password:
        raise ValueError("a password does not belong here: secret_file names the file of the key for signatures")
    return text


def _readable(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"there is no readable file {path}")
    return path


Url = Annotated[str, AfterValidator(_checked_url)]
SecretFile = Annotated[Path, AfterValidator(_readable)]
"""Must exist at the start. It is read again at each use, so that a secret can be replaced at run time."""


class Receiver(Value):
    """A program at an HTTP address that the settings name."""

    url: Url
    """http:// or https://, without user and password."""
    secret_file: SecretFile | None = None
    """Keys for signatures, one a line: requests are signed with each. Without it they are not signed."""
    timeout: Annotated[Seconds, Field(ge=0.1, le=60)] = 10.0
    """Seconds until a response must have begun."""


def open_session() -> aiohttp.ClientSession:
    """A session for `post`. No cookies, no proxy from the environment, one connection a request."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=100),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"User-Agent": f"haldane/{__version__}"},
    )


async def post(
    session: aiohttp.ClientSession, receiver: Receiver, body: bytes, *, content_type: str, message_id: str, now: float
) -> int:
    """POST the body and return the status of the response, whatever it is. `now` is Unix seconds.

    `Unanswered`: perhaps received, perhaps not.
    """
    try:
        async with asyncio.timeout(receiver.timeout):
            headers = {"Content-Type": content_type, **await _signature(receiver, message_id, now, body)}
            async with session.post(receiver.url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
    except TimeoutError:
        raise Unanswered(f"no answer within {receiver.timeout:g} s") from None
    except aiohttp.ClientConnectorError as error:
        raise Unanswered(f"cannot connect: {error.os_error}") from error
    except aiohttp.ClientResponseError as error:
        raise Unanswered("its answer is no HTTP") from error
    except aiohttp.ClientError as error:  # the text of these can hold the whole address, or what the receiver sent
        raise Unanswered(f"the connection broke ({type(error).__name__})") from error
    except (OSError, ValueError) as error:
        raise Unanswered(str(error)) from error


async def _signature(receiver: Receiver, message_id: str, now: float, body: bytes) -> dict[str, str]:
    if receiver.secret_file is None:
        return {}
    keys = await asyncio.to_thread(read_keys, receiver.secret_file)
    return signature_headers(keys, message_id, int(now), body)


def read_keys(path: Path) -> tuple[SecretBytes, ...]:
    """The keys in a secret file, one a line. ValueError if it holds none, OSError if it cannot be read."""
    content = read_settings_file(path, MAX_SECRET)
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty")
    try:
        return tuple(SecretBytes(_decoded(line)) for line in lines)
    except binascii.Error:
        raise ValueError(f"{path}: what follows {CODED} is not base64") from None


def _decoded(line: bytes) -> bytes:
    prefix = CODED.encode()
    return base64.b64decode(line.removeprefix(prefix), validate=True) if line.startswith(prefix) else line


def signature_headers(keys: Iterable[SecretBytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent the body, and when: one signature for each key."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key.get_secret_value(), signed, hashlib.sha256) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
