"""The stack of deploy/compose: what a container engine runs, and the same without one."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.settings import read_settings
from tests.deploy.programs import DEPLOY, program

stack: Any = program("compose/stack.py")
VERSION = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
COMPOSE = yaml.safe_load(stack.COMPOSE.read_text())
SERVICES = COMPOSE["services"]


def test_every_mount_is_there() -> None:
    """Files and folders of the repository, and volumes that are declared."""
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            assert source in COMPOSE["volumes"] or (stack.COMPOSE.parent / source).exists(), mount


def test_ours_are_of_this_release_and_all_are_poor() -> None:
    """Images with this version; read-only roots, no capability, published on loopback alone."""
    for name, service in SERVICES.items():
        image, _, tag = service["image"].rpartition(":")
        assert image.removeprefix("docker.io/") in stack.IMAGES
        assert tag == VERSION or not image.startswith("haldane"), name
        assert service.get("read_only") or name == "grafana"
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also outside loopback: every port is secured."""
    monkeypatch.setenv("HALDANE_CONFIG", str(DEPLOY / "compose" / "haldane.toml"))
    settings = read_settings()
    assert settings.tls
    assert settings.xds_listen == "0.0.0.0:18000"


def test_services_come_after_those_that_they_need(tmp_path: Path) -> None:
    """The certificates first; what is not installed is left out."""
    order = stack.Stack(SERVICES, tmp_path).in_order()
    assert order[0] == "certificates"
    assert order.index("controller") < order.index("apply") < order.index("load") < order.index("rollout")
    assert ("grafana" in order) is bool(shutil.which("grafana-server"))


def test_paths_and_names_become_those_of_this_machine(tmp_path: Path) -> None:
    """In commands, variables and mounted files; names of files and of versions stay."""
    made = stack.Stack(SERVICES, tmp_path)
    envoy = made.command("envoy")
    assert envoy[envoy.index("--xds") + 1] == "127.0.0.1:18000"
    assert envoy[envoy.index("--tls") + 1] == f"{tmp_path}/envoy/certificates/fleet-edge"
    made.prepare("apply")
    file = yaml.safe_load((tmp_path / "apply/etc/haldane/fraud-scorer.yaml").read_text())
    assert file["versions"] == {"v1": {"endpoints": ["127.0.0.1:9001"]}, "v2": {"endpoints": ["127.0.0.1:9002"]}}
    assert file["listen"]["address"] == "127.0.0.1"
    assert made.environment("apply")["HALDANE_CA"] == f"{tmp_path}/apply/certificates/ca.crt"


def test_failures_before_it_was_up_are_no_failures() -> None:
    """Those of v1 and of Envoy itself are, from then on."""
    refused, ok = "connection refused  10.0/s     20 errors  p50", "v1   50.0/s     0 errors  p50"
    assert stack.failures(f"{refused}\n{ok}\n{ok}\n{ok}") == {}
    assert stack.failures(f"{ok}\n{ok}\nHTTP 503 without a version  1.0/s   2 errors\nv2   1.0/s  3 errors") == {
        "HTTP 503 without a version": 2,
        "v2": 3,
    }


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_stack_runs_here() -> None:
    """On a loopback interface of its own, until the canary is rolled back and Prometheus shows it."""
    if os.geteuid() != 0:
        pytest.skip("it takes root: a network of its own")
    script = f"ip link set lo up; exec {sys.executable} {DEPLOY / 'compose' / 'stack.py'} --check"
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
