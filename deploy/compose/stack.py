"""Run compose.yaml without a container engine, by the programs of this machine: `make stack`.

Each service is a process. Names of services become 127.0.0.1, volumes folders that go with the stack, and mounted files
copies with the paths of this machine. Prometheus and Grafana run if they are installed. Ctrl-C ends everything.

`stack.py --check` ends by itself: with 0 once the canary is rolled back, no request failed but by the canary,
Prometheus has scraped it, its alerts are loaded, and each query of the dashboards is one that it understands.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.demo.harness.child_processes import Child, ChildDied, Children, children

ROOT = Path(__file__).parents[2]
COMPOSE = Path(__file__).with_name("compose.yaml")
IMAGES = {
    "haldane": [sys.executable, "-m", "controller"],
    "haldane-demo": [sys.executable, "-m"],
    "haldane-envoy": [sys.executable, str(ROOT / "deploy" / "image" / "gateway.py")],
    "prom/prometheus": ["prometheus"],
    "grafana/grafana": ["grafana-server", "--homepath=/usr/share/grafana"],
}
"""What an image is on this machine."""
GRAFANA = "/etc/grafana/provisioning"
TMP = "/tmp"  # noqa: S108  (the container's)
ANY = "0.0.0.0"  # noqa: S104  (replaced)
PYTHON = "/opt/haldane/bin/python"
WITHIN = 120.0
"""Seconds for a thing to come true."""
QUERY = "http://127.0.0.1:9090/api/v1"

Service = Mapping[str, Any]


class Failed(Exception):  # noqa: N818
    """The stack does not do what it should, and why."""


@dataclass(frozen=True)
class Stack:
    """The services of a compose file and where their files are."""

    services: Mapping[str, Service]
    folder: Path

    def image(self, name: str) -> list[str]:
        """The program of a service."""
        return IMAGES[self.services[name]["image"].rpartition(":")[0].removeprefix("docker.io/")]

    def is_here(self, name: str) -> bool:
        """Whether its program is installed."""
        return shutil.which(self.image(name)[0]) is not None

    def in_order(self) -> list[str]:
        """The services that can run here, each after those that it depends on."""
        order: list[str] = []

        def add(name: str) -> None:
            if name not in order and self.is_here(name):
                for other in self.services[name].get("depends_on", ()):
                    add(other)
                order.append(name)

        for name in self.services:
            add(name)
        return order

    def prepare(self, name: str) -> None:
        """Make the files that a service mounts, with what this machine has in place of the container's."""
        for source, target, is_volume in self._mounts(name):
            path = self._path(name, target)
            path.parent.mkdir(parents=True, exist_ok=True)
            if is_volume:
                source.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.symlink_to(source)
            elif source.is_dir():
                shutil.copytree(source, path, ignore=shutil.ignore_patterns("*.py"))
            else:
                path.write_text(self.translate(name, source.read_text()))
        for each in self._tmpfs(name):
            self._path(name, each).mkdir(parents=True, exist_ok=True)

    def command(self, name: str) -> list[str]:
        """What runs it."""
        service = self.services[name]
        program = self.image(name)
        if "entrypoint" in service:
            program = [sys.executable if word == PYTHON else word for word in service["entrypoint"]]
        return [self.translate(name, word) for word in [*program, *service.get("command", ())]]

    def environment(self, name: str) -> dict[str, str]:
        """Its variables, with those that its image sets."""
        values = {key: self.translate(name, value) for key, value in self.services[name].get("environment", {}).items()}
        state = {
            "XDG_STATE_HOME": str(self._path(name, "/var/lib")),
            "HALDANE_GATEWAY_DIR": str(self._path(name, TMP)),
        }
        grafana = {
            "GF_PATHS_PROVISIONING": str(self._path(name, GRAFANA)),
            "GF_PATHS_DATA": str(self._path(name, "/data")),
            "GF_PATHS_LOGS": str(self._path(name, "/logs")),
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        }
        return {"PYTHONPATH": str(ROOT), **state, **(grafana if name == "grafana" else {}), **values}

    def translate(self, name: str, text: str) -> str:
        """Text with the paths and addresses of this machine."""
        targets = sorted([*(target for _, target, _ in self._mounts(name)), *self._tmpfs(name)], key=len, reverse=True)
        if targets:
            pattern = rf"(?<![\w/])({'|'.join(map(re.escape, targets))})(?![\w.-])"
            text = re.sub(pattern, lambda match: str(self._path(name, match[0])), text)
        names = "|".join(self.services)
        text = re.sub(rf"(?<![\w.-])({names})(?=:\d)", "127.0.0.1", text)
        return text.replace(ANY, "127.0.0.1")

    def _mounts(self, name: str) -> Iterator[tuple[Path, str, bool]]:
        """Where each mount comes from, its path in the container, and whether it is a volume."""
        for mount in self.services[name].get("volumes", ()):
            source, target = mount.split(":")[:2]
            if source.startswith("."):
                yield (COMPOSE.parent / source).resolve(), target, False
            else:
                yield self.folder / "volumes" / source, target, True

    def _tmpfs(self, name: str) -> list[str]:
        return [each.partition(":")[0] for each in self.services[name].get("tmpfs", ())]

    def _path(self, name: str, target: str) -> Path:
        return self.folder / name / target.lstrip("/")


