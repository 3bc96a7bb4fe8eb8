"""Asks now and then whether the store answers, so that the metrics say so also while nothing is written."""

import asyncio

import structlog

from controller.core.model.store_errors import StoreLost
from controller.ports.meters import StoreMeter
from controller.ports.store import Store

EVERY = 5.0
"""Seconds between two questions."""

log = structlog.get_logger()


async def feel_the_store(store: Store, meter: StoreMeter) -> None:
    """Ask for ever. That it is back is said only after it was said here to be away: a full disk answers, too."""
    lost = False
    while True:
        try:
            await store.load()
            if lost:
                meter.store_answers(True)
            lost = False
        except StoreLost as error:
            meter.store_answers(False)
            log.warning("store_lost", reason=str(error))
            lost = True
        await asyncio.sleep(EVERY)
