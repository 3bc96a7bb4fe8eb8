"""A controller whose doors are secured, and proxies with certificates: all of them made by `haldane certs`."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import grpc

from controller.demo.harness.child_processes import Children, clean_environment
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import AccessStub
from tests.support import preloaded
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until

FLEET = "edge"


class SecuredControllerProcess(ControllerProcess):
    """A controller with mutual TLS. Tests act through its UNIX socket, as the user who runs it does."""

    def __init__(self, group: Children, settings: Mapping[str, str] | None = None, name: str = "controller") -> None:
        self.certs = group.folder / f"{name}-certs"
        config = group.folder / f"{name}.toml"
        super().__init__(group, {"HALDANE_CONFIG": str(config), **(settings or {})}, name)
        haldane("certs", str(self.certs), "--fleet", FLEET, "--operator", "alice")
        controller = self.certs / "controller"
        config.write_text(
            f'[tls]\ncertificate_file = "{controller}/tls.crt"\nkey_file = "{controller}/tls.key"\n'
            f'client_ca_file = "{self.certs}/ca.crt"\n[[access]]\nsubject = "alice"\nrole = "admin"\n'
        )
        self.admin = f"unix:{self.store}.admin.sock"

    async def start(self, within: float = 20.0) -> None:
        """Start it and wait until it answers."""
        self.launch()
        await wait_until(self._answers, within, every=0.1)

    async def _answers(self) -> bool:
        self.child.check()
        async with grpc.aio.insecure_channel(self.admin) as channel:
            try:
                await AccessStub(channel).WhoAmI(pb.WhoAmIRequest(), timeout=2)  # type: ignore[no-untyped-call]
            except grpc.aio.AioRpcError:
                return False
            return True


class MountedSecret:
    """A folder with a proxy's certificate as Kubernetes mounts a secret: replaced at once, by a link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()

    def put(self, source: Path) -> None:
        """Replace all files by those of a folder."""
        self._show(source, {})

    def change(self, changed: Mapping[str, Path]) -> None:
        """Replace some of the files by others."""
        self._show(self.folder / "..data", changed)

    def _show(self, source: Path, changed: Mapping[str, Path]) -> None:
        self._version += 1
        data = self.folder / f"..{self._version}"
        shutil.copytree(source, data)
        for name, file in changed.items():
            shutil.copyfile(file, data / name)
        link = self.folder / "..tmp"
        link.symlink_to(data.name)
        os.replace(link, self.folder / "..data")
        for file in data.iterdir():
            name = self.folder / file.name
            if not name.is_symlink():
                name.symlink_to(f"..data/{file.name}")


def haldane(*args: str) -> str:
    """What a command prints, which must succeed."""
    done = preloaded.run(*args, env=clean_environment())
    assert done.code == 0, done
    return done.out
