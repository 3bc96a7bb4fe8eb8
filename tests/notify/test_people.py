"""People are told by apprise, run as it is in its child process, against receivers on the loopback."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from controller.notify.message_text import render_message
from controller.notify.people import People
from controller.notify.target import Target
from controller.ports.recipient import DeliveryError
from tests.notify.ledger import line
from tests.notify.receivers import Receiver, receiving


def people(tmp_path: Path, *addresses: str, timeout: float = 30) -> People:
    """The people behind these addresses."""
    file = tmp_path / "addresses"
    file.write_text("# who is on call\n" + "\n".join(addresses))
    return People("notify.on-call", Target(apprise_file=file, timeout=timeout))


def address(receiver: Receiver, more: str = "") -> str:
    """The receiver as apprise's generic JSON webhook."""
    return f"json://user:secret@127.0.0.1:{receiver.port}/take{more}"


def told(receiver: Receiver) -> list[str]:
    """The titles of what a receiver was told."""
    return [json.loads(posted.body)["title"] for posted in receiver.posted]


async def test_people_get_one_readable_message(tmp_path: Path) -> None:
    """Title and text as apprise hands them on, marked by how severe they are."""
    moved = {"weights_before": {"v2": 500, "v1": 9500}, "weights_after": {"v2": 0, "v1": 10000}}
    async with receiving() as receiver:
        await people(tmp_path, address(receiver)).deliver([line(1, why="5xx: 12 of 240", **moved)])
    (posted,) = receiver.posted
    body = json.loads(posted.body)
    assert body["title"] == "CRITICAL: rollback scorer"
    assert body["message"] == "01:00:01Z rollback scorer by haldane (v2 5% -> 0%, v1 95% -> 100%): 5xx: 12 of 240"
    assert body["type"] == "failure"


async def test_only_the_address_that_failed_is_tried_again(tmp_path: Path) -> None:
    """Who has taken the message does not get it twice since someone else did not."""
    async with receiving() as good, receiving(500) as bad:
        both = people(tmp_path, address(good), address(bad))
        with pytest.raises(DeliveryError, match="1 of the addresses"):
            await both.deliver([line(1)])
        bad.does = 200
        await both.deliver([line(1)])
        await both.deliver([line(2, "promoted")])
    assert told(good) == ["CRITICAL: rollback scorer", "INFO: promoted scorer"]
    assert told(bad) == ["CRITICAL: rollback scorer", "CRITICAL: rollback scorer", "INFO: promoted scorer"]


@pytest.mark.parametrize("does", ["hang", "drip", "endless body", "endless headers", "garbage", "nothing", 403])
async def test_a_bad_receiver_is_bounded(tmp_path: Path, does: int | str) -> None:
    """Whatever it does, the attempt ends in time, and the child with it."""
    async with receiving(does) as receiver:
        with pytest.raises(DeliveryError):
            await people(tmp_path, address(receiver, "?rto=0.5&cto=0.5"), timeout=1).deliver([line(1)])


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """A receiver cannot send us elsewhere."""
    async with receiving("redirect") as receiver:
        with pytest.raises(DeliveryError):
            await people(tmp_path, address(receiver)).deliver([line(1)])
    assert {posted.path for posted in receiver.posted} == {"/take"}


@pytest.mark.parametrize(("addresses", "wrong"), [((), "has 0 addresses"), (("json://127.0.0.1",) * 51, "has 51")])
async def test_a_file_without_sense_says_so(tmp_path: Path, addresses: Sequence[str], wrong: str) -> None:
    """No address, or more than anybody has: named, tried again after it is mended."""
    with pytest.raises(DeliveryError, match=wrong):
        await people(tmp_path, *addresses).deliver([line(1)])


async def test_an_address_that_apprise_does_not_know_fails(tmp_path: Path) -> None:
    """It is counted as not told, and its text, which may hold a password, is not repeated."""
    with pytest.raises(DeliveryError) as undelivered:
        await people(tmp_path, "nosuch://hunter2@x").deliver([line(1)])
    assert str(undelivered.value) == "1 of the addresses did not take it"


async def test_the_file_is_read_at_each_use(tmp_path: Path) -> None:
    """Addresses are replaced without a restart; while the file is gone, no one is told and it says so."""
    async with receiving() as first, receiving() as second:
        told_people = people(tmp_path, address(first))
        await told_people.deliver([line(1)])
        (tmp_path / "addresses").unlink()
        with pytest.raises(DeliveryError, match="cannot be read"):
            await told_people.deliver([line(2)])
        (tmp_path / "addresses").write_text(address(second))
        await told_people.deliver([line(2)])
    assert (len(first.posted), len(second.posted)) == (1, 1)


def test_a_flood_is_summed_up() -> None:
    """Of a thousand lines the most severe ten are shown, in their order, and the rest is counted."""
    flood = [line(n, "proxy_refused", service="") for n in range(1, 1001)]
    flood[500] = line(501, "rollback")
    flood[700] = line(701, "blind")
    title, body = render_message(flood)
    lines = body.splitlines()
    assert title == "CRITICAL: rollback scorer and 999 more"
    assert [text.split()[1] for text in lines[:-1]] == ["proxy_refused"] * 8 + ["rollback", "blind"]
    assert lines[-1] == "... and 990 lines more: `haldane events` has them all"
    assert render_message(flood[:11])[1].endswith("... and 1 line more: `haldane events` has them all")


def test_what_others_say_stays_on_its_line() -> None:
    """A proxy's error of a megabyte with line ends becomes a short piece of one line."""
    _, body = render_message([line(1, "proxy_refused", why="bad\n\r\tconfig " * 100_000, service="")])
    assert "\n" not in body
    assert "proxy_refused the fleet by haldane: bad config bad" in body
    assert len(body) < 500


def test_whom_nothing_has_verified_is_marked() -> None:
    """By the word that every other place has."""
    claimed, proved = line(1, "freeze_set", who="eve@10.0.0.7"), line(2, "freeze_set", who="ada", proof="oidc")
    first, second = render_message([claimed, proved])[1].splitlines()
    assert "by eve@10.0.0.7 (unverified): " in first
    assert "by ada: " in second


def test_a_freeze_of_everything_reads_so() -> None:
    """The scope `*` in words."""
    title, _ = render_message([line(1, "freeze_set", service="*")])
    assert title == "WARNING: freeze_set all services"
