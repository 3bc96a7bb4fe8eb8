"""The connections to the members of an etcd cluster."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import grpc
import structlog

from controller.core.base.errors import Refusal

MAX_RESPONSE = 256 * 1024 * 1024
"""Bytes of an answer: a page of everything that is stored, with the largest service files."""

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_RESPONSE),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 5000),  # etcd ends the connection of a client that pings more often
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

log = structlog.get_logger()


class TlsContent(NamedTuple):
    """The contents of the files that etcd is reached with by TLS, in PEM."""

    ca: bytes
    key: bytes | None
    certificate: bytes | None


ReadTls = Callable[[], TlsContent]
"""Reads them. `Refusal` if one cannot be read."""


class Channels:
    """A channel for each member. After a loss its files are read again, so that a replaced certificate is used."""

    def __init__(self, endpoints: Sequence[str], read_tls: ReadTls | None) -> None:
        """`endpoints` are HOST:PORT of the members; with `read_tls` all of them speak TLS. `Refusal`."""
        self.endpoints = tuple(endpoints)
        self._read_tls = read_tls
        self._tls = read_tls() if read_tls else None
        self._channels = [_channel(each, self._tls) for each in self.endpoints]
        self._made_with = [self._tls] * len(self._channels)
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._channels)

    def __getitem__(self, member: int) -> grpc.aio.Channel:
        """The channel of that member, with the newest files."""
        if self._made_with[member] != self._tls:
            closing = asyncio.create_task(self._channels[member].close(None))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._channels[member] = _channel(self.endpoints[member], self._tls)
            self._made_with[member] = self._tls
        return self._channels[member]

    def lost(self) -> None:
        """A member does not answer: perhaps a certificate has expired, and there is a new one."""
        if self._read_tls:
            try:
                self._tls = self._read_tls()
            except Refusal as refusal:
                log.warning("etcd_files_unreadable", reason=refusal.message)

    async def close(self) -> None:
        """Close every connection."""
        for channel in self._channels:
            await channel.close(None)
        await asyncio.gather(*self._closing)


def _channel(endpoint: str, tls: TlsContent | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)
