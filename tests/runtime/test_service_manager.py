"""What systemd is told, as a socket of its protocol receives it: ready, alive while the event loop turns, stopping."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.demo.harness.child_processes import Children
from controller.process.service_manager import ServiceManager
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until


class Manager:
    """A datagram socket at `address`, `@NAME` for the abstract namespace, and all that it was told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)
        self._told: list[str] = []

    @property
    def told(self) -> list[str]:
        """The messages so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._told.append(self.socket.recv(4096).decode())
        return self._told


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


async def test_serve_is_ready_once_it_serves_alive_meanwhile_and_stopping_at_sigterm(
    processes: Children, manager: Manager
) -> None:
    """Nothing is told before /readyz is 200 could be true; while its event loop stands still, it is silent."""
    settings = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    controller = ControllerProcess(processes, settings)
    await controller.start()
    await wait_until(lambda: manager.told.count("WATCHDOG=1") >= 3)
    assert manager.told[0] == "READY=1\nSTATUS=serving"
    controller.send(signal.SIGSTOP)
    silent_since = len(manager.told)
    await asyncio.sleep(1.0)  # more than two intervals
    assert len(manager.told) == silent_since
    controller.send(signal.SIGCONT)
    await wait_until(lambda: len(manager.told) > silent_since)
    assert controller.stop() == 0
    assert manager.told[-1] == "STOPPING=1\nSTATUS=draining"


async def test_a_controller_that_cannot_start_is_never_ready(processes: Children, manager: Manager) -> None:
    """Its port is taken: it ends with 1, and systemd knows from that alone."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        taken_address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"NOTIFY_SOCKET": manager.address, "HALDANE_XDS_LISTEN": taken_address}
        controller = ControllerProcess(processes, settings)
        controller.launch()
        await wait_until(lambda: not controller.running)
    assert controller.child.process.returncode == 1
    assert manager.told == []


def test_an_address_in_the_abstract_namespace() -> None:
    """As systemd gives it to services in a container."""
    manager = Manager(f"@haldane-test-{os.getpid()}")
    with contextlib.closing(manager.socket):
        ServiceManager.of_environment({"NOTIFY_SOCKET": manager.address}).stopping()
        assert manager.told == ["STOPPING=1\nSTATUS=draining"]


@pytest.mark.parametrize(
    "environment",
    [
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
        {},
    ],
)
async def test_without_a_watchdog_of_its_own_it_reports_nothing(environment: dict[str, str], manager: Manager) -> None:
    """None is set, or it is meant for another process: `run` ends at once."""
    await ServiceManager.of_environment({**environment, "NOTIFY_SOCKET": manager.address}).run()
    assert manager.told == []


def test_a_service_manager_that_is_gone_hurts_nothing(manager: Manager) -> None:
    """Its socket is closed: the process serves on."""
    manager.socket.close()
    ServiceManager(manager.address).ready()
