"""A configuration that is larger than gRPC's messages are by default."""

import pytest

from controller.bootstrap import render
from controller.demo.processes import Children
from controller.xds.snapshot import RDS
from tests.support.envoy import EnvoyProcess
from tests.support.process import free_port
from tests.xds.stage import ServerFactory, Stage
from tests.xds.worlds import service

pytestmark = pytest.mark.envoy

FOUR_MIB = 4 * 1024 * 1024


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_more_than_four_megabytes_reach_a_real_envoy(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """Envoy sets no limit of its own on what its control plane sends: the whole table is acknowledged."""
    playing = Stage([await model_server(version) for version in ("v1", "v2")], free_port())
    hosts = [tuple(f"{'h' * 40}-{number}-{i}.example" for i in range(400)) for number in range(200)]
    many = [service(f"s{number}", port=playing.port, hosts=names) for number, names in enumerate(hosts)]
    playing.publish(*many)
    snapshot = playing.xds.newest("edge")
    assert snapshot
    assert sum(len(table.any) for table in snapshot.snapshot.catalogue(RDS).listed.values()) > FOUR_MIB
    await playing.open()
    bootstrap = render(
        fleet="edge",
        xds=f"127.0.0.1:{playing.xds_port}",
        envoy_admin=f"127.0.0.1:{free_port()}",
        protocol=protocol,  # type: ignore[arg-type]
    )
    await EnvoyProcess(processes, bootstrap).start()
    await playing.in_sync()
    await playing.close()
