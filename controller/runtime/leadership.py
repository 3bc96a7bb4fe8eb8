"""Leadership as a stream of terms: what the deciding replica does runs inside a term, and ends with it.

A replica campaigns for a term, decides until it ends, and campaigns again. Nothing is carried from one term into
the next: each starts from what the store holds.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from controller.core.model.store_errors import StoreError
from controller.ports.store import Store, Term
from controller.process.backoff import backoff

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between two campaigns while the store is away."""

log = structlog.get_logger()


async def lead(store: Store, who: str, decide: Callable[[Term], Coroutine[Any, Any, None]]) -> None:
    """Campaign for term after term, forever; in each run `decide`, which is cancelled when the term ends.

    When this itself is cancelled, `decide` is too, and the term is given up once it has returned. An error that
    `decide` raises is raised here.
    """
    while True:
        term = await _campaign(store, who)
        log.info("term_begun", who=who, token=term.token)
        try:
            await _run_until_over(term, decide(term))
        finally:
            await store.resign(term)
        log.warning("term_lost", token=term.token)


async def _campaign(store: Store, who: str) -> Term:
    logged: type[StoreError] | None = None
    for pause in backoff(FIRST_PAUSE, LONGEST_PAUSE):
        try:
            return await store.campaign(who)
        except StoreError as error:
            if type(error) is not logged:  # once for an outage; what it is now is in the store's health
                log.warning("no_term", reason=str(error))
            logged = type(error)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def _run_until_over(term: Term, work: Coroutine[Any, Any, None]) -> None:
    working, ending = asyncio.create_task(work), asyncio.create_task(term.ended())
    try:
        await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        ending.cancel()
        await asyncio.wait((working, ending))
    if not working.cancelled():
        working.result()
