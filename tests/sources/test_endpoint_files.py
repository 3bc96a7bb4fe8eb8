"""Endpoints files: what they say, and what is seen of their changes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from controller.core.model.endpoint_source import FileSource
from controller.core.model.service import Endpoint
from controller.core.servicefile.endpoints_file import read_endpoints
from controller.ports.endpoint_sources import SourceReading
from controller.sources.endpoint_files import EndpointFiles
from tests.support.waiting import wait_until

ONE = Endpoint(host="10.0.0.1", port=9001)
TWO = Endpoint(host="10.0.0.2", port=9002)

GOOD = {
    "a list": ('["10.0.0.1:9001", "10.0.0.2:9002"]', (ONE, TWO)),
    "a list of lines": ("- 10.0.0.1:9001\n- 10.0.0.2:9002\n", (ONE, TWO)),
    "a mapping": ("# by the deployment\nendpoints:\n- 10.0.0.1:9001\n", (ONE,)),
    "JSON": ('{"endpoints": [{"address": "10.0.0.1:9001"}]}', (ONE,)),
    "none": ("endpoints: []\n", ()),
    "weights and zones": (
        '- {address: "[::1]:80", weight: 3, zone: eu-1a}\n',
        (Endpoint(host="::1", port=80, weight=3, zone="eu-1a"),),
    ),
    "a socket": ("- unix:/run/model.sock\n", (Endpoint(path="/run/model.sock"),)),
}
BAD = {
    "nothing": ("", "empty"),
    "blank lines": ("\n\n", "empty"),
    "half a line": ("- 10.0.0.1:9001\n- 10.0.0.2:90", "half written"),
    "half a list": ('endpoints: ["10.0.0.1:9001",\n', "not YAML"),
    "half a mapping": ('endpoints: [{address: "10.0.0.1:9001"\n', "not YAML"),
    "a host name": ("- model.internal:9001\n", "endpoints[0] is a host name"),
    "one twice": ("- 10.0.0.1:9001\n- 10.0.0.1:9001\n", "listed twice"),
    "another key": ("endpoints: []\nweights: 1\n", "line 2: a key other than"),
    "an address without a port": ("- 10.0.0.1:9001\n- 10.0.0.2\n", "line 2: endpoints[1]"),
    "a weight of 0": ('- {address: "10.0.0.1:9001", weight: 0}\n', "line 1: endpoints[0].weight"),
    "text": ("the endpoints\n", "no list of endpoints"),
    "two documents": ("[]\n---\n[]\n", "line 2"),
}


@pytest.mark.parametrize(("text", "endpoints"), GOOD.values(), ids=GOOD)
def test_what_a_file_says(text: str, endpoints: tuple[Endpoint, ...]) -> None:
    """A list of endpoints as in a service file, in YAML or JSON."""
    assert read_endpoints(text) == endpoints


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_a_file(text: str, message: str) -> None:
    """What is half written, or no list of addresses."""
    with pytest.raises(ValueError, match="^" + ".*" + message.replace("[", r"\[")):
        read_endpoints(text)


def test_no_message_has_the_text_of_the_file() -> None:
    """Whoever names the file in a service file need not be allowed to read it."""
    for text in ("root:x:0:0:secret\n", "- secret\n", "secret: 1\n", '[{address: "secret"}]\n'):
        with pytest.raises(ValueError, match="is") as raised:
            read_endpoints(text)
        assert "secret" not in str(raised.value)


@contextlib.asynccontextmanager
async def watched(path: Path) -> AsyncIterator[list[SourceReading]]:
    """What a watch of that path has read, as it comes."""
    readings: list[SourceReading] = []

    async def follow() -> None:
        async for reading in EndpointFiles(poll=0.01).watch(FileSource(path=str(path))):
            readings.append(reading)  # noqa: PERF401  (it never ends)

    task = asyncio.create_task(follow())
    try:
        yield readings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def replaced(path: Path, text: str) -> None:
    """A new file in the place of the old one, at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def written(path: Path, text: str) -> None:
    """The same file with another content."""
    path.write_text(text)


@pytest.mark.parametrize("write", [replaced, written])
async def test_each_change_is_read(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    """By a new file in its place, and by writing into the same one."""
    path = tmp_path / "v1.yaml"
    write(path, "- 10.0.0.1:9001\n")
    async with watched(path) as readings:
        await wait_until(lambda: readings == [SourceReading((ONE,))])
        write(path, "- 10.0.0.2:9002\n")
        await wait_until(lambda: readings[1:] == [SourceReading((TWO,))])
        write(path, "[]\n")
        await wait_until(lambda: readings[2:] == [SourceReading(())])


async def test_a_swapped_link_is_followed(tmp_path: Path) -> None:
    """As Kubernetes replaces the files of a ConfigMap: `..data` is a link to a folder, and is renamed over."""
    for folder, address in (("one", "10.0.0.1:9001"), ("two", "10.0.0.2:9002")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v1.yaml").write_text(f"- {address}\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "v1.yaml").symlink_to("..data/v1.yaml")
    async with watched(tmp_path / "v1.yaml") as readings:
        await wait_until(lambda: readings == [SourceReading((ONE,))])
        (tmp_path / "..new").symlink_to("two")
        (tmp_path / "..new").replace(tmp_path / "..data")
        await wait_until(lambda: readings[1:] == [SourceReading((TWO,))])


async def test_what_cannot_be_read_is_a_problem_until_it_can(tmp_path: Path) -> None:
    """No file, half a file, a pipe, text in no encoding, a file of megabytes; then a good one."""
    path = tmp_path / "v1.yaml"
    async with watched(path) as readings:
        for make, problem in (
            (lambda: None, "No such file"),
            (lambda: replaced(path, '["10.0.0.1:9001"'), "half written"),
            (lambda: (path.unlink(), os.mkfifo(path)), "not a regular file"),
            (lambda: (path.unlink(), path.write_bytes(b"\xff\xfe\n")), "not text in UTF-8"),
            (lambda: replaced(path, " " * 300_000), "256 KiB"),
        ):
            seen = len(readings)
            make()
            await wait_until(lambda seen=seen, problem=problem: any(problem in r.problem for r in readings[seen:]))
            assert all(reading.endpoints is None for reading in readings)
        replaced(path, "- 10.0.0.1:9001\n")
        await wait_until(lambda: readings[-1] == SourceReading((ONE,)))
