"""The file of the endpoints that a controller has read, for its next run."""

import asyncio
import hashlib
import os
import resource
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.core.model.endpoint_source import DnsSource, EndpointSource, FileSource, KubernetesSource
from controller.core.model.service import Endpoint, Version
from controller.core.model.service_state import ServiceState
from controller.core.model.source_status import KnownEndpoints
from controller.core.model.view import View
from controller.ports.endpoint_sources import SourceReading
from controller.runtime.endpoint_saver import SAVE_EVERY, EndpointSaver
from controller.runtime.sourced_endpoints import SourcedEndpoints
from controller.sources.last_known_endpoints import LastKnownFile
from tests.builders import service
from tests.fakes.clock import FakeClock
from tests.support.waiting import wait_until

KNOWN: dict[EndpointSource, KnownEndpoints] = {
    KubernetesSource(namespace="ml", service="scorer", port="http"): KnownEndpoints(
        (Endpoint(host="10.0.0.1", port=9001, weight=2, zone="a"), Endpoint(host="fd00::1", port=9001)), 1000.5
    ),
    FileSource(path="/etc/v2.yaml"): KnownEndpoints((Endpoint(path="/run/v2.sock"),), 1001.0),
    DnsSource(name="_http._tcp.scorer"): KnownEndpoints((), 1002.0),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file in a folder of its own."""
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "haldane.db.endpoints"


def test_what_is_saved_is_loaded(path: Path) -> None:
    """Every kind of source and of endpoint; for the user alone, with nothing left beside it."""
    assert LastKnownFile(path).load() == {}
    LastKnownFile(path).save(KNOWN)
    assert LastKnownFile(path).load() == KNOWN
    LastKnownFile(path).save({})
    assert LastKnownFile(path).load() == {}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content.replace(b"10.0.0.1", b"10.0.0.2"),
        lambda _: b"",
        lambda content: b"\xff\n" + content,
    ],
    ids=["cut", "changed", "empty", "binary"],
)
def test_what_is_not_whole_counts_as_nothing(path: Path, damage: object) -> None:
    """Endpoints that nobody had are worse than none."""
    LastKnownFile(path).save(KNOWN)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert LastKnownFile(path).load() == {}


def test_another_format_counts_as_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest may be right: of an older or a newer Haldane."""
    LastKnownFile(path).save(KNOWN)
    body = path.read_bytes().partition(b"\n")[2].replace(b'"format":1', b'"format":2')
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert LastKnownFile(path).load() == {}


def test_a_disk_that_refuses_leaves_the_former(path: Path) -> None:
    """And no half of a new one."""
    LastKnownFile(path).save(KNOWN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            LastKnownFile(path).save({FileSource(path="/x"): KnownEndpoints((), 0.0)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert LastKnownFile(path).load() == KNOWN
    assert os.listdir(path.parent) == [path.name]


async def test_changes_are_saved_soon_and_ages_now_and_then(path: Path) -> None:
    """Also at the end. A controller without a source makes no file; a disk that refuses ends nothing."""
    clock, says = FakeClock(), asyncio.Queue[SourceReading]()

    async def watch(source: EndpointSource) -> AsyncIterator[SourceReading]:
        while True:
            yield await says.get()

    sources = SourcedEndpoints(watch, clock, lambda *_: None)
    disk = LastKnownFile(path)
    source, one = FileSource(path="/a"), Endpoint(host="10.0.0.1", port=1)
    async with sources.watching():
        # A folder that is gone ends nothing, and is not made: the store would take it for a first start.
        saving = asyncio.create_task(EndpointSaver(sources, disk, clock).run())
        spec = service("scorer", versions=(Version(name="v1", source=source),))
        sources.on_view(View("store", 1, {"scorer": ServiceState(spec=spec, source="", stable="v1")}))
        await asyncio.sleep(0)
        assert disk.load() == {}
        path.parent.rmdir()
        says.put_nowait(SourceReading((one,)))
        await wait_until(lambda: sources.statuses("scorer")["v1"].is_read)
        await asyncio.sleep(0)
        assert not path.parent.exists()
        path.parent.mkdir()
        await wait_until(lambda: disk.load() == {source: KnownEndpoints((one,), clock.wall())})
        clock.advance(SAVE_EVERY)
        await wait_until(lambda: disk.load()[source].at == clock.wall())
        clock.advance(1.0)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
    assert disk.load()[source].at == clock.wall()
