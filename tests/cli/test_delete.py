"""`haldane delete` of a service that carries traffic: it asks, and where no one can answer it needs `--yes`."""

import os
import pty
from pathlib import Path

import pytest

from controller.core.control.sync import Sync
from controller.core.traffic.reports import Traffic
from controller.ports.observatory import Live
from tests.cli.admin_server import WITHIN, AdminServer
from tests.cli.conftest import Haldane, Process
from tests.cli.test_watch_and_wait import painted_until


@pytest.fixture
def busy(scorer: Path, server: AdminServer) -> None:
    """Requests for `scorer` were reported in the last seconds, by two proxies."""
    server.fleet.synced = Sync(2, 2)
    server.see("scorer", Live(traffic={"v1": Traffic(requests_per_second=92.1), "v2": Traffic()}))


def is_there(server: AdminServer) -> bool:
    """Whether the service is stored."""
    return "scorer" in server.do(server.store.load()).services


@pytest.mark.usefixtures("busy")
def test_where_nobody_can_answer_a_yes_is_needed(haldane: Haldane, server: AdminServer) -> None:
    """A script learns what it would have deleted and what to add; nothing is deleted until it does."""
    done = haldane("delete", "scorer")
    assert (done.code, done.out, is_there(server)) == (2, "", True)
    assert "scorer carries traffic: 92.1 requests a second on 2 connected proxies" in done.err
    assert "--yes" in done.err
    assert haldane("delete", "scorer", "-o", "json").document["error"]["code"] == "CONFIRMATION_NEEDED"
    assert haldane("delete", "scorer", "--yes").code == 0
    assert not is_there(server)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("typed", "code"), [(b"n\n", 1), (b"\n", 1), (b"y\n", 0)])
def test_on_a_terminal_it_asks(process: Process, server: AdminServer, typed: bytes, code: int) -> None:
    """Only a yes deletes."""
    controller, terminal = pty.openpty()
    child = process("delete", "scorer", stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    assert "92.1 requests a second" in painted_until(controller, "Delete it? [y/N]")
    os.write(controller, typed)
    assert child.wait(WITHIN) == code
    assert is_there(server) == (code != 0)
    os.close(controller)


def test_a_quiet_service_is_deleted_without_a_question(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Connected proxies alone are no traffic."""
    server.fleet.synced = Sync(2, 2)
    server.see("scorer", Live(traffic={"v1": Traffic(requests=1000)}))
    assert haldane("delete", "scorer").code == 0
