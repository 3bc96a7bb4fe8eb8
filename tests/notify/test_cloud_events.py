"""Programs are told by CloudEvents over HTTP: what is sent, how it is signed, and what a bad receiver can do to us."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretBytes
from structlog.testing import capture_logs

from controller.core.model.actor import Proof
from controller.core.model.ledger_line import ChainEnd, Entry, LedgerLine
from controller.notify.cloud_events import CloudEvents, cloud_event
from controller.notify.target import Target
from controller.ports.recipient import DeliveryError
from controller.process.clock import SystemClock
from controller.process.http_client import open_session, read_keys, signature_headers
from tests.notify.receivers import Receiver, receiving
from tests.notify.snippets import snippet
from tests.support.process import free_port

LINE = LedgerLine.after(
    ChainEnd(),
    revision=57,
    at=1_700_000_000.25,
    change_id="c1",
    entry=Entry(
        kind="rollback",
        services=("scorer",),
        who="haldane",
        why="5xx: 12 of 240 on v2",
        weights_before={"v2": 500, "v1": 9500},
        weights_after={"v2": 0, "v1": 10000},
        details={"canary": "v2"},
    ),
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that the controller tells programs with."""
    async with open_session() as session:
        yield session


def program(session: aiohttp.ClientSession, url: str, *, timeout: float = 5, secret: Path | None = None) -> CloudEvents:
    """A program at that address."""
    target = Target(url=url, timeout=timeout, secret_file=secret)
    return CloudEvents("notify.audit", target, session, SystemClock(), "store")


@pytest.mark.parametrize(
    ("who", "proof", "unverified"), [("haldane", "", False), ("ada", "oidc", False), ("e", "", True)]
)
def test_an_event_says_how_its_actor_was_verified(who: str, proof: str, unverified: bool) -> None:
    """As the API does."""
    entry = LINE.entry.model_copy(update={"who": who, "proof": Proof(proof)})
    data = cloud_event(LINE.model_copy(update={"entry": entry}), "store")["data"]
    assert isinstance(data, dict)
    assert [data[name] for name in ("who", "verified_by", "unverified")] == [who, proof, unverified]
    assert "proof" not in data


def test_an_event_has_what_cloudevents_asks_for() -> None:
    """Attributes of CloudEvents 1.0: required ones not empty, names of lower-case letters and digits, RFC 3339 time."""
    event = cloud_event(LINE, "store")
    assert event["specversion"] == "1.0"
    assert (event["id"], event["source"], event["type"]) == ("store-1-rollback", "/haldane/store", "haldane.rollback")
    assert all(name.isalnum() and name == name.lower() for name in event)
    time_ = datetime.fromisoformat(str(event["time"]))
    assert time_.timestamp() == LINE.at
    assert time_.tzinfo
    actor = {"verified_by": "", "unverified": False}
    assert event["data"] == {"sequence": 1, "revision": 57, "hash": LINE.hash, **LINE.entry.model_dump(), **actor}


async def test_a_line_arrives_as_one_event(session: aiohttp.ClientSession) -> None:
    """Structured JSON mode: the content type, and the event as the body."""
    async with receiving() as receiver:
        await program(session, receiver.url).deliver([LINE])
    (posted,) = receiver.posted
    assert posted.headers["content-type"] == "application/cloudevents+json"
    assert json.loads(posted.body) == cloud_event(LINE, "store")
    assert "webhook-signature" not in posted.headers


