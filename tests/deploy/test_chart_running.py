"""What the chart makes, run without a cluster: its certificates, its settings, its probes, its gateway."""

import asyncio
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.deploy.programs import DEPLOY
from tests.deploy.secrets_server import SecretsServer
from tests.deploy.test_certificates_job import job
from tests.deploy.test_chart import one
from tests.support import preloaded
from tests.support.process import Process, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(180)]


def inside(text: str, folder: Path, ports: dict[int, int]) -> str:
    """Text of a manifest with this machine's paths and ports in place of the container's."""
    for path in ("/etc/haldane", "/var/lib/haldane", "/run/haldane"):
        text = text.replace(path, str(folder / path.rpartition("/")[0].replace("/", "-")))
    for port, other in ports.items():
        text = text.replace(f"0.0.0.0:{port}", f"127.0.0.1:{other}")
    return text


async def test_controller_and_gateway_come_up(processes: Children, tmp_path: Path) -> None:
    """With the job's certificates a gateway is in sync, and the kubelet and Prometheus get their answers by TLS."""
    monitoring = await asyncio.to_thread(_mount_secrets, tmp_path)
    ports = {port: free_port() for port in (18000, 18001, 18002, 9901)}
    container = one("gateway", "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    (tmp_path / "-var-lib").mkdir()
    (tmp_path / "-run").mkdir()
    settings = tmp_path / "-etc" / "settings" / "haldane.toml"
    settings.parent.mkdir()
    settings.write_text(inside(one("gateway", "ConfigMap")["data"]["haldane.toml"], tmp_path, ports))
    environment = {each["name"]: inside(each.get("value", "haldane-0"), tmp_path, ports) for each in container["env"]}
    controller = Process(processes, "controller", [sys.executable, "-m", "controller", *container["args"]], environment)
    controller.launch()

    trusting = ssl.create_default_context(cafile=str(tmp_path / "monitoring" / "ca.crt"))
    async with aiohttp.ClientSession(f"https://localhost:{ports[18002]}") as session:

        async def probed(name: str, **more: ssl.SSLContext) -> bool:
            controller.child.check()
            try:
                async with session.get(container[name]["httpGet"]["path"], **{"ssl": trusting, **more}) as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False

        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            await wait_until(lambda name=name: probed(name))
        async with session.get("/metrics", ssl=trusting) as response:
            assert response.status == 401
    async with (
        aiohttp.ClientSession(f"https://localhost:{ports[18002]}") as prometheus,
        prometheus.get("/metrics", ssl=monitoring) as response,
    ):
        assert response.status == 200

    (envoy,) = one("gateway", "Deployment")["spec"]["template"]["spec"]["containers"]
    words = [inside(word.replace("$(POD_NAME)", "gateway-1"), tmp_path, ports) for word in envoy["args"]]
    words[words.index("--xds") + 1] = f"127.0.0.1:{ports[18000]}"
    words[words.index("--tls") + 1] = str(tmp_path / "gateway")
    words = [*words[: words.index("--")], "--envoy-admin", f"127.0.0.1:{ports[9901]}", *words[words.index("--") :]]
    rendered = {"HALDANE_GATEWAY_DIR": str(tmp_path)}
    gateway = Process(processes, "gateway", [sys.executable, str(DEPLOY / "image" / "gateway.py"), *words], rendered)
    gateway.launch()

    async def connected() -> bool:
        gateway.child.check()
        listed = await asyncio.to_thread(preloaded.run, "proxies", env=environment)
        return "gateway-1" in listed.out and "edge" in listed.out

    await wait_until(connected, every=0.3)
    assert controller.stop() == 0


def _mount_secrets(folder: Path) -> ssl.SSLContext:
    """Run the job with the chart's arguments and mount what it makes. The TLS of Prometheus."""
    role = one("gateway", "Role", "certificates")
    server = SecretsServer(folder, set(role["rules"][1]["resourceNames"]))
    pod = one("gateway", "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    script, *arguments = pod["containers"][0]["args"]
    assert (DEPLOY / "image" / Path(script).name).exists()
    with server.serving():
        assert job.run(arguments, job.Secrets(server.url, server.account)) > []
    server.mount("haldane-controller-tls", folder / "-etc" / "tls")
    server.mount("haldane-gateway-tls", folder / "gateway")
    server.mount("haldane-monitoring-tls", folder / "monitoring")
    context = ssl.create_default_context(cafile=str(folder / "monitoring" / "ca.crt"))
    context.load_cert_chain(folder / "monitoring" / "tls.crt", folder / "monitoring" / "tls.key")
    return context
