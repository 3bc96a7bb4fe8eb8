"""The demo's environment: model servers, `haldane serve` and Envoy as child processes, and their
service file."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from controller.demo.digit_models import HALF, ModelFault
from controller.demo.haldane_command import run_haldane
from controller.demo.harness.child_processes import Child, Children
from controller.demo.harness.envoy_binary import envoy_binary
from controller.demo.harness.free_ports import free_ports

SERVICE = "digits"
FLEET = "demo"
HOST = "127.0.0.1"
READY_WITHIN = 30.0
"""Seconds until each process must be ready: on a cold disk scikit-learn alone takes several to
load."""


class NotReady(Exception):  # noqa: N818
    """A process did not become ready, or a command of the demo failed.

    The message says which and how.
    """


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of the model: how many images it is trained on, and the fault in its code at the
    start."""

    version: str
    samples: int = HALF
    fault: ModelFault = ModelFault.NONE


MODEL_VERSIONS = (
    ModelVersion("v1", samples=300),
    ModelVersion("v2"),
    ModelVersion("v3", fault=ModelFault.EXCEPTION),
)
"""v2 is trained on more images than v1 and is better; v3 fails on a part of them until it loads
another build."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports on which the processes listen."""

    xds: int
    admin: int
    http: int
    envoy_admin: int
    entry: int
    """Where Envoy accepts the clients' requests."""
    models: dict[str, int]

    @classmethod
    def free(cls) -> "Ports":
        """Ports on which nothing listens now."""
        xds, admin, http, envoy_admin, entry, *models = free_ports(5 + len(MODEL_VERSIONS))
        return cls(
            xds, admin, http, envoy_admin, entry, {a.version: p for a, p in zip(MODEL_VERSIONS, models, strict=True)}
        )

    @property
    def entry_url(self) -> str:
        """Where clients send their requests."""
        return f"http://{HOST}:{self.entry}/v2/models/{SERVICE}/infer"

    def service_file(self) -> str:
        """The service file as an operator would write it. What it does not name has its default."""
        versions = "\n".join(f'  {v}: {{endpoints: ["{HOST}:{port}"]}}' for v, port in self.models.items())
        return SERVICE_FILE.format(service=SERVICE, fleet=FLEET, host=HOST, port=self.entry, versions=versions)

    def settings(self, folder: Path) -> dict[str, str]:
        """The settings of `haldane`, for the controller and for every command."""
        return {
            "HALDANE_XDS_LISTEN": f"{HOST}:{self.xds}",
            "HALDANE_ADMIN_LISTEN": f"{HOST}:{self.admin}",
            "HALDANE_HTTP_LISTEN": f"{HOST}:{self.http}",
            "HALDANE_ADMIN": f"{HOST}:{self.admin}",
            "HALDANE_STORE": f"sqlite:{folder / 'haldane.db'}",
        }


SERVICE_FILE = """\
service: {service}
fleets: [{fleet}]
listen: {{address: {host}, port: {port}}}
timeout: 2s
versions:
{versions}
stable: v1
policy:
  steps: [20%, 50%]
  dwell: 3s
  warmup: 2s
  bake: 4s
  latency: {{tolerance: 100%}}   # servers, load and controller share a few cores: only a gross slow-down counts
"""

LOOKUP = 100
"""Milliseconds that a model waits for its features. The jitter of a busy machine is small against
them."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A model server handles one small request at a time; more threads would only compete for the
cores."""


@dataclass(slots=True)
class Environment:
    """The processes, and where they listen."""

    children: Children
    ports: Ports
    http: aiohttp.ClientSession

    @property
    def settings(self) -> dict[str, str]:
        """The settings of every `haldane` command."""
        return self.ports.settings(self.children.folder)

    async def command(self, *words: str) -> str:
        """Run a `haldane` command that must succeed: what it printed.

        Raises `NotReady` or `ChildDied`.
        """
        result = await run_haldane(self.settings, *words)
        if result.code:
            self.children.check()
            raise NotReady(f"`haldane {' '.join(words)}` ended with exit code {result.code}: {result.err}")
        return result.out

    async def load_build(self, version: str, fault: ModelFault) -> None:
        """Let a model server load a new build of its model, by the protocol's model repository
        extension."""
        await load_build(self.http, self.ports.models[version], fault)

    async def set_up(self, show: Callable[[str], None]) -> None:
        """Start all processes and wait until a request passes through Envoy.

        Raises `NotReady` or `ChildDied`.
        """
        show("starting three model servers (scikit-learn) and `haldane serve`")
        for model in MODEL_VERSIONS:
            start_model(self.children, model, self.ports.models[model.version])
        self.children.start("controller", [sys.executable, "-m", "controller", "serve"], self.settings)
        await self._wait_until_ok("the controller", f"http://{HOST}:{self.ports.http}/readyz")
        bootstrap = await self.command(
            *("bootstrap", "--fleet", FLEET, "--node", "demo-envoy"),
            *("--xds", f"{HOST}:{self.ports.xds}", "--envoy-admin", f"{HOST}:{self.ports.envoy_admin}"),
        )
        file = self.children.folder / "service.yaml"
        file.write_text(self.ports.service_file())
        show("haldane apply -f service.yaml")
        await self.command("apply", "-f", str(file), "--reason", "the demo begins")
        show("starting Envoy from `haldane bootstrap`")
        start_envoy(self.children, "envoy", bootstrap)
        for version, port in self.ports.models.items():
            await self._wait_until_ok(f"the model server of {version}", f"http://{HOST}:{port}/v2/health/ready")
        await self._wait_until_ok("Envoy", f"http://{HOST}:{self.ports.entry}/v2/models/{SERVICE}/ready")

    async def _wait_until_ok(self, what: str, url: str) -> None:
        await wait_until_ok(self.http, what, url, self.children.check)


def start_model(children: Children, model: ModelVersion, port: int) -> None:
    """Start the model server of a version."""
    words = ["--port", str(port), "--name", SERVICE, "--version", model.version]
    words += ["--samples", str(model.samples), "--fault", model.fault.value, "--lookup", str(LOOKUP)]
    children.start(f"model-{model.version}", [sys.executable, "-m", "controller.demo.model_server", *words], ONE_THREAD)


def start_envoy(children: Children, name: str, bootstrap: str) -> Child:
    """Start an Envoy with that bootstrap. Raises `EnvoyMissing`."""
    config = children.folder / f"{name}.yaml"
    config.write_text(bootstrap)
    words = ["-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return children.start(name, [str(envoy_binary()), *words])


async def load_build(http: aiohttp.ClientSession, port: int, fault: ModelFault) -> None:
    """Let the model server at that port load a new build of its model."""
    url = f"http://{HOST}:{port}/v2/repository/models/{SERVICE}/load"
    async with http.post(url, json={"parameters": {"fault": fault.value}}) as response:
        response.raise_for_status()


async def wait_until_ok(http: aiohttp.ClientSession, what: str, url: str, check: Callable[[], None]) -> None:
    """Wait until a GET of that URL is answered with 200. Raises `NotReady`, or what `check` does meanwhile."""
    deadline = time.monotonic() + READY_WITHIN
    while not await is_ok(http, url):
        check()
        if time.monotonic() > deadline:
            raise NotReady(f"{what} is not ready at {url} after {READY_WITHIN:g} s")
        await asyncio.sleep(0.05)


async def is_ok(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether a GET of that URL is answered with 200."""
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