def start(stack: Stack, group: Children) -> dict[str, Child]:
    """Start every service once those are there that it waits for. Raises `ChildDied` and `Failed`."""
    running: dict[str, Child] = {}
    for name in stack.in_order():
        stack.prepare(name)
        for other, how in stack.services[name].get("depends_on", {}).items():
            if other in running:
                wait_for(stack, running, other, how["condition"])
        running[name] = group.start(name, stack.command(name), stack.environment(name))
    return running


def wait_for(stack: Stack, running: Mapping[str, Child], name: str, condition: str) -> None:
    """Wait until a service is as another one needs it."""
    child = running[name]
    deadline = time.monotonic() + WITHIN
    while not _is(stack, child, name, condition):
        if condition != "service_completed_successfully":
            child.check()
        if time.monotonic() > deadline:
            raise Failed(f"{name} is not {condition} within {WITHIN:g} s:\n{child.tail()}")
        time.sleep(0.1)


def _is(stack: Stack, child: Child, name: str, condition: str) -> bool:
    if condition == "service_completed_successfully":
        code = child.process.poll()
        if code:
            raise Failed(f"{name} ended with {code}:\n{child.tail()}")
        return code == 0
    if condition == "service_healthy":
        check = [sys.executable, str(ROOT / "deploy" / "image" / "ready.py")]
        environment = {**os.environ, **stack.environment(name)}
        return subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0
    return True


