"""The ports of a running controller serve what is promised of them."""

import grpc
from google.protobuf.empty_pb2 import Empty

from controller.demo.harness.child_processes import Children
from tests.support.controller import ControllerProcess


async def test_the_admin_port_serves_the_client_status_service(processes: Children) -> None:
    """CSDS is there: without proxies it answers that there are none, and not that it is not implemented."""
    controller = ControllerProcess(processes)
    await controller.start()
    async with grpc.aio.insecure_channel(controller.admin) as channel:
        ask = channel.unary_unary("/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus")
        assert await ask(Empty().SerializeToString(), timeout=20) == b""
