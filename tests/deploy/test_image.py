"""The programs in the images, and what builds them. deploy/check/image.py builds and runs one."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.demo.harness.child_processes import Children
from tests.deploy.programs import DEPLOY, program
from tests.support.controller import ControllerProcess
from tests.support.http_server import http_server
from tests.support.process import Process

ROOT = DEPLOY.parent
gateway: Any = program("image/gateway.py")


async def ready(processes: Children, environment: dict[str, str]) -> tuple[int, str]:
    """The health check's exit code and output."""
    words = [sys.executable, str(DEPLOY / "image" / "ready.py")]
    check = Process(processes, "ready", words, environment)
    check.launch()
    code = check.child.process.wait(20)
    return code, check.output


async def test_healthy_is_when_the_controller_is_ready(processes: Children) -> None:
    """By its UNIX socket; unhealthy before and after."""
    controller = ControllerProcess(processes)
    assert (await ready(processes, controller.environment))[0] == 1
    await controller.start()
    code, output = await ready(processes, controller.environment)
    assert (code, '"ready"' in output) == (0, True)
    controller.stop()
    assert (await ready(processes, controller.environment))[0] == 1


@pytest.fixture
async def pages() -> AsyncIterator[list[str]]:
    """What is asked of an Envoy's admin page, which stands where `gateway.ADMIN` says."""
    asked: list[str] = []

    async def page(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path_qs}")
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{page:.*}", page)
    async with http_server(app) as url:
        gateway.ADMIN, former = url, gateway.ADMIN
        yield asked
        gateway.ADMIN = former


async def test_a_gateway_drains(pages: list[str]) -> None:
    """It fails its health checks, and lets its connections end."""
    assert await asyncio.to_thread(gateway.main, ["drain", "0"]) == 0
    assert pages == ["POST /healthcheck/fail", "POST /drain_listeners?graceful&skip_exit"]


def test_a_gateway_without_envoy_has_nothing_to_drain(capsys: pytest.CaptureFixture[str]) -> None:
    """The hook ends all the same; a time that is none is wrong usage."""
    gateway.ADMIN, former = "http://127.0.0.1:1", gateway.ADMIN
    assert gateway.main(["drain", "0"]) == 0
    gateway.ADMIN = former
    assert "refused" in capsys.readouterr().err
    assert gateway.main(["drain", "soon"]) == 2


def test_a_gateway_with_wrong_options_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is that of `haldane bootstrap`, and nothing is written."""
    monkeypatch.setenv("HALDANE_GATEWAY_DIR", str(tmp_path))
    assert gateway.main(["--fleet", "Not A Fleet"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_without_an_engine_it_is_said_what_is_needed(tmp_path: Path) -> None:
    """`make image` names the programs, and how to come by one."""
    for name in ("sh", "dirname", "sed", "git"):
        (tmp_path / name).symlink_to(Path("/usr/bin") / name if (Path("/usr/bin") / name).exists() else f"/bin/{name}")
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [str(DEPLOY / "image" / "build.sh")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"docker .*, podman or buildah", done.stderr)


def test_each_engine_gets_what_it_knows(tmp_path: Path) -> None:
    """Every target, with its name, version and revision; the base only if it is given."""
    for engine in ("docker", "podman", "buildah"):
        (tmp_path / engine).write_text('#!/bin/sh\necho "$0 $*" >> "$LOG"\n')
        (tmp_path / engine).chmod(0o755)
    log = tmp_path / "log"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log)}
    command = [str(DEPLOY / "image" / "build.sh"), "--", "--pull"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    asked, *builds = log.read_text().splitlines()
    assert asked.endswith("docker info")
    assert [re.search(r"--target (\S+) --tag (\S+):", line).groups() for line in builds] == [  # type: ignore[union-attr]
        ("controller", "haldane"),
        ("envoy", "haldane-envoy"),
        ("demo", "haldane-demo"),
    ]
    assert all(line.endswith("--pull .") and "revision=" in line and "BASE" not in line for line in builds)
    log.unlink()
    more = {"ENGINE": "buildah", "TARGETS": "controller", "BASE": "mine", "IMAGE": "registry/x", "TAG": "t"}
    subprocess.run(command, env={**environment, **more}, capture_output=True, check=True)
    (line,) = log.read_text().splitlines()
    assert "--tag registry/x:t --build-arg BASE=mine" in line


def test_a_build_sees_what_it_copies_and_no_more() -> None:
    """Each path that the Containerfile copies is let through, and each that is let through exists."""
    text = (DEPLOY / "image" / "Containerfile").read_text()
    copied = {path for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for path in line.split()}
    ignore = (DEPLOY / "image" / "Containerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
    assert "*" in ignore
    assert all((ROOT / path).exists() for path in copied)
