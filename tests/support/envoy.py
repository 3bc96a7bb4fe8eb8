"""A real Envoy."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import yaml

from controller.demo.harness.child_processes import Children
from controller.demo.harness.envoy_binary import envoy_binary
from tests.support.process import Process
from tests.support.waiting import answers, wait_until


class EnvoyProcess(Process):
    """An Envoy with this bootstrap, one worker, and its admin page where the bootstrap says."""

    def __init__(self, group: Children, bootstrap: str, name: str = "envoy", *, prefix: Sequence[str] = ()) -> None:
        """`prefix` is a command that runs it."""
        config = group.folder / f"{name}.yaml"
        config.write_text(bootstrap)
        words = ["-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        super().__init__(group, name, [*prefix, str(envoy_binary()), *words])
        page = yaml.safe_load(bootstrap)["admin"]["address"]["socket_address"]
        self.host: str = page["address"]
        self.admin: int = page["port_value"]

    async def start(self, within: float = 15.0) -> None:
        """Start it and wait until it says that it is ready: with the controller away that takes four seconds."""
        self.launch()
        await wait_until(self._ready, within)

    async def counters(self, prefix: str) -> dict[str, int]:
        """The counters and gauges whose names begin so, from the admin page."""
        lines = (line.rpartition(": ") for line in (await self.page("stats")).splitlines())
        return {name: int(value) for name, _, value in lines if name.startswith(prefix) and value.isdigit()}

    async def page(self, name: str) -> str:
        """A page of Envoy's own, such as `stats`."""
        url = f"http://{self.host}:{self.admin}/{name}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()

    async def _ready(self) -> bool:
        self.child.check()
        return await answers(f"http://{self.host}:{self.admin}/ready")


def validate(bootstrap: str, folder: Path) -> tuple[int, str]:
    """What Envoy itself says of a bootstrap: exit code and output of its validation."""
    config = folder / "validated.yaml"
    config.write_text(bootstrap)
    words = [str(envoy_binary()), "--mode", "validate", "-c", str(config)]
    said = subprocess.run(words, check=False, capture_output=True, text=True)
    return said.returncode, said.stdout + said.stderr
