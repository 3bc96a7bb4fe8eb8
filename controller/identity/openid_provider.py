"""What an OpenID Connect issuer publishes: its endpoints and its keys, kept while it is away."""

import asyncio
import math
from collections.abc import Mapping

import structlog

from controller.core.base.errors import Code, Refusal
from controller.identity.oidc_settings import Oidc
from controller.identity.openid_metadata import Metadata, read_metadata
from controller.identity.signature_keys import SignatureKey, signature_keys
from controller.ports.clock import Clock
from controller.process.counted_warning import CountedWarning
from controller.process.http_client import Unanswered, read_keys
from controller.process.json_client import JsonClient

REFRESH = 600.0
"""Seconds between two reads: for so long a key that the issuer has withdrawn goes on being accepted."""
RETRY = 30.0
"""Seconds after which a read that failed is tried again."""
FLOOR = 10.0
"""Seconds after a read in which tokens with unknown keys cause no other one: whoever sends such tokens must not make
the controller flood the issuer."""

log = structlog.get_logger()


class OpenIdProvider:
    """One issuer's endpoints and keys. They are read in the background (`run`), and when a token has an unknown key."""

    def __init__(self, settings: Oidc, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client = JsonClient(settings.ca_file)
        self._reading = asyncio.Lock()
        self._read_at = -math.inf
        """When the last read ended, on the monotonic clock."""
        self._metadata: Metadata | None = None
        self._keys: tuple[SignatureKey, ...] = ()
        self._problem = "nothing has been read yet"
        self._unreachable = CountedWarning("issuer_unreachable", monotonic=clock.monotonic)

    async def run(self) -> None:
        """Read what it publishes from time to time, forever."""
        while True:
            await self._refresh()
            await asyncio.sleep(RETRY if self._problem else REFRESH)

    async def key(self, key_id: str | None, algorithm: str) -> SignatureKey:
        """The key of that id for that algorithm; without an id, its only key. `Refusal` with UNAUTHENTICATED."""
        found = self._find(key_id, algorithm)
        if not found:
            await self._refresh()
            found = self._find(key_id, algorithm)
        if len(found) != 1:
            unread = f"; the keys of {self._settings.issuer} cannot be read: {self._problem}" if self._problem else ""
            raise Refusal(Code.UNAUTHENTICATED, f"the token is signed with an unknown key{unread}")
        return found[0]

    async def metadata(self) -> Metadata:
        """Its endpoints, as they were read last. Raises `Unanswered` if they never were."""
        if self._metadata is None:
            await self._refresh()
        if self._metadata is None:
            raise Unanswered(f"{self._settings.issuer}: {self._problem}")
        return self._metadata

    def _find(self, key_id: str | None, algorithm: str) -> list[SignatureKey]:
        fitting = [key for key in self._keys if key.fits(algorithm)]
        return fitting if key_id is None else [key for key in fitting if key.key_id == key_id][:1]

    async def _refresh(self) -> None:
        """Read everything, unless that has just been tried. What was read before stays if it fails."""
        async with self._reading:
            if self._clock.monotonic() < self._read_at + FLOOR:
                return
            try:
                await self._read()
                self._problem = ""
            except Unanswered as unanswered:
                self._problem = str(unanswered)
                self._unreachable.count(issuer=self._settings.issuer, reason=self._problem)
            self._read_at = self._clock.monotonic()

    async def _read(self) -> None:
        issuer, headers = self._settings.issuer, await self._headers()
        metadata = await read_metadata(self._client, issuer, headers)
        keys = signature_keys(await self._client.get(metadata.jwks, headers))
        if not keys:
            raise Unanswered("it publishes no key that can be used")
        known = {key.key_id for key in self._keys}
        self._metadata = metadata
        self._keys = keys
        if known != {key.key_id for key in keys}:
            log.info("issuer_keys_read", issuer=issuer, keys=[key.key_id for key in keys])

    async def _headers(self) -> Mapping[str, str]:
        file = self._settings.token_file
        if file is None:
            return {}
        try:
            (token, *_) = await asyncio.to_thread(read_keys, file)
        except (OSError, ValueError) as error:
            raise Unanswered(f"token_file: {error}") from None
        return {"Authorization": f"Bearer {token.get_secret_value().decode(errors='replace')}"}
