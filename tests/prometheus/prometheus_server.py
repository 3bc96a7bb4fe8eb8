"""A real Prometheus, the model servers' exporter that it scrapes, and servers that answer in its place."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from controller.demo.harness.child_processes import Children
from tests.support.http_server import http_server
from tests.support.process import Process, free_port

NEEDED = pytest.mark.requires("prometheus")
CONFIG = """\
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
  - job_name: models
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
SETTINGS = """\
prometheus = "{address}"
prometheus_interval = "1s"

[metrics.accuracy]
kind = "rate"
events = 'sum(wrong_total{{service="{{service}}",version="{{version}}"}})'
total = 'sum(labelled_total{{service="{{service}}",version="{{version}}"}})'
"""
"""A controller's settings: one metric, read every second."""
BOTH = ("v1", "v2")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Exporter:
    """What two versions of a model tell Prometheus. `each`: what a version gains at each scrape, (wrong, labelled)."""

    service: str = "scorer"
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BOTH, 0))
    labelled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BOTH, 0))
    queue: dict[str, float] = field(default_factory=lambda: {"v1": 4.0, "v2": 6.0})
    each: dict[str, tuple[int, int]] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The text format."""
        for version, (wrong, labelled) in self.each.items():
            self.wrong[version] += wrong
            self.labelled[version] += labelled
        families = {"wrong_total": self.wrong, "labelled_total": self.labelled, "queue_depth": self.queue}
        lines = [
            f'{name}{{service="{self.service}",version="{version}"}} {value}'
            for name, values in families.items()
            for version, value in values.items()
        ]
        return web.Response(text="\n".join(lines) + "\n")


def prometheus(processes: Children, directory: Path, target: str) -> tuple[Process, str]:
    """A Prometheus that scrapes an exporter every two seconds, not yet started, and its address."""
    config, port = directory / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(port=target.rpartition(":")[2]))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    return Process(processes, "prometheus", command), f"http://127.0.0.1:{port}"


def vector(*values: object, at: float | None = None) -> web.Response:
    """An answer of Prometheus: a series for each value."""
    result = [{"metric": {}, "value": [time.time() if at is None else at, value]} for value in values]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """A server that answers every path so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with http_server(app, free_port()) as url:
        yield url
