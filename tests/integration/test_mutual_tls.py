"""A rollout over mutual TLS, with what `haldane certs` and `haldane bootstrap` make, through a rotation of both sides'
certificates.
"""

import os
import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509

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

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(300)]


async def test_a_rotation_of_both_certificates_fails_no_request(processes: Children) -> None:
    """Under load: the controller's and the proxy's certificates are replaced, both are in use on the next connection,
    nothing restarts, and a rollout goes through afterwards."""
    controller = SecuredControllerProcess(processes, {"HALDANE_MAX_CONNECTION_AGE": "10s"})
    secret = MountedSecret(processes.folder / "secret")
    secret.put(controller.certs / f"fleet-{FLEET}")

    def bootstrap(plain: str) -> str:
        page = yaml.safe_load(plain)["admin"]["address"]["socket_address"]
        where = ("--xds", controller.xds, "--envoy-admin", f"{page['address']}:{page['port_value']}")
        sds = str(processes.folder / "sds")
        folders = ("--tls", str(secret.folder), "--sds", sds, "--write-sds", sds)
        return haldane("bootstrap", "--fleet", FLEET, *where, *folders)

    async with (
        running_system(processes, policy=QUICK, controller=controller, change=bootstrap) as system,
        steady(system.entry, 100) as load,
    ):
        await wait_until(lambda: len(load.results) > 50)
        connections = (await system.envoy.counters(CONNECTIONS))[CONNECTIONS]
        pids = controller.child.pid, system.envoy.child.pid
        former = presented(controller)
        renewed = controller.renew("controller")
        for name in ("tls.key", "tls.crt"):  # file by file, as an issuer without Kubernetes does
            os.replace(renewed / name, controller.certs / "controller" / name)
        proxy = controller.renew(f"fleet-{FLEET}")
        secret.put(proxy)

        async def reconnected() -> bool:
            return (await system.envoy.counters(CONNECTIONS))[CONNECTIONS] > connections

        async def taken() -> bool:
            return f"{serial(proxy):x}" in await system.envoy.page("certs")

        await wait_until(taken)
        await wait_until(reconnected, 60.0)
        await wait_until(system.in_sync)
        assert presented(controller) != former
        await system.start()
        await system.reach("PROMOTED")
        assert (controller.child.pid, system.envoy.child.pid) == pids
        assert [result for result in load.results if not result.ok] == []
        assert by_version(load.results)["v2"] > 0


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


def serial(folder: Path) -> int:
    """The serial number of the certificate in a folder."""
    return x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes()).serial_number
