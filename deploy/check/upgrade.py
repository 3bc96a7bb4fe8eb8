"""Upgrade a controller with a rollout running, and go back: no request fails and no weight moves.

`python deploy/check/upgrade.py [--from REF]`: REF is a commit of the previous release (default: the newest tag, or the
commit before this one). Its wheel and this checkout's are built and installed apart; packages that they need are those
of this Python. A real Envoy serves a steady load while the controllers change places on one state file.

It fails unless Envoy's weights stay as they are and every request succeeds from before the upgrade until after the way
back, and unless the upgraded controller then rolls a canary back that fails. Where the former release refuses the
upgraded state, the way back is the backup that was made before.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from controller.demo.environment import FLEET, SERVICE
from controller.demo.envoy_admin import EnvoyAdmin
from controller.demo.harness.child_processes import Child, ChildDied, Children, children
from controller.demo.harness.envoy_binary import envoy_binary
from controller.demo.harness.free_ports import free_ports
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.load import held_out_requests

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
RATE = 50.0
"""Requests a second."""
WITHIN = 60.0
"""Seconds for a thing to come true."""
UNDISTURBED = 3.0
"""Seconds of load on each release before the next one comes."""
LONGEST = 600.0
STEP = "20%"
"""The canary's share, where it dwells for longer than the check takes."""
FILE = f"""\
service: {SERVICE}
listen: {{address: {HOST}, port: PORT}}
versions:
  v1: {{endpoints: ["{HOST}:V1"]}}
  v2: {{endpoints: ["{HOST}:V2"]}}
stable: v1
policy: {{steps: [{STEP}, 50%], dwell: 1h, deadline: 1d}}
"""


class Failed(Exception):  # noqa: N818
    """The check failed, and why."""


@dataclass(frozen=True)
class Release:
    """An installed wheel."""

    name: str
    folder: Path

    def environment(self, values: Mapping[str, str]) -> dict[str, str]:
        """For its programs."""
        return {**values, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}


