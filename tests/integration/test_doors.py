"""The doors of a running controller carry what is promised of them."""

import grpc
from google.protobuf.empty_pb2 import Empty

from controller.demo.harness.child_processes import Children
from tests.support.controller import ControllerProcess


async def test_the_admin_port_tells_the_status_of_proxies_as_envoys_tools_ask_for_it(processes: Children) -> None:
    """CSDS is there: without proxies it answers that there are none, and not that it is not implemented."""
    controller = ControllerProcess(processes)
    await controller.start()
    async with grpc.aio.insecure_channel(controller.admin) as channel:
        ask = channel.unary_unary("/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus")
        assert await ask(Empty().SerializeToString(), timeout=20) == b""
