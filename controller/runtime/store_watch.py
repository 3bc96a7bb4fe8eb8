"""Follows the store: each new view is published to the proxies, then observed by the replica."""

from collections.abc import Callable

import structlog

from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.ports.store import Store
from controller.process.periodic import every
from controller.runtime.replica import Replica

RETRY = 0.5
"""Seconds until a watch that broke, or a view that could not be published, is tried again."""

log = structlog.get_logger()


async def watch_store(store: Store, replica: Replica, publish: Callable[[View], None]) -> None:
    """Publish each new view, then let the replica go on from it, forever.

    A view that could not be published is tried again, and nothing is decided on it before it is served.
    """

    async def watch() -> None:
        try:
            async for view in store.watch(replica.view().revision):
                publish(view)
                replica.on_view(view)
        except StoreLost as lost:
            log.warning("store_lost", reason=str(lost))
        except Exception:
            # An error in publishing must not end the controller: proxies keep what they have, freezes hold.
            log.exception("publish_failed")

    await every(RETRY, watch)
