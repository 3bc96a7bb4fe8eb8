"""A DNS name that no server answers holds up nobody else: neither new services nor a rollback."""

import socket
import time
from collections.abc import Iterator

import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.builders import service_file
from tests.support.dns_server import resolving_at
from tests.support.load import steady
from tests.support.process import free_port
from tests.support.system import FLEET, SERVICE, running_system
from tests.support.waiting import answers, wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [50%]
  dwell: 60s
  warmup: 1s
  bake: 1s
"""


@pytest.fixture
def silent_dns() -> Iterator[int]:
    """The port of a DNS server that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@pytest.mark.parametrize("protocol", ["delta", pytest.param("sotw", marks=pytest.mark.soak)])
async def test_a_name_that_no_one_answers_holds_up_no_other_service(
    processes: Children, silent_dns: int, protocol: str
) -> None:
    """A service that is declared after it is served within seconds, and a rollback beside it takes effect at once."""
    async with (
        running_system(
            processes, policy=POLICY, protocol=protocol, change=lambda text: resolving_at(silent_dns, text)
        ) as system,
        steady(system.entry, 50) as load,
    ):
        await system.start()
        await wait_until(lambda: any(a.version == "v2" for a in load.results), 20.0)
        other = free_port()
        more = f"fleets: [{FLEET}]\n"
        silent = service_file("silent", free_port(), endpoints={"v1": "model.example:1"}, more=more)
        late = service_file("late", other, endpoints={"v1": system.models["v1"].address}, more=more)
        for text in (silent, late):
            await system.stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=text, reason="test"))
        begun = time.monotonic()
        await system.stubs.rollouts.Rollback(admin.RollbackRequest(service=SERVICE, reason="test"))
        back = time.monotonic()
        await wait_until(lambda: answers(f"http://127.0.0.1:{other}/"), 5.0)
        assert time.monotonic() - begun < 5.0
        await wait_until(lambda: load.results[-1].sent > back + 2.0)
        assert [a for a in load.results if not a.ok or (a.version == "v2" and a.sent > back + 1.0)] == []
