"""The store's files are touched under a controller that decides, with a real Envoy, a load and a canary that does harm.

Nothing that was acknowledged is lost or unserved, nothing is acknowledged from then on, and every surface says why.
"""

import asyncio
import json
import subprocess
from typing import Any

import aiohttp
import grpc
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.faults.trial import Trial, trial
from tests.support.system import SERVICE
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

CASES = {
    "copied over": ("cp old.db $DB; rm $DB-wal $DB-shm", "$DB-wal was taken away"),
    "its content changed": ("cat old.db > $DB", "$DB was written to by something else"),
    "emptied": (": > $DB", "$DB was written to by something else"),
    "its log deleted": ("rm $DB-wal", "$DB-wal was taken away"),
    "its log emptied": (": > $DB-wal", "$DB was written to by something else"),
    "renamed": ("mv $DB away", "$DB was taken away"),
    "replaced": ("cp old.db new; ln $DB away; mv new $DB", "$DB was replaced by another file"),
    "deleted": ("rm $DB $DB-wal $DB-shm", "$DB was taken away"),
}
"""What is done to the files, and the problem that is told."""


@pytest.mark.proves("fault 43", "track-record 78")
@pytest.mark.soak
@pytest.mark.parametrize(("script", "problem"), CASES.values(), ids=CASES)
async def test_nothing_is_acknowledged_over_files_that_are_not_ours_any_longer(
    processes: Children, script: str, problem: str
) -> None:
    """Each act is refused with the file and the cause, automation moves nothing, and Envoy keeps its split."""
    async with trial(processes, seconds=60) as made:
        do(made, """python3 -c "import sqlite3; sqlite3.connect('$DB').execute('vacuum into ?', ('old.db',))" """)
        problem = problem.replace("$DB", str(made.system.controller.store))
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        await hold(made)
        do(made, "python3 -c \"import sqlite3; sqlite3.connect('$DB').execute('pragma wal_checkpoint')\"")
        await hold(made, "another")
        do(made, script)
        made.spoil()
        await wait_until(lambda: unready(made, problem))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await made.system.stubs.rollouts.Rollback(admin.RollbackRequest(service=SERVICE, reason="now"))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert problem in str(refused.value.details())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await made.freeze()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        await made.dwell(3)
        assert made.split == {"v2": 2000, "v1": 8000}
        assert await made.frozen() == ["incident 42", "another"]
        listed = await made.system.stubs.catalog.ListServices(admin.ListServicesRequest())
        assert problem in listed.store_problem
        assert problem in str((await get(made, "/console/state"))["unready"])
        lines = [json.loads(line) for line in made.system.controller.output.splitlines() if line.startswith("{")]
        lost = [line for line in lines if line["event"] == "store_lost"]
        assert [line["level"] for line in lost] == ["error"]
        after = [line["event"] for line in lines[lines.index(lost[0]) + 1 :]]
        assert len(after) <= 6, after


@pytest.mark.proves("fault 43", "track-record 79")
@pytest.mark.parametrize("gone", ["-wal", pytest.param("-shm", marks=pytest.mark.soak)])
async def test_after_a_restart_all_that_was_acknowledged_is_there_though_its_log_was_deleted(
    processes: Children, gone: str
) -> None:
    """By kill -9: the freeze that only the log had is in force, and lifted the rollback that is due is decided."""
    async with trial(processes, seconds=60) as made:
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        await made.freeze()
        do(made, f"rm $DB{gone}")
        await wait_until(lambda: unready(made, "Everything acknowledged is in"))
        made.kill()
        await made.live()
        assert await made.frozen() == ["incident 42"]
        assert made.split == {"v2": 2000, "v1": 8000}
        made.spoil()
        await made.unfreeze()
        await made.serves({"v1": 10_000})
        await made.end()


@pytest.mark.proves("fault 43")
async def test_put_back_the_file_is_written_to_again(processes: Children) -> None:
    """Without a restart; what was due is decided then."""
    async with trial(processes, seconds=60) as made:
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        do(made, "mv $DB away")
        made.spoil()
        await wait_until(lambda: unready(made, "was taken away"))
        assert made.split == {"v2": 2000, "v1": 8000}
        do(made, "mv away $DB")
        await made.serves({"v1": 10_000})
        await made.end()


@pytest.mark.proves("fault 45")
@pytest.mark.soak
async def test_a_deleted_file_is_not_silently_a_new_world_after_a_restart(processes: Children) -> None:
    """The controller does not start, and says what to do; Envoy keeps its split."""
    async with trial(processes, seconds=60) as made:
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        do(made, "rm $DB")
        await asyncio.to_thread(made.system.controller.stop)
        await made.launch()
        await wait_until(lambda: not made.system.controller.running, 30)
        assert made.system.controller.child.process.returncode == 1
        assert "is gone, but a store was there" in made.system.controller.output.splitlines()[-1]
        assert made.split == {"v2": 2000, "v1": 8000}


def do(made: Trial, script: str) -> None:
    """Run a shell's script in the folder of the store, which is $DB."""
    store = made.system.controller.store
    subprocess.run(
        ["bash", "-c", script], cwd=store.parent, env={"DB": store.name, "PATH": "/usr/bin:/bin"}, check=True
    )


async def hold(made: Trial, reason: str = "incident 42") -> None:
    """Set a hold, under which harm is still rolled back."""
    await made.system.stubs.killswitch.Freeze(admin.FreezeRequest(all=True, reason=reason, mode="hold"))


async def unready(made: Trial, problem: str) -> bool:
    """Whether the controller is not ready for that reason."""
    return problem in str((await get(made, "/readyz")).get("reason"))


async def get(made: Trial, path: str) -> dict[str, Any]:
    """A JSON document of the HTTP API."""
    url = f"http://{made.system.controller.http}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return dict(await response.json())
