"""Notifying programs: each ledger line as a CloudEvent (v1.0, structured JSON mode) over HTTP, signed.

The format is nine JSON keys: no package is needed for it.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp
from pydantic import JsonValue

from controller.core.base.text import clean_values
from controller.core.model.freeze import ALL
from controller.core.model.ledger_kind import severity_of
from controller.core.model.ledger_line import LedgerLine
from controller.notify.target import Target
from controller.ports.clock import Clock
from controller.ports.recipient import DeliveryError
from controller.process.http_client import Unanswered, post

CONTENT_TYPE = "application/cloudevents+json"

FINAL = frozenset({400, 410, 413, 415, 422})
"""Statuses that reject this event, or every event: sending it again is of no use."""


def cloud_event(line: LedgerLine, store_id: str) -> dict[str, JsonValue]:
    """The event of a ledger line. Its `id` is the same each time that the line is delivered."""
    entry = line.entry
    return {
        "specversion": "1.0",
        "id": f"{store_id}-{line.sequence}-{entry.kind}",
        "source": f"/haldane/{store_id}",
        "type": f"haldane.{entry.kind}",
        "subject": entry.scope or ALL,
        "time": datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds"),
        "severity": severity_of(entry.kind).name.lower(),
        "datacontenttype": "application/json",
        "data": {
            "sequence": line.sequence,
            "revision": line.revision,
            "hash": line.hash,
            **clean_values(entry.model_dump(exclude={"proof"})),
            **clean_values(entry.actor.plain()),
        },
    }


class CloudEvents:
    """A program at an HTTP address."""

    batch = 1

    def __init__(self, name: str, target: Target, session: aiohttp.ClientSession, clock: Clock, store_id: str) -> None:
        self.name = name
        self.give_up = target.give_up
        self.wants = target.wants
        self._receiver = target.receiver()
        self._session = session
        self._clock = clock
        self._store_id = store_id

    async def deliver(self, lines: Sequence[LedgerLine]) -> None:
        """Send each line. `DeliveryError` if one is not taken; those before it are delivered."""
        for line in lines:
            event = cloud_event(line, self._store_id)
            try:
                status = await post(
                    self._session,
                    self._receiver,
                    json.dumps(event).encode(),
                    content_type=CONTENT_TYPE,
                    message_id=str(event["id"]),
                    now=self._clock.wall(),
                )
            except Unanswered as unanswered:
                raise DeliveryError(str(unanswered)) from unanswered
            if not 200 <= status < 300:
                raise DeliveryError(f"answered {status}", final=status in FINAL)