def install(name: str, source: Path, folder: Path) -> Release:
    """Build the wheel of a checkout and install it alone. Raises `Failed`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{name} cannot be built: {done.stderr[-2000:]}")
    return Release(name, folder)


def former(reference: str, folder: Path) -> Release:
    """The wheel of a commit. Raises `Failed`."""
    source = folder / "former-source"
    source.mkdir()
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", reference], capture_output=True, check=False)
    if archive.returncode:
        raise Failed(f"{reference}: {archive.stderr.decode()}")
    subprocess.run(["tar", "x", "-C", str(source)], input=archive.stdout, check=True)
    return install(f"the former release ({reference})", source, folder / "former")


def current(folder: Path) -> Release:
    """The wheel of this checkout, of a copy, since a build leaves its traces."""
    source = folder / "current-source"
    names = ["controller", "pyproject.toml", "README.md", "LICENSE"]
    source.mkdir()
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in names), str(source)], check=True)
    return install("this release", source, folder / "current")


def previous() -> str:
    """The newest tag, or the commit before this one."""
    for command in (["describe", "--tags", "--abbrev=0", "HEAD~1"], ["rev-parse", "--short", "HEAD~1"]):
        done = subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    raise Failed("there is no former commit: name one with --from")


class Machine:
    """A controller, whichever release it is of, an Envoy, two model servers and a load."""

    def __init__(self, group: Children, session: aiohttp.ClientSession) -> None:
        self._group, self._session = group, session
        xds, admin, http, envoy, self.port, self.v1, self.v2 = free_ports(7)
        self.store = group.folder / "haldane.db"
        self.settings = {
            "HALDANE_XDS_LISTEN": f"{HOST}:{xds}",
            "HALDANE_ADMIN_LISTEN": f"{HOST}:{admin}",
            "HALDANE_HTTP_LISTEN": f"{HOST}:{http}",
            "HALDANE_ADMIN": f"{HOST}:{admin}",
            "HALDANE_STORE": f"sqlite:{self.store}",
        }
        self._http, self._envoy = f"{HOST}:{http}", f"{HOST}:{envoy}"
        self._controller: Child | None = None
        self._ended: list[str] = []
        self.envoy = EnvoyAdmin(session, self._envoy, SERVICE)
        self.weights: list[Mapping[str, int]] = []
        """What Envoy's weights were, one after the other."""
        url = f"http://{HOST}:{self.port}/v2/models/{SERVICE}/infer"
        self.load = LoadGenerator(url, held_out_requests(), rate=RATE)

    async def start(self, release: Release) -> None:
        """Everything that does not change: models and Envoy, by this release."""
        for version, port, samples in (("v1", self.v1, "300"), ("v2", self.v2, "800")):
            words = ["--name", SERVICE, "--version", version, "--port", str(port), "--samples", samples]
            self._group.start(version, [sys.executable, "-m", "controller.demo.model_server", *words], _plain())
        await self.serve(release)
        file = self._group.folder / "service.yaml"
        ports = {"PORT": self.port, "V1": self.v1, "V2": self.v2}
        text = FILE
        for name, port in ports.items():
            text = text.replace(name, str(port))
        file.write_text(text)
        await self.haldane(release, "apply", "-f", str(file))
        bootstrap = self._group.folder / "envoy.yaml"
        options = ["--fleet", FLEET, "--node", "gateway", "--envoy-admin", self._envoy]
        bootstrap.write_text(await self.haldane(release, "bootstrap", *options))
        words = ["-c", str(bootstrap), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        self._group.start("envoy", [str(envoy_binary()), *words])
        for port in (self.v1, self.v2):
            await self.until(f"a model at {port}", lambda port=port: self._answers(f"http://{HOST}:{port}/v2"))
        await self.until("Envoy", lambda: self._answers(f"http://{HOST}:{self.port}/v2"))

    async def serve(self, release: Release) -> float:
        """Start a controller of that release; seconds until it is ready."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "controller", "serve"]
        name = f"controller-{len(self._ended) + 1}"
        self._controller = self._group.start(name, command, release.environment(self.settings))
        await self.until(f"{release.name} ready", lambda: self._answers(f"http://{self._http}/readyz"))
        return time.monotonic() - begun

    async def stop(self) -> None:
        """End the controller as systemd and the kubelet do."""
        assert self._controller
        self._ended.append(self._controller.name)
        self._controller.process.terminate()
        code = await asyncio.to_thread(self._controller.process.wait, 30)
        if code:
            raise Failed(f"the controller ended with {code}: {self._controller.tail()}")

    def forget(self) -> None:
        """The controller that was started last has ended by itself."""
        assert self._controller
        self._ended.append(self._controller.name)

    async def haldane(self, release: Release, *words: str) -> str:
        """The output of a command of that release. Raises `Failed`."""
        pipe = asyncio.subprocess.PIPE
        environment = {**_plain(), **release.environment(self.settings)}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controller", *words, stdout=pipe, stderr=pipe, env=environment, cwd=self.store.parent
        )
        out, err = await asyncio.wait_for(child.communicate(), WITHIN)
        if child.returncode:
            raise Failed(f"haldane {' '.join(words)}: {err.decode()[-1000:]}")
        return out.decode()

    async def rollout(self, release: Release) -> dict[str, Any]:
        """The rollout, as that release says it is."""
        shown: dict[str, Any] = json.loads(await self.haldane(release, "get", SERVICE, "--output", "json"))
        rollout: dict[str, Any] = shown.get("rollout", shown)
        return rollout

    async def watch_weights(self) -> None:
        """Record each change of Envoy's weights, until cancelled."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                split = await self.envoy.split()
                if split and (not self.weights or self.weights[-1] != split.weights):
                    self.weights.append(split.weights)
            await asyncio.sleep(0.05)

    async def reports_arrive(self, release: Release) -> None:
        """Wait until the controller has Envoy in sync, and judges what it reports."""

        async def judged() -> bool:
            rollout = await self.rollout(release)
            return rollout["proxies_synced"] == rollout["proxies_total"] == 1 and rollout["phase"] == "PROGRESSING"

        await self.until(f"an Envoy in sync with {release.name}", judged)

    async def break_canary(self) -> None:
        """The canary fails from now on, on a part of its inputs."""
        url = f"http://{HOST}:{self.v2}/v2/repository/models/{SERVICE}/load"
        async with self._session.post(url, json={"parameters": {"fault": "exception"}}) as response:
            response.raise_for_status()

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is true. Raises `Failed`."""
        deadline = time.monotonic() + WITHIN
        while not await condition():
            self._group.check(*self._ended)
            if time.monotonic() > deadline:
                raise Failed(f"not within {WITHIN:g} s: {what}")
            await asyncio.sleep(0.1)

    async def _answers(self, url: str) -> bool:
        try:
            async with self._session.get(url) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HALDANE_")}


async def check(machine: Machine, old: Release, new: Release) -> None:
    """The upgrade, the way back, and a rollback by the upgraded one. Raises `Failed`."""
    await machine.start(old)
    load = asyncio.create_task(machine.load.run(LONGEST))
    weights = asyncio.create_task(machine.watch_weights())
    try:
        await machine.haldane(old, "start", SERVICE, "--canary", "v2", "--reason", "upgrade check")
        await machine.until("the first step at Envoy", lambda: _is(machine.weights[-1:], [{"v1": 8000, "v2": 2000}]))
        await machine.reports_arrive(old)
        machine.weights[:-1] = []
        await asyncio.sleep(UNDISTURBED)
        before = await machine.rollout(old)
        backup = machine.store.with_name("before-upgrade.db")
        await machine.haldane(old, "backup", "--store", machine.settings["HALDANE_STORE"], str(backup))

        await _replace(machine, old, new)
        _same(before, await machine.rollout(new), new)
        await _go_back(machine, old, new, backup)
        _same(before, await machine.rollout(old), old)
        await _replace(machine, old, new)
        _same(before, await machine.rollout(new), new)
        _undisturbed(machine)

        await machine.break_canary()
        begun = time.monotonic()
        await machine.until("a rollback", lambda: _is(machine.weights[-1:], [{"v1": 10_000}]))
        print(f"the canary fails: rolled back after {time.monotonic() - begun:.1f} s")
    finally:
        for task in (load, weights):
            task.cancel()
        await asyncio.gather(load, weights, return_exceptions=True)


async def _replace(machine: Machine, old: Release, new: Release) -> None:
    await machine.stop()
    seconds = await machine.serve(new)
    await machine.reports_arrive(new)
    await asyncio.sleep(UNDISTURBED)
    print(f"{old.name} -> {new.name}: ready after {seconds:.1f} s")


async def _go_back(machine: Machine, old: Release, new: Release, backup: Path) -> None:
    """The former release on the upgraded state, or on the backup, if it refuses that."""
    try:
        await _replace(machine, new, old)
    except ChildDied as refused:
        print(f"{old.name} refuses the upgraded state: {str(refused).splitlines()[-1][:200]}")
        machine.forget()
        await machine.haldane(old, "restore", "--store", machine.settings["HALDANE_STORE"], str(backup))
        await machine.serve(old)
        await machine.haldane(old, "unfreeze", "--all", "--reason", "the way back")
        await machine.reports_arrive(old)
        await asyncio.sleep(UNDISTURBED)
        print(f"{new.name} -> {old.name}: by the backup")


def _same(before: Mapping[str, Any], after: Mapping[str, Any], release: Release) -> None:
    """The rollout is where it was."""
    for field in ("stable", "canary", "phase", "step", "weights", "started_at"):
        if before.get(field) != after.get(field):
            raise Failed(f"{release.name}: {field} was {before.get(field)} and is {after.get(field)}")


def _undisturbed(machine: Machine) -> None:
    """Not one request failed, and no weight moved."""
    results = list(machine.load.results)
    failed = [each for each in results if not each.ok]
    print(f"{len(results)} requests, {len(failed)} failed, {machine.load.unsent} not sent")
    if failed or machine.load.unsent:
        raise Failed(f"requests failed: {failed[:3]}")
    if len(machine.weights) != 1:
        raise Failed(f"weights moved: {machine.weights}")
    print(f"weights at Envoy, all the time: {machine.weights[0]}")


async def _is(value: object, expected: object) -> bool:
    return value == expected


async def run(reference: str) -> None:
    """Build both releases and check. Raises `Failed` and `ChildDied`."""
    with children() as group:
        old, new = former(reference, group.folder), current(group.folder)
        async with aiohttp.ClientSession() as session:
            await check(Machine(group, session), old, new)


def main() -> None:
    """Check, and say what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--from", dest="reference", default="", metavar="REF")
    reference = parser.parse_args().reference
    try:
        asyncio.run(run(reference or previous()))
    except (Failed, ChildDied) as failed:
        sys.exit(f"FAILED: {failed}")


if __name__ == "__main__":
    main()
