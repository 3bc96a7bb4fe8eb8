"""A rolling upgrade to a version whose records the former one cannot read."""

import sys
from pathlib import Path

import grpc
import pytest

from controller.core.model.service_state import SCHEMA
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.controllers.conftest import Make
from tests.controllers.test_members import leaders, listed, until
from tests.support.waiting import answers, wait_until

pytestmark = [pytest.mark.requires("etcd")]

NEWER = [sys.executable, "-m", "tests.support.newer_haldane"]
ROOT = Path(__file__).parents[2]
FREEZE = pb.FreezeRequest(all=True, reason="the night")


async def test_the_newer_waits_for_the_older_and_the_older_never_overwrites_it(controller: Make) -> None:
    """Beside an older one the newer one serves, is ready, and stores nothing. Once the older has ended it decides; one
    of the older version that starts again serves what it served last, decides nothing, and says so everywhere."""
    older, newer = controller("older"), controller("newer", prefix=NEWER)
    newer.environment["PYTHONPATH"] = str(ROOT)
    await older.start()
    await until(older, lambda every: leaders(every) == ["older"])
    await newer.start()
    await until(older, lambda every: [each.writes for each in every] == ["waits", "yes"])
    assert [each.records for each in await listed(older)] == [SCHEMA + 1, SCHEMA]
    async with newer.stubs() as refusing, older.stubs() as taking:
        with pytest.raises(grpc.aio.AioRpcError, match=f"older .{older.admin}, schema {SCHEMA}.*send it there"):
            await refusing.killswitch.Freeze(FREEZE)
        await taking.killswitch.Freeze(FREEZE)
    assert await answers(f"http://{newer.http}/readyz")

    older.stop()
    await until(newer, lambda every: leaders(every) == ["newer"])
    older.launch()
    await until(newer, lambda every: [each.writes for each in every] == ["yes", "too_old"])
    await wait_until(lambda: "store_lost" in older.output)
    assert not await answers(f"http://{older.http}/readyz")
    async with older.stubs() as stubs:
        with pytest.raises(grpc.aio.AioRpcError, match="upgrade this controller"):
            await stubs.killswitch.Freeze(FREEZE)
        assert len((await stubs.killswitch.ListFreezes(pb.ListFreezesRequest())).freezes) == 1
