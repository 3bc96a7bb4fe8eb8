"""Probes the store at intervals, so that an outage shows also while nothing is decided."""

from contextlib import suppress

from controller.core.model.store_errors import StoreLost
from controller.ports.store import Store
from controller.process.periodic import every

EVERY = 5.0
"""Seconds between two probes."""


async def probe_store(store: Store) -> None:
    """Probe until cancelled; the store's health notes what comes of it. Each probe writes: a full disk can be read."""

    async def probe() -> None:
        with suppress(StoreLost):
            await store.probe()

    await every(EVERY, probe)
