"""A controller whose ports others fill with connections: whoever freezes gets in, and the log stays short."""

import asyncio
import contextlib
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.process.descriptors import raise_descriptor_limit
from tests.support.controller import ControllerProcess
from tests.support.waiting import wait_until

IDLE = 1100
"""Connections to each port."""
CALLS = 200_000
needs_descriptors = pytest.mark.skipif(raise_descriptor_limit() < 4 * IDLE, reason="too few open files for this test")


@contextlib.asynccontextmanager
async def controller_with(processes: Children, descriptors: int) -> AsyncIterator[ControllerProcess]:
    """A controller that may have that many files and connections open."""
    lowered = ("sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh")
    controller = ControllerProcess(processes, prefix=lowered)
    await controller.start()
    yield controller


@contextlib.contextmanager
def idle_connections(address: str, beginning: bytes = b"", count: int = IDLE) -> Iterator[list[socket.socket]]:
    """Connections on which that is sent and nothing more."""
    host, _, port = address.rpartition(":")
    opened = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((host, int(port)), 10))
            with contextlib.suppress(ConnectionError):  # it had to make room
                connection.sendall(beginning)
            opened.append(connection)
        yield opened


async def freeze(controller: ControllerProcess) -> float:
    """Freeze everything over HTTP, on a new connection; how many seconds it takes."""
    started = time.monotonic()
    async with aiohttp.ClientSession() as session:
        body = {"service": None, "reason": "flooded"}
        async with session.post(f"http://{controller.http}/freeze", json=body) as response:
            assert response.status == 200
    return time.monotonic() - started


@needs_descriptors
@pytest.mark.parametrize("descriptors", [1024, 4096])
@pytest.mark.parametrize("beginning", [b"", b"POST /freeze HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_freeze_gets_through_when_the_ports_are_full(
    processes: Children, descriptors: int, beginning: bytes
) -> None:
    """1100 connections to each that say nothing, or half a request; with the limits that systems have by default."""
    async with controller_with(processes, descriptors) as controller:
        with (
            idle_connections(controller.xds),
            idle_connections(controller.admin),
            idle_connections(controller.http, beginning),
        ):
            async with controller.stubs() as stubs:
                await stubs.killswitch.Freeze(pb.FreezeRequest(all=True, reason="flooded"), timeout=5)
            assert statistics.median([await freeze(controller) for _ in range(5)]) < 1.0
        assert len(controller.output) < 20_000


@needs_descriptors
async def test_proxies_cannot_take_the_descriptors_of_the_controller(processes: Children) -> None:
    """The xDS port takes no more than its share, and has room again once the silent ones are gone."""
    async with controller_with(processes, 512) as controller:
        with idle_connections(controller.xds):
            used = len(os.listdir(f"/proc/{controller.child.pid}/fd"))
            assert used < 512 - 100
            assert await freeze(controller) < 1.0
        await wait_until(lambda: len(os.listdir(f"/proc/{controller.child.pid}/fd")) < 100)


async def test_a_flood_of_what_is_no_http_is_one_line_of_the_log(processes: Children) -> None:
    """Each such request gets 400; the log says how many there were, not once for each."""
    async with controller_with(processes, 1024) as controller:
        host, _, port = controller.http.rpartition(":")
        for _ in range(200):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.0 400")
            writer.close()
        assert controller.output.count("http_error") == 1
        assert "Traceback" not in controller.output


async def test_calls_that_are_reset_at_once_hold_little_memory(processes: Children) -> None:
    """Rapid reset (CVE-2023-44487): 200 000 calls on one connection; without `streams_per_connection` 1.3 GB."""
    path = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
    async with controller_with(processes, 1024) as controller:
        before = resident_megabytes(controller.child.pid)
        reader, writer = await asyncio.open_connection(*controller.xds.split(":"))
        draining = asyncio.create_task(reader.read())
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        headers = (
            b"\x83\x86\x01\x01x\x04"
            + bytes((len(path),))
            + path
            + b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
        )
        most = before
        for first in range(0, CALLS, 1000):
            for call in range(first, first + 1000):
                writer.write(frame(1, 4, 2 * call + 1, headers) + frame(3, 0, 2 * call + 1, b"\x00\x00\x00\x08"))
            await writer.drain()
            most = max(most, resident_megabytes(controller.child.pid))
        assert await freeze(controller) < 5.0
        draining.cancel()
        writer.transport.abort()
        assert most - before < 100


async def test_a_header_block_that_never_ends_is_cut_off(processes: Children) -> None:
    """A CONTINUATION flood on the admin port: gRPC would hold some 20 MB for each such connection."""
    async with controller_with(processes, 1024) as controller:
        _reader, writer = await asyncio.open_connection(*controller.admin.split(":"))
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 0, 1, b"\x00\x01a\x01b"))
        block = frame(9, 0, 1, b"\x00\x01a\x01b" * 2000)
        sent = 0
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while not writer.transport.is_closing():
                    writer.write(block)
                    await writer.drain()
                    sent += len(block)
                    await asyncio.sleep(0)
        assert sent < 64e6
        assert "a header block has more than" in controller.output
        writer.transport.abort()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def resident_megabytes(pid: int) -> float:
    """The memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
