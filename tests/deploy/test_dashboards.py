"""The dashboards: whole by Grafana's schema, and each panel shows something of a real run."""

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.notify.receivers import Receiver, receiving
from tests.support.load import steady
from tests.support.mutual_tls import FLEET, SecuredControllerProcess, haldane
from tests.support.process import Process, free_port
from tests.support.system import SERVICE, running_system
from tests.support.waiting import answers, wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana"
NAMES = ("fleet", "rollout", "controllers")
METRICS = set(re.findall(r"^\| `(haldane_\w+)", (ROOT / "docs" / "metrics.md").read_text(), re.M))
POLICY = """\
  steps: [20%, 50%]
  dwell: 1s
  warmup: 1s
  bake: 1s
  hooks: [gate]
"""
PROMETHEUS = """\
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: haldane
    honor_labels: true
    scheme: https
    tls_config: {{ca_file: {certs}/ca.crt, cert_file: {me}/tls.crt, key_file: {me}/tls.key}}
    static_configs: [{{targets: ["{http}"]}}]
"""


def read(name: str) -> dict[str, Any]:
    """A dashboard as it stands in the folder."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what it is for, expression) of each query, its variables set."""
    found = [(f"{p['title']} {t['legendFormat']}", t["expr"]) for p in dashboard["panels"] for t in p["targets"]]
    found += [(each["name"], each["expr"]) for each in dashboard["annotations"]["list"]]
    for title, expression in found:
        yield title, expression.replace("$service", SERVICE).replace("$__rate_interval", "2s")


def test_the_files_are_what_the_generator_writes() -> None:
    """So that they are changed there."""
    subprocess.run([sys.executable, FOLDER / "generate.py", "--check"], check=True, timeout=30)


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_one_by_the_schema_of_grafana(name: str) -> None:
    """Grafana's own library reads it, and loses nothing of its panels and variables."""
    register_default_plugins()
    dashboard = read(name)
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    for part in ("uid", "title", "panels", "templating", "links", "schemaVersion"):
        assert lost(dashboard[part], understood[part]) == []


def lost(written: Any, understood: Any, where: str = "") -> list[str]:
    """What of a JSON value is not in the other one."""
    if isinstance(written, dict):
        return [each for key, value in written.items() for each in lost(value, understood.get(key), f"{where}.{key}")]
    if isinstance(written, list) and len(written) == len(understood or ()):
        return [each for i, value in enumerate(written) for each in lost(value, understood[i], f"{where}[{i}]")]
    return [] if written == understood else [where]


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_a_place_of_their_own_and_ask_for_metrics_that_exist(name: str) -> None:
    """Through the data source that is chosen at the top."""
    dashboard = read(name)
    cells = [
        (x, y)
        for place in (each["gridPos"] for each in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    asked = {metric for _, query in expressions(dashboard) for metric in re.findall(r"haldane_\w+", query)}
    assert {re.sub(r"_(bucket|count)$", "", metric) if metric not in METRICS else metric for metric in asked} <= METRICS
    assert {source["uid"] for each in dashboard["panels"] for source in [each["datasource"]]} == {"${datasource}"}


@pytest.mark.envoy
@pytest.mark.requires("prometheus")
async def test_every_panel_shows_something_of_a_real_run(processes: Children) -> None:
    """A Prometheus scrapes a controller with TLS, whose canary streams, then fails under a freeze, and is rolled back
    after it. The alert on that fires meanwhile."""
    async with receiving() as target, receiving() as gate:
        controller = controller_with(processes, target, gate)
        prometheus, url = prometheus_of(processes, controller)

        def secured(plain: str) -> str:
            page = yaml.safe_load(plain)["admin"]["address"]["socket_address"]
            where = ("--xds", controller.xds, "--envoy-admin", f"{page['address']}:{page['port_value']}")
            sds = str(processes.folder / "sds")
            tls = ("--tls", str(controller.certs / f"fleet-{FLEET}"), "--sds", sds, "--write-sds", sds)
            return haldane("bootstrap", "--fleet", FLEET, *where, *tls)

        began = time.time()
        prometheus.launch()
        async with (
            running_system(
                processes, policy=POLICY, controller=controller, change=secured, more="streaming: true\n"
            ) as system,
            steady(system.entry, 100),
            aiohttp.ClientSession(url) as session,
        ):
            await wait_until(lambda: answers(f"{url}/-/ready"))
            await wait_until(lambda: shows(session, "haldane_proxies", began))
            await system.start()
            await system.reach("PROGRESSING")
            await system.stubs.killswitch.Freeze(admin.FreezeRequest(all=True, reason="test"))
            system.models["v2"].behaviour.errors = 1.0
            firing = 'ALERTS{alertname="HaldaneRollbackSuppressed",alertstate="firing"}'
            await wait_until(lambda: shows(session, firing, began))
            await system.stubs.killswitch.Unfreeze(admin.UnfreezeRequest(all=True, reason="test"))
            await system.reach("ROLLED_BACK")
            empty = {query: title for name in NAMES for title, query in expressions(read(name))}
            deadline = time.monotonic() + 10.0
            while empty and time.monotonic() < deadline:
                empty = {query: title for query, title in empty.items() if not await shows(session, query, began)}
            assert empty == {}


def controller_with(processes: Children, target: Receiver, gate: Receiver) -> SecuredControllerProcess:
    """A controller with TLS, a notification target and a hook."""
    controller = SecuredControllerProcess(processes)
    config = Path(controller.environment["HALDANE_CONFIG"])
    hook = f'[hooks.gate]\nurl = "{gate.url}"\ntypes = ["confirm-rollout"]\n'
    config.write_text(f'{config.read_text()}[notify.audit]\nurl = "{target.url}"\n{hook}')
    return controller


def prometheus_of(processes: Children, controller: SecuredControllerProcess) -> tuple[Process, str]:
    """A Prometheus with the alerts that scrapes the controller, not yet started, and its address."""
    certs, port = controller.certs, free_port()
    config = processes.folder / "prometheus.yml"
    rules = ROOT / "deploy" / "prometheus" / "alerts.yaml"
    config.write_text(PROMETHEUS.format(rules=rules, certs=certs, me=certs / "operator-alice", http=controller.http))
    listen = f"--web.listen-address=127.0.0.1:{port}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={processes.folder / 'data'}", listen]
    return Process(processes, "prometheus", command), f"http://127.0.0.1:{port}"


async def shows(session: aiohttp.ClientSession, query: str, since: float) -> bool:
    """Whether a graph of it since then has a point."""
    asked = {"query": query, "start": since, "end": time.time(), "step": 0.5}
    async with session.post("/api/v1/query_range", data=asked) as response:
        told = await response.json()
    assert told["status"] == "success", told
    values = [float(value) for series in told["data"]["result"] for _, value in series["values"]]
    return any(math.isfinite(value) for value in values)
