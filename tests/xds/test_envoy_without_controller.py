"""What an Envoy does while the controller is away."""

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.xds.envoy_under_load import EnvoyUnderLoad, ServerFactory

pytestmark = pytest.mark.envoy


async def answer(port: int) -> str:
    """The version that answers on that port, or what went wrong."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
            return response.headers.get("x-haldane-version", str(response.status))
    except aiohttp.ClientConnectorError:
        return "refused"


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_without_a_controller_a_running_envoy_keeps_serving_and_a_restarted_one_serves_nothing(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """It keeps its split while the controller is away. Restarted meanwhile it takes no connection, so no one is sent
    to a version that was rolled back; and serves the newest split as soon as the controller is back."""
    models = [await model_server(version) for version in ("v1", "v2")]
    async with EnvoyUnderLoad(models, free_port()) as playing:
        playing.publish(playing.fraud(canary=10_000))
        await playing.open()
        envoy = await playing.envoy(processes, protocol)
        await playing.close()
        assert await answer(playing.port) == "v2"
        envoy.kill()
        await envoy.start()  # four seconds: Envoy waits for clusters and for listeners, then gives up
        assert await answer(playing.port) == "refused"
        playing.publish(playing.fraud())
        await playing.open()

        async def serves() -> bool:
            return await answer(playing.port) == "v1"

        await wait_until(serves, 5.0)
