"""A term under a lease: how it is kept up, and when it ends by the own clock."""

import asyncio
from typing import Any, cast

import pytest

from controller.store.etcd.client import EtcdClient, Lost
from controller.store.etcd.lease_term import LeaseTerm

pytestmark = pytest.mark.looptime

TTL = 6


class Lessor:
    """Answers renewals as it is told: whether the lease stands, or None for no answer in time."""

    def __init__(self, *answers: bool | None) -> None:
        self._answers = list(answers)
        self.asked: list[float] = []
        self.revoked = False

    async def renew_lease(self, lease: int, *, within: float) -> bool:
        self.asked.append(asyncio.get_running_loop().time())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is None:
            await asyncio.sleep(within)
            raise Lost("no answer in time")
        return answer

    async def revoke_lease(self, lease: int) -> None:
        self.revoked = True


def term_of(lessor: Lessor) -> LeaseTerm:
    """A term whose lease was asked for now."""
    now = asyncio.get_running_loop().time()
    return LeaseTerm(7, cast(EtcdClient, cast(Any, lessor)), 1, TTL, now)


async def test_a_renewed_term_goes_on() -> None:
    """Six renewals for each time that the lease lasts."""
    term = term_of(lessor := Lessor(True))
    await asyncio.sleep(10 * TTL)
    assert not term.over
    assert 55 <= len(lessor.asked) <= 60
    await term.give_up()
    assert (term.over, lessor.revoked) == (True, True)


async def test_a_lost_renewal_is_tried_at_the_next_member_at_once() -> None:
    """So that two members that hang do not cost a term that the third one would keep up."""
    term = term_of(Lessor(None, None, True))
    await asyncio.sleep(3 * TTL)
    assert not term.over
    await term.give_up()


async def test_without_a_renewal_it_ends_after_two_thirds() -> None:
    """Counted from when the last good renewal was asked for, whatever an attempt that is under way comes to."""
    lessor = Lessor(True, None)
    term, begun = term_of(lessor), asyncio.get_running_loop().time()
    await term.ended()
    assert asyncio.get_running_loop().time() == pytest.approx(begun + TTL / 6 + TTL * 2 / 3, abs=0.01)
    await term.give_up()


async def test_a_lease_that_has_ended_ends_it_at_once() -> None:
    """Another replica may decide."""
    term, begun = term_of(Lessor(False)), asyncio.get_running_loop().time()
    await term.ended()
    assert asyncio.get_running_loop().time() == pytest.approx(begun + TTL / 6, abs=0.01)
    await term.give_up()
