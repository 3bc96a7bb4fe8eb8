"""Probes the store at intervals, so that an outage shows also while nothing is decided."""

import asyncio
import itertools
from contextlib import suppress

from controller.core.model.store_errors import StoreLost
from controller.ports.store import Store

EVERY = 1.0
"""Seconds between two probes."""
WRITES_EACH = 5
"""Each so many probes one writes, since a full disk can be read; the others only compare what is stored with what is
served."""


async def probe_store(store: Store) -> None:
    """Probe until cancelled; the store's health notes what comes of it."""
    for number in itertools.count():
        with suppress(StoreLost):
            await (store.load() if number % WRITES_EACH else store.probe())
        await asyncio.sleep(EVERY)
