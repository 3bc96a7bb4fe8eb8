"""A rollout over mutual TLS, with what `haldane certs` and `haldane bootstrap` make, through a rotation of both sides'
certificates.
"""

import os
import shutil
import ssl
from pathlib import Path

import grpc
import pytest
import yaml
from cryptography import x509
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from controller.bootstrap import render
from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.builders import service_file
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.envoy import EnvoyProcess
from tests.support.load import by_version, steady
from tests.support.mutual_tls import FLEET, MountedSecret, SecuredControllerProcess, haldane
from tests.support.process import free_port
from tests.support.system import QUICK, SERVICE, running_system
from tests.support.waiting import wait_until
from tests.xds.test_proxyless import calling, model

CONNECTIONS = "cluster.haldane.upstream_cx_total"

POLICY = f"{QUICK}  latency: {{tolerance: 100%}}\n"
"""What a busy machine does to latency is no harm."""

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(300)]


@pytest.mark.proves("fault 30")
async def test_a_rotation_of_the_ca_and_both_certificates_fails_no_request(processes: Children) -> None:
    """Under load, as it is done: both sides trust the new CA beside the old one, then have its certificates, then trust
    it alone. Nothing restarts, whoever has a certificate of the old CA is out, and a rollout goes through.
    """
    controller = SecuredControllerProcess(processes, {"HALDANE_MAX_CONNECTION_AGE": "10s"})
    secret, proxy = MountedSecret(processes.folder / "secret"), f"fleet-{FLEET}"
    secret.put(controller.certs / proxy)
    others = processes.folder / "other-certs"
    haldane("certs", str(others), "--fleet", FLEET, "--operator", "alice")
    both = processes.folder / "both.crt"
    both.write_bytes((controller.certs / "ca.crt").read_bytes() + (others / "ca.crt").read_bytes())

    def bootstrap(plain: str) -> str:
        page = yaml.safe_load(plain)["admin"]["address"]["socket_address"]
        where = ("--xds", controller.xds, "--envoy-admin", f"{page['address']}:{page['port_value']}")
        sds = str(processes.folder / "sds")
        folders = ("--tls", str(secret.folder), "--sds", sds, "--write-sds", sds)
        return haldane("bootstrap", "--fleet", FLEET, *where, *folders)

    async with (
        running_system(processes, policy=POLICY, controller=controller, change=bootstrap) as system,
        steady(system.entry, 100) as load,
    ):
        await wait_until(lambda: len(load.results) > 50)

        async def envoy_has(*certificates: Path) -> bool:
            page = await system.envoy.page("certs")
            return all(f"{serial(each):x}" in page for each in certificates)

        async def trust(ca: Path) -> None:
            """Both sides trust these CAs from their next connection on."""
            replace(controller.certs / "ca.crt", ca)
            secret.change({"ca.crt": ca})

        pids = controller.child.pid, system.envoy.child.pid
        assert await envoy_has(controller.certs / proxy / "tls.crt")
        former = others / "former"
        shutil.copytree(controller.certs, former)
        await trust(both)
        await wait_until(lambda: envoy_has(others / "ca.crt"))
        for name in ("tls.key", "tls.crt"):  # file by file, as an issuer without Kubernetes does
            replace(controller.certs / "controller" / name, others / "controller" / name)
        secret.change({name: others / proxy / name for name in ("tls.key", "tls.crt")})
        await wait_until(lambda: envoy_has(others / proxy / "tls.crt"))
        await trust(others / "ca.crt")

        async def envoy_trusts_the_new_one_alone() -> bool:
            return f"{serial(former / 'ca.crt'):x}" not in await system.envoy.page("certs")

        await wait_until(envoy_trusts_the_new_one_alone)
        connections = (await system.envoy.counters(CONNECTIONS))[CONNECTIONS]

        async def reconnected() -> bool:
            return (await system.envoy.counters(CONNECTIONS))[CONNECTIONS] > connections

        await wait_until(reconnected, 60.0)
        await wait_until(system.in_sync)
        assert presented(controller) == (others / "controller" / "tls.crt").read_text()
        for folder, gets_in in ((others, True), (former, False)):
            # Certificates of one CA or the other; it is the new one that both clients trust.
            found = await connects(controller.xds, others / "ca.crt", folder / proxy)
            operator = await connects(
                controller.environment["HALDANE_ADMIN_LISTEN"], others / "ca.crt", folder / "operator-alice"
            )
            assert (found, operator) == (gets_in, gets_in), folder
        await system.start()
        await system.reach("PROMOTED")
        assert (controller.child.pid, system.envoy.child.pid) == pids
        assert [result for result in load.results if not result.ok] == []
        assert by_version(load.results)["v2"] > 0


def replace(path: Path, by: Path) -> None:
    """Replace a file at once."""
    path.with_suffix(".new").write_bytes(by.read_bytes())
    os.replace(path.with_suffix(".new"), path)


async def connects(address: str, ca: Path, folder: Path) -> bool:
    """Whether a client with the certificate in a folder gets an answer."""
    content = [file.read_bytes() for file in (ca, folder / "tls.key", folder / "tls.crt")]
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(*content)) as channel:
        try:
            await HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


async def test_a_proxyless_client_over_mutual_tls(processes: Children) -> None:
    """With the bootstrap that `haldane bootstrap --grpc` prints, and the certificate of its fleet."""
    controller = SecuredControllerProcess(processes)
    await controller.start()
    folder = str(controller.certs / f"fleet-{FLEET}")
    text = haldane("bootstrap", "--grpc", "--fleet", FLEET, "--xds", controller.xds, "--tls", folder)
    async with model("v1") as port, controller.stubs() as stubs, calling(text, SERVICE) as client:
        file = service_file(SERVICE, endpoints={"v1": f"127.0.0.1:{port}"}, more=f"fleets: [{FLEET}]\nprotocol: grpc")
        await stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=file, reason="test"))
        assert await client.calls(20) == {"answers": {"v1": 20}, "errors": {}}
        (proxy,) = (await stubs.fleet.ListProxies(admin.ListProxiesRequest())).proxies
        assert (proxy.fleet, proxy.state) == (FLEET, "SYNCED")


async def test_the_next_of_several_controllers_serves_when_the_first_is_gone(processes: Children) -> None:
    """All streams go to the first one that is there."""
    first, second = ControllerProcess(processes, name="first"), ControllerProcess(processes, name="second")
    await first.start()
    await second.start()
    page = f"127.0.0.1:{free_port()}"
    envoy = EnvoyProcess(processes, render(fleet=FLEET, xds=f"{first.xds},{second.xds}", envoy_admin=page))
    async with first.stubs() as one, second.stubs() as other:
        await envoy.start()

        async def states(stubs: AdminStubs) -> list[str]:
            return [proxy.state for proxy in (await stubs.fleet.ListProxies(admin.ListProxiesRequest())).proxies]

        async def follows(stubs: AdminStubs) -> bool:
            return await states(stubs) == ["SYNCED"]

        await wait_until(lambda: follows(one))
        assert await states(other) == []
        first.kill()
        await wait_until(lambda: follows(other), 60.0)


def presented(controller: SecuredControllerProcess) -> str:
    """The certificate that the controller presents to who connects now, in PEM."""
    host, _, port = controller.http.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def serial(file: Path) -> int:
    """The serial number of the first certificate in a file."""
    return x509.load_pem_x509_certificate(file.read_bytes()).serial_number
