"""Probes the store at intervals, so that the metrics show an outage also while nothing is written."""

import structlog

from controller.core.model.store_errors import StoreLost
from controller.ports.meters import StoreMeter
from controller.ports.store import Store
from controller.process.periodic import every

EVERY = 5.0
"""Seconds between two probes."""

log = structlog.get_logger()


async def probe_store(store: Store, meter: StoreMeter) -> None:
    """Probe until cancelled.

    Report recovery only if this probe reported the outage: a store on a full disk still answers reads.
    """
    outage_reported = False

    async def probe() -> None:
        nonlocal outage_reported
        try:
            await store.load()
            if outage_reported:
                meter.set_store_up(True)
            outage_reported = False
        except StoreLost as error:
            meter.set_store_up(False)
            log.warning("store_lost", reason=str(error))
            outage_reported = True

    await every(EVERY, probe)
