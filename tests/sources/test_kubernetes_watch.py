"""List and watch of EndpointSlices, against an API server with every fault."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.core.model.endpoint_source import KubernetesSource
from controller.ports.endpoint_sources import SourceReading
from controller.sources import kubernetes_api, kubernetes_watch
from controller.sources.kubernetes_api import ApiServer, EndpointSlicesApi
from controller.sources.kubernetes_watch import EndpointSliceWatches
from tests.fakes.kubernetes_api import FakeKubernetes, fake_kubernetes, slice_of
from tests.support.authority import Authority
from tests.support.waiting import wait_until

SCORER = KubernetesSource(namespace="ml", service="scorer", port="http")


class Follower:
    """What a watch has read."""

    def __init__(self) -> None:
        self.readings: list[SourceReading] = []

    @property
    def hosts(self) -> list[list[str]]:
        """The hosts of each reading that has endpoints."""
        return [[e.host for e in each.endpoints] for each in self.readings if each.endpoints is not None]

    @property
    def problem(self) -> str:
        """Of the newest reading."""
        return self.readings[-1].problem if self.readings else ""

    async def sees(self, *hosts: str) -> None:
        """Until the newest reading has these hosts."""
        await wait_until(lambda: self.readings and not self.problem and self.hosts[-1:] == [list(hosts)])

    async def fails(self, *words: str) -> str:
        """Until the newest reading is a problem with these words."""
        return str(await wait_until(lambda: self.problem if all(word in self.problem for word in words) else ""))


@contextlib.asynccontextmanager
async def following(
    api: FakeKubernetes, *sources: KubernetesSource, server: ApiServer | None = None, seconds: float = 60.0
) -> AsyncIterator[list[Follower]]:
    """Followers of these sources, which share one watch."""
    watches = EndpointSliceWatches(EndpointSlicesApi(server or ApiServer(api.url), seconds, slack=0.5))
    followers = [Follower() for _ in sources]

    async def follow(follower: Follower, source: KubernetesSource) -> None:
        async for reading in watches.watch(source):
            follower.readings.append(reading)

    tasks = [asyncio.create_task(follow(*pair)) for pair in zip(followers, sources, strict=True)]
    try:
        yield followers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await wait_until(lambda: api.watching == 0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that no test waits for."""
    monkeypatch.setattr(kubernetes_watch, "FIRST", 0.01)
    monkeypatch.setattr(kubernetes_watch, "LONGEST", 0.05)


async def test_each_change_is_seen() -> None:
    """Slices that come, change and go, over several pages; other Services of the namespace cause no reading."""
    async with fake_kubernetes() as api:
        for number in range(5):
            api.put(slice_of("scorer", f"10.0.0.{number}", name=f"scorer-{number}"))
        async with following(api, SCORER) as (scorer,):
            await scorer.sees(*(f"10.0.0.{number}" for number in range(5)))
            api.put(slice_of("other", "10.0.9.9"))
            api.delete("scorer-3")
            await scorer.sees("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.4")
            api.put(slice_of("scorer", name="scorer-0"))
            await scorer.sees("10.0.0.1", "10.0.0.2", "10.0.0.4")
            for number in (1, 2, 4):
                api.delete(f"scorer-{number}")
            await scorer.sees()
            assert scorer.readings[-1].note == "no pod is ready"  # of the slice without addresses
            api.delete("scorer-0")
            await wait_until(lambda: "no EndpointSlice" in scorer.readings[-1].note)
            assert (len(scorer.readings), api.seen["watch"]) == (len(scorer.hosts), 1)
            assert ["10.0.9.9"] not in scorer.hosts


async def test_services_of_a_namespace_share_one_watch() -> None:
    """Which ends with the last of them."""
    other = SCORER.model_copy(update={"service": "other"})
    async with fake_kubernetes() as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        api.put(slice_of("other", "10.0.0.2"))
        async with following(api, SCORER, other) as (one, two):
            await one.sees("10.0.0.1")
            await two.sees("10.0.0.2")
            await wait_until(lambda: api.watching == 1)
            assert (api.seen["list"], api.seen["watch"]) == (1, 1)


async def test_a_watch_is_renewed_without_a_list_and_nothing_is_said() -> None:
    """At its end, and after one cut, also in the middle of a line."""
    async with fake_kubernetes() as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        async with following(api, SCORER, seconds=1.0) as (scorer,):
            await scorer.sees("10.0.0.1")
            await wait_until(lambda: api.seen["watch"] >= 2)  # by its time
            for number, fault in enumerate(("half", "cut", "end", "garbage", "malformed"), 2):
                api.faults.append(fault)
                api.end_watches()
                await wait_until(lambda: not api.faults)
                api.put(slice_of("scorer", f"10.0.0.{number}"))
                await scorer.sees(f"10.0.0.{number}")
            assert api.seen["list"] == 1
            assert all(not reading.problem for reading in scorer.readings)


