"""Several controllers over one etcd, as processes of their own."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.controller import ControllerProcess
from tests.support.etcd import shared_cluster

TTL = 3
"""Seconds of a lease, short so that a test need not wait long for a successor."""


class Make(Protocol):
    """Makes a controller of that name; `prefix` is a command that runs it."""

    def __call__(self, name: str, *, prefix: Sequence[str] = ()) -> ControllerProcess: ...


@pytest.fixture
def controller(processes: Children, tmp_path: Path) -> Make:
    """Makes controllers over one store in etcd, by name, which are not started yet."""
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[etcd]\nttl = {TTL}\n")
    store = f"etcd:{','.join(shared_cluster().endpoints)}?prefix=/{uuid.uuid4()}"

    def make(name: str, *, prefix: Sequence[str] = ()) -> ControllerProcess:
        own = {
            "HALDANE_STORE": store,
            "HALDANE_CONFIG": str(settings),
            "HALDANE_NAME": name,
            "HALDANE_ADMIN_SOCKET": "none",
            "HALDANE_HTTP_SOCKET": "none",
            "XDG_STATE_HOME": str(processes.folder / f"state-{uuid.uuid4().hex[:8]}"),
        }
        return ControllerProcess(processes, own, name=name, prefix=prefix)

    return make
