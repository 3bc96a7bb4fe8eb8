"""What a controller keeps on its machine beside a store in etcd is its own."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.core.model.store_errors import Unusable
from controller.store.etcd.state_folder import StateFolder
from tests.fakes.clock import FakeClock
from tests.store.etcd_replicas import Replicas


@pytest.mark.requires("etcd")
async def test_two_controllers_never_share_a_folder(tmp_path: Path, clock: FakeClock) -> None:
    """The later one does not start, and its user learns which setting helps. One that has ended is no obstacle."""
    replicas = Replicas(tmp_path, clock)
    first = await replicas.open("one")
    with pytest.raises(Unusable, match=r"one is in use by another controller \(process \d+\).*XDG_STATE_HOME=FOLDER"):
        await replicas.open("one")
    await replicas.open("two")
    await first.close()
    await replicas.open("one")
    await replicas.close()


def test_a_disk_that_refuses_a_lock_stops_no_controller(tmp_path: Path) -> None:
    """It can keep no copy there either: it says so and serves."""
    obstacle = tmp_path / "file"
    obstacle.write_text("")
    with capture_logs() as lines:
        folder = StateFolder.take(obstacle / "etcd-haldane")
    folder.release()
    folder.release()
    assert [line["event"] for line in lines] == ["state_folder_not_locked"]
