"""A machine that systemd runs, of this one's own programs: in namespaces of its own, with our units and no others.

Nothing that it writes to /etc, /opt, /run or /var/lib outlives it. It shares the network, so ports are free ones.
"""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from controller.demo.harness.child_processes import Children
from controller.demo.harness.envoy_binary import envoy_binary
from tests.support.command import Done
from tests.support.process import Process
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
NAMESPACES = ("--fork", "--kill-child=KILL", "--pid", "--mount", "--mount-proc", "--cgroup")
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user")
"""Units that ours name, and that do nothing here."""

# Shared among its own namespaces in the end, as systemd makes it on a machine: credentials reach a unit by propagation.
BOOT = """\
set -eu
mount --make-rprivate /
umount --recursive /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
for folder in /run /opt /var/lib; do mount -t tmpfs -o mode=0755 none $folder; done
mount -t tmpfs none {layers}
mkdir {layers}/upper {layers}/work
mount -t overlay -o lowerdir=/etc,upperdir={layers}/upper,workdir={layers}/work none /etc
mkdir -p /opt/haldane/bin /opt/haldane/source /opt/haldane/packages /opt/haldane/python /etc/haldane /run/units
mount --bind {source} /opt/haldane/source
mount --bind {packages} /opt/haldane/packages
mount --bind {python} /opt/haldane/python
cp {envoy} /opt/haldane/bin/envoy
cp {folder}/haldane /opt/haldane/bin/haldane
cp -r {folder}/units/. /run/units/
cp {units}/haldane.toml /etc/haldane/haldane.toml
systemd-sysusers {units}/sysusers.conf
mount --make-rshared /
export container=other SYSTEMD_UNIT_PATH=/run/units
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=0
"""
HALDANE = """\
#!/bin/sh
export PYTHONPATH=/opt/haldane/source:/opt/haldane/packages LD_LIBRARY_PATH=/opt/haldane/python/lib
export PYTHONDONTWRITEBYTECODE=1
exec /opt/haldane/python/bin/python3 -m controller "$@"
"""


def impossible() -> str:
    """Why there can be no such machine here; empty if there can."""
    if os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
        return "it takes root and systemd"
    made = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return made.stderr.strip()


class Machine:
    """Runs systemd as the first process of namespaces. `drop_ins`: what is set for a test, by unit."""

    def __init__(self, processes: Children, folder: Path, drop_ins: Mapping[str, str]) -> None:
        self._write(folder, drop_ins)
        self._systemd = Process(processes, "systemd", ["unshare", *NAMESPACES, "sh", str(folder / "boot")])

    async def boot(self) -> None:
        """Start it, until systemd takes commands."""
        self._systemd.launch()
        await wait_until(self._answers, 20.0)

    def stop(self) -> None:
        """End everything in it."""
        if self._systemd.running:
            self._systemd.kill()

    async def run(self, *command: str) -> Done:
        """A command in it, as root."""
        pipe = asyncio.subprocess.PIPE
        entered = ["nsenter", f"--target={self._first()}", "--mount", "--pid", "--", *command]
        child = await asyncio.create_subprocess_exec(*entered, stdout=pipe, stderr=pipe)
        out, err = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode is not None
        return Done(child.returncode, out.decode(), err.decode())

    async def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return (await self.run("systemctl", "show", unit, f"--property={name}", "--value")).out.strip()

    def _first(self) -> int:
        """The process id of its systemd: the only child of `unshare`."""
        pid = self._systemd.child.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    async def _answers(self) -> bool:
        self._systemd.child.check()
        try:
            return (await self.run("systemctl", "is-active", "multi-user.target")).code == 0
        except IndexError:  # not yet forked
            return False

    def _write(self, folder: Path, drop_ins: Mapping[str, str]) -> None:
        units = folder / "units"
        units.mkdir()
        for target in TARGETS:
            (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        for unit, text in drop_ins.items():
            shutil.copy(UNITS / unit, units / unit)
            (units / f"{unit}.d").mkdir()
            (units / f"{unit}.d" / "test.conf").write_text(text)
        (folder / "layers").mkdir()
        grpc = importlib.util.find_spec("grpc")
        assert grpc is not None
        assert grpc.origin is not None
        values = {
            "folder": folder,
            "layers": folder / "layers",
            "source": ROOT,
            "packages": Path(grpc.origin).parents[1],
            "python": Path(sys.base_prefix),
            "units": UNITS,
            "envoy": envoy_binary(),
        }
        (folder / "boot").write_text(BOOT.format_map(values))
        haldane = folder / "haldane"
        haldane.write_text(HALDANE)
        haldane.chmod(0o755)