def one_shots(stack: Stack) -> set[str]:
    """The services that end by themselves."""
    waited = {
        other
        for service in stack.services.values()
        for other, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    return waited | {"rollout"}


def get(url: str) -> Any:
    """The JSON document at that URL; None if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  (loopback)
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.loads(error.read() or b"null")
    except OSError:
        return None


def check(stack: Stack, running: Mapping[str, Child]) -> None:
    """Wait for what the stack is to show. Raises `Failed` and `ChildDied`."""
    wait_for(stack, running, "rollout", "service_completed_successfully")
    _until("a rollback", lambda: _haldane(stack, "get", "fraud-scorer")["phase"] == "ROLLED_BACK", running, stack)
    print("the canary is rolled back")
    failed = failures(running["load"].log.read_text())
    print("requests that failed, by version:", failed)
    if set(failed) - {"v2"} or not failed.get("v2"):
        raise Failed(f"requests failed otherwise than by the canary: {failed}")
    if "prometheus" not in running:
        print("Prometheus is not installed: not checked")
        return
    weight = 'haldane_weight{service="fraud-scorer",version="v1"}'
    _until("v1's weight in Prometheus", lambda: _value(weight) == "10000", running, stack)
    rules = get(f"{QUERY}/rules?type=alert")["data"]["groups"]
    wrong = [rule for group in rules for rule in group["rules"] if rule["health"] == "err"]
    if wrong or not rules:
        raise Failed(f"alerts: {wrong or 'there is none'}")
    queries = list(dashboard_queries())
    for query in queries:
        answer = ask(query)
        if not answer or answer["status"] != "success":
            raise Failed(f"Prometheus does not understand a dashboard's query: {query}: {answer}")
    print(f"Prometheus: {sum(len(group['rules']) for group in rules)} alerts, {len(queries)} queries of the dashboards")


def failures(log: str) -> dict[str, int]:
    """What the load says: failed requests by who answered, from the second report with answers of v1 on, since before
    that Envoy and the models came up."""
    lines = re.findall(r"^(\S.*?) +[\d.]+/s +(\d+) errors", log, re.MULTILINE)
    by_v1 = [index for index, (source, _) in enumerate(lines) if source == "v1"]
    failed: dict[str, int] = {}
    for source, errors in lines[by_v1[1] if by_v1[1:] else len(lines) :]:
        if int(errors):
            failed[source] = failed.get(source, 0) + int(errors)
    return failed


def dashboard_queries() -> Iterator[str]:
    """Each query of the dashboards, with a value for each variable."""
    for file in sorted((ROOT / "deploy" / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield re.sub(r"\$\{?__?\w+\}?(:\w+\})?|\$\w+", _variable, target["expr"])


def _variable(match: re.Match[str]) -> str:
    return "1m" if "interval" in match[0] or "range" in match[0] else "fraud-scorer"


def ask(query: str) -> Any:
    """What Prometheus answers to it; None if it does not."""
    return get(f"{QUERY}/query?query={urllib.parse.quote(query)}")


def _value(query: str) -> str:
    results = (ask(query) or {}).get("data", {}).get("result", [])
    return str(results[0]["value"][1]) if results else ""


def _until(
    what: str, condition: Callable[[], bool], running: Mapping[str, Child], stack: Stack, within: float = WITHIN
) -> None:
    deadline = time.monotonic() + within
    while not condition():
        for name, child in running.items():
            if name not in one_shots(stack):
                child.check()
        if time.monotonic() > deadline:
            raise Failed(f"not within {within:g} s: {what}")
        time.sleep(0.3)


def _haldane(stack: Stack, *words: str) -> Any:
    """The JSON document of a command, by the certificate of `admin`."""
    environment = {**os.environ, **stack.environment("apply")}
    command = [*IMAGES["haldane"], *words, "--output", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"haldane {' '.join(words)}: {done.stderr}")
    return json.loads(done.stdout)


def run(words: Sequence[str]) -> None:
    """The program. Raises `Failed` and `ChildDied`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="check it and end")
    checks = parser.parse_args(words).check
    with children() as group:
        stack = Stack(yaml.safe_load(COMPOSE.read_text())["services"], group.folder)
        if missing := [name for name in stack.services if not stack.is_here(name)]:
            print(f"not installed, so left out: {', '.join(missing)}")
        running = start(stack, group)
        if checks:
            check(stack, running)
            return
        print("Envoy http://127.0.0.1:10000, console https://127.0.0.1:18002 (with the certificate of `admin`)")
        if "prometheus" in running:
            print("Prometheus http://127.0.0.1:9090")
        if "grafana" in running:
            print("Grafana http://127.0.0.1:3000")
        for name, value in stack.environment("apply").items():
            if name.startswith("HALDANE_") and name != "HALDANE_GATEWAY_DIR":
                print(f"export {name}={value}")
        print("then: haldane watch fraud-scorer. Ctrl-C ends everything.")
        _until("the end", lambda: False, running, stack, within=float("inf"))


def main() -> None:
    """Run the stack."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            run(sys.argv[1:])
        except (Failed, ChildDied) as failed:
            sys.exit(f"FAILED: {failed}")


if __name__ == "__main__":
    main()
