"""Endpoints from SRV records (RFC 2782), read again when their time to live is over.

| | |
|---|---|
| priority | of the records with the lowest number that have an address; the others are for when those are gone |
| weight | the endpoint's weight, at least 1 |
| addresses of a target | all of type A, or all of type AAAA if it has none of type A |
| a name that does not exist, or has no such record | no endpoint |
| no answer, SERVFAIL, REFUSED | a problem; what was read last holds |
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from controller.core.base.text import clean
from controller.core.model.endpoint_source import DnsSource
from controller.core.model.service import Endpoint
from controller.ports.endpoint_sources import SourceReading
from controller.process.backoff import backoff
from controller.process.http_client import Unanswered

if TYPE_CHECKING:  # it takes a tenth of a second to load, and few controllers need it
    from dns.asyncresolver import Resolver

LEAST_TTL, MOST_TTL = 1.0, 300.0
"""Seconds between which a record's time to live is heeded."""
ABSENT_TTL = 5.0
"""Seconds after which a name without records is asked for again."""
LIFETIME = 5.0
"""Seconds of a question, over all tries."""
FIRST, LONGEST = 1.0, 30.0
"""Seconds of the pauses after failures."""
MAX_TARGETS = 1000
"""Records of a name."""
MAX_WEIGHT = 1000


class SrvRecord(NamedTuple):
    """A record, with the addresses of its target."""

    priority: int
    weight: int
    port: int
    addresses: tuple[str, ...]


class _Answer(NamedTuple):
    records: tuple[Any, ...]
    ttl: float


def endpoints_of(records: Iterable[SrvRecord]) -> tuple[Endpoint, ...]:
    """The endpoints of these records, in a fixed order."""
    usable = sorted((each for each in records if each.addresses), key=lambda each: each.priority)
    _, first = next(groupby(usable, key=lambda each: each.priority), (0, ()))
    found = {
        (address, each.port): Endpoint(host=address, port=each.port, weight=max(1, min(each.weight, MAX_WEIGHT)))
        for each in first
        for address in each.addresses
    }
    return tuple(found[key] for key in sorted(found))


class DnsRecords:
    """Reads SRV records, from the servers that the system names or from one of the settings."""

    def __init__(self, server: str = "") -> None:
        """`server` is IP:PORT."""
        self._server = server
        self._resolver: Resolver | None = None

    async def watch(self, source: DnsSource) -> AsyncIterator[SourceReading]:
        """What the records say, and each change of it, forever; or why they cannot be read."""
        pauses, before = backoff(FIRST, LONGEST), None
        while True:
            try:
                reading, pause = await self.read(source.name)
                pauses = backoff(FIRST, LONGEST)
            except Unanswered as unanswered:
                reading, pause = SourceReading(problem=str(unanswered)), next(pauses)
            if reading != before:
                yield reading
                before = reading
            await asyncio.sleep(pause)

    async def read(self, name: str) -> tuple[SourceReading, float]:
        """What the records say, and for how many seconds. Raises `Unanswered`."""
        answer = await self._ask(name, "SRV")
        if len(answer.records) > MAX_TARGETS:
            raise Unanswered(f"it has {len(answer.records)} records, and {MAX_TARGETS} is the most")
        targets = sorted({str(each.target) for each in answer.records} - {"."})  # "." is for: there is no such service
        found = dict(zip(targets, await asyncio.gather(*map(self._addresses, targets)), strict=True))
        records = [
            SrvRecord(each.priority, each.weight, each.port, tuple(a.address for a in found[str(each.target)].records))
            for each in answer.records
            if str(each.target) in found and each.port
        ]
        endpoints = endpoints_of(records)
        note = "" if endpoints else "no target has an address" if records else "there is no such record"
        ttl = min((answer.ttl, *(each.ttl for each in found.values())))
        return SourceReading(endpoints, note=note), max(LEAST_TTL, min(ttl, MOST_TTL))

    async def _addresses(self, target: str) -> _Answer:
        four = await self._ask(target, "A")
        return four if four.records else await self._ask(target, "AAAA")

    async def _ask(self, name: str, kind: str) -> _Answer:
        """The records of a name. Raises `Unanswered`."""
        from dns.exception import DNSException, Timeout
        from dns.resolver import NXDOMAIN, NoAnswer

        try:
            answer = await self._made().resolve(f"{name.rstrip('.')}.", kind, lifetime=LIFETIME, search=False)
        except (NXDOMAIN, NoAnswer):
            return _Answer((), ABSENT_TTL)
        except Timeout:
            raise Unanswered(f"no DNS server answers for {clean(name)} within {LIFETIME:g} s") from None
        except (DNSException, OSError) as error:
            raise Unanswered(f"{clean(name)} cannot be resolved: {clean(str(error))[:150]}") from None
        return _Answer(tuple(answer), float(answer.rrset.ttl) if answer.rrset else ABSENT_TTL)

    def _made(self) -> "Resolver":
        """Raises DNSException if the system names no DNS server."""
        from dns.asyncresolver import Resolver

        if self._resolver is None:
            resolver = Resolver(configure=not self._server)
            if self._server:
                host, _, port = self._server.rpartition(":")
                resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
            self._resolver = resolver
        return self._resolver