async def test_a_signature_is_checked_as_the_documentation_shows(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The documented function takes what we sent, and refuses another key, another body, and an old one."""
    secret = tmp_path / "secret"
    secret.write_text("first-key\n")
    async with receiving() as receiver:
        await program(session, receiver.url, secret=secret).deliver([LINE])
    (posted,) = receiver.posted
    verify = snippet("notifications.md", "verify")
    assert verify(b"first-key", posted.headers, posted.body)
    assert not verify(b"other-key", posted.headers, posted.body)
    assert not verify(b"first-key", posted.headers, posted.body + b" ")
    old = {**posted.headers, "webhook-timestamp": str(int(time.time()) - 600)}
    assert not verify(b"first-key", old, posted.body)


async def test_a_key_is_replaced_without_a_restart(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """The file is read at each use; while it has two keys, receivers with either are content."""
    secret = tmp_path / "secret"
    secret.write_text("old\n")
    verify = snippet("notifications.md", "verify")
    async with receiving() as receiver:
        sender = program(session, receiver.url, secret=secret)
        for content in ("old\n", "old\nnew\n", "new\n"):
            secret.write_text(content)
            await sender.deliver([LINE])
    accepted = [[key for key in (b"old", b"new") if verify(key, p.headers, p.body)] for p in receiver.posted]
    assert accepted == [[b"old"], [b"old", b"new"], [b"new"]]


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The vector was made with that project's own Python library, version 1.1.0."""
    headers = signature_headers(
        [SecretBytes(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("plain\n", [b"plain"]),
        ("one\n\n  two  \n", [b"one", b"two"]),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", [base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]),
    ],
)
def test_keys_are_read_one_a_line(tmp_path: Path, content: str, keys: list[bytes]) -> None:
    """Spaces around them do not count; whsec_ says base64."""
    (tmp_path / "secret").write_text(content)
    assert [key.get_secret_value() for key in read_keys(tmp_path / "secret")] == keys


@pytest.mark.parametrize(
    ("content", "told"), [("", "is empty"), ("whsec_???", "not base64"), ("x" * 5000, "more than 4096 bytes")]
)
async def test_a_secret_that_cannot_be_right_sends_nothing(
    session: aiohttp.ClientSession, tmp_path: Path, content: str, told: str
) -> None:
    """An event is rather not sent than sent unsigned; it is tried again, since the file may be mended."""
    secret = tmp_path / "secret"
    secret.write_text(content)
    async with receiving() as receiver:
        with pytest.raises(DeliveryError, match=told) as undelivered:
            await program(session, receiver.url, secret=secret).deliver([LINE])
    assert not undelivered.value.final
    assert receiver.posted == []


async def test_a_secret_file_that_is_gone_sends_nothing(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """As during a rotation that takes the file away before the new one is there."""
    secret = tmp_path / "secret"
    secret.write_text("key")
    async with receiving() as receiver:
        sender = program(session, receiver.url, secret=secret)
        secret.unlink()
        with pytest.raises(DeliveryError, match="No such file"):
            await sender.deliver([LINE])
        secret.write_text("key")
        await sender.deliver([LINE])
    assert len(receiver.posted) == 1


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    """Neither the keys that were read nor the settings show it."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    with capture_logs() as logs:
        shown = f"{read_keys(secret)!r} {Target(url='http://x/', secret_file=secret)!r} {logs!r}"
    assert "hunter2" not in shown


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_taken(session: aiohttp.ClientSession, status: int) -> None:
    """Whatever is said beside it."""
    async with receiving(status) as receiver:
        await program(session, receiver.url).deliver([LINE])


@pytest.mark.parametrize(
    ("does", "told", "final"),
    [
        (500, "answered 500", False),
        (503, "answered 503", False),
        (429, "answered 429", False),
        (401, "answered 401", False),
        (404, "answered 404", False),
        (400, "answered 400", True),
        (410, "answered 410", True),
        (422, "answered 422", True),
        ("redirect", "answered 302", False),
        ("hang", "no answer within 0.5 s", False),
        ("drip", "no answer within 0.5 s", False),
        ("garbage", "its answer is no HTTP", False),
        ("nothing", "the connection broke", False),
        ("endless headers", "its answer is no HTTP", False),
    ],
)
async def test_a_receiver_that_does_not_take_it(
    session: aiohttp.ClientSession, does: int | str, told: str, final: bool
) -> None:
    """Each is an answer in bounded time and memory, and says whether to try again; no redirect is followed."""
    async with receiving(does) as receiver:
        with pytest.raises(DeliveryError, match=told) as undelivered:
            await program(session, receiver.url, timeout=0.5).deliver([LINE])
        assert undelivered.value.final == final
        assert [posted.path for posted in receiver.posted] == ["/take"]
        assert receiver.sent < 50_000_000


async def test_a_receiver_that_is_not_there(session: aiohttp.ClientSession) -> None:
    """No one listens on the port: tried again later."""
    with pytest.raises(DeliveryError, match="cannot connect") as undelivered:
        await program(session, f"http://127.0.0.1:{free_port()}/").deliver([LINE])
    assert not undelivered.value.final


@pytest.mark.parametrize("does", ["endless body", "html"])
async def test_what_an_answer_says_is_not_read(session: aiohttp.ClientSession, does: str) -> None:
    """The status is all that counts: an endless body is left at once, and HTML is as good as JSON."""
    async with receiving(does) as receiver:
        await program(session, receiver.url).deliver([LINE])
        await _left_alone(receiver)
        assert receiver.sent < 50_000_000


async def _left_alone(receiver: Receiver) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*receiver.connections)
