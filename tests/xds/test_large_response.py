"""A configuration that is larger than gRPC's messages are by default."""

import pytest

from controller.demo.harness.child_processes import Children
from controller.xds.resources.type_urls import RDS
from tests.support.process import free_port
from tests.xds.envoy_under_load import EnvoyUnderLoad, ServerFactory
from tests.xds.views import service

pytestmark = pytest.mark.envoy

FOUR_MIB = 4 * 1024 * 1024


@pytest.mark.proves("xds-rule 34")
@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_more_than_four_megabytes_reach_a_real_envoy(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """Envoy sets no limit of its own on what its control plane sends: the whole table is ACKed."""
    models = [await model_server(version) for version in ("v1", "v2")]
    async with EnvoyUnderLoad(models, free_port()) as envoy:
        hosts = [tuple(f"{'h' * 40}-{number}-{i}.example" for i in range(400)) for number in range(200)]
        many = [service(f"s{number}", port=envoy.port, hosts=names) for number, names in enumerate(hosts)]
        envoy.publish(*many)
        snapshot = envoy.xds.published("edge")
        assert snapshot
        assert sum(len(table.packed) for table in snapshot.catalogue(RDS).listed.values()) > FOUR_MIB
        await envoy.open()
        await envoy.envoy(processes, protocol)