@pytest.mark.parametrize("fault", ["gone", 410])
async def test_what_is_gone_is_listed_again(fault: str | int) -> None:
    """Whether the watch begins and then says so, or its request is refused. What was read holds until then."""
    async with fake_kubernetes() as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        async with following(api, SCORER) as (scorer,):
            await scorer.sees("10.0.0.1")
            await api.stop()
            api.put(slice_of("scorer", "10.0.0.2"))
            api.compact()
            api.faults.append(fault)
            await api.start()
            await scorer.sees("10.0.0.2")
            assert [] not in scorer.hosts


async def test_an_api_server_that_is_away_leaves_what_was_read_last() -> None:
    """It says so, with why; and all is listed again when it is back."""
    async with fake_kubernetes() as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        async with following(api, SCORER) as (scorer,):
            await scorer.sees("10.0.0.1")
            await api.stop()
            await scorer.fails("cannot connect")
            assert scorer.hosts == [["10.0.0.1"]]
            api.put(slice_of("scorer", "10.0.0.3"))
            await api.start()
            await scorer.sees("10.0.0.3")
            assert api.seen["list"] == 2


FAULTS = {
    403: "HTTP 403: the fault 403",
    429: "HTTP 429",
    500: "HTTP 500",
    302: "HTTP 302",
    "garbage": "no JSON",
    "malformed": "the list cannot be read",
}


@pytest.mark.parametrize(("fault", "words"), FAULTS.items())
async def test_a_list_that_fails_is_said_at_once_and_tried_again(fault: str | int, words: str) -> None:
    """Nothing is known until it succeeds: no endpoints are not the same as not knowing."""
    async with fake_kubernetes() as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        api.faults.extend([fault] * 3)
        async with following(api, SCORER) as (scorer,):
            await scorer.sees("10.0.0.1")
            assert [reading.endpoints for reading in scorer.readings[:-1]] == [None]
            assert words in scorer.readings[0].problem


async def test_a_server_that_does_not_answer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that accepts connections and says nothing, and a watch that falls silent beyond its time."""
    monkeypatch.setattr(kubernetes_api, "LIST_TIMEOUT", 0.3)
    async with fake_kubernetes() as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        api.faults.append("slow")
        async with following(api, SCORER, seconds=0.3) as (scorer,):
            await scorer.fails("no answer in time")
            await scorer.sees("10.0.0.1")
            api.faults.append("silent")
            await wait_until(lambda: not api.faults)
            api.put(slice_of("scorer", "10.0.0.2"))
            await scorer.sees("10.0.0.2")


async def test_a_rotated_token_is_read_again(tmp_path: Path) -> None:
    """The one before it is refused from then on: 401 is said, and ends with the new token."""
    file = tmp_path / "token"
    file.write_text("one\n")
    async with fake_kubernetes(token="one") as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        async with following(api, SCORER, server=ApiServer(api.url, file), seconds=1.0) as (scorer,):
            await scorer.sees("10.0.0.1")
            api.token = "two"
            await scorer.fails("HTTP 401")
            api.put(slice_of("scorer", "10.0.0.2"))
            file.write_text("two\n")
            await scorer.sees("10.0.0.2")
            file.unlink()
            await scorer.fails("token file cannot be read")
            file.write_text(" \n")
            await scorer.fails("has no token")


async def test_its_certificate_is_verified(tmp_path: Path) -> None:
    """By the file of its CA, which is read again for each request."""
    authority = Authority()
    issued = authority.issue("api")
    for name, content in (("crt", issued.certificate), ("key", issued.key), ("ca", Authority().certificate)):
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    async with fake_kubernetes(context) as api:
        api.put(slice_of("scorer", "10.0.0.1"))
        async with following(api, SCORER, server=ApiServer(api.url, None, tmp_path / "ca")) as (scorer,):
            await scorer.fails("certificate is not valid")
            (tmp_path / "ca").write_bytes(authority.certificate)
            await scorer.sees("10.0.0.1")


async def test_without_an_api_server_that_is_the_problem() -> None:
    """Of each source."""
    async for reading in EndpointSliceWatches(None).watch(SCORER):
        assert "outside of Kubernetes" in reading.problem
        break


def test_a_pod_knows_its_api_server() -> None:
    """By its environment and the files of its service account; a setting goes first, and each file may be another."""
    pod = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    files = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    assert ApiServer.of(None, None, None, pod) == ApiServer("https://[fd00::1]:443", files / "token", files / "ca.crt")
    assert ApiServer.of(None, Path("/t"), None, pod) == ApiServer("https://[fd00::1]:443", Path("/t"), files / "ca.crt")
    assert ApiServer.of("https://api:6443/", None, None, pod) == ApiServer("https://api:6443")
    assert ApiServer.of(None, None, None, {}) is None
