"""Device logins (RFC 8628) against a real issuer: how long a device waits, and what ends its wait."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.identity.device_login import (
    INTERVAL,
    LONGEST_CODE,
    DeviceClient,
    LoginError,
    Tokens,
    audiences_of,
    bearer_of,
)
from controller.identity.openid_metadata import read_metadata
from controller.process.http_client import Unanswered
from controller.process.json_client import ErrorAnswer, JsonClient
from tests.support.issuer import AUDIENCE, Issuer, issuer_open

SCOPES = ("openid", "email")


@dataclass
class Device:
    """A device whose time passes only while it waits."""

    issuer: Issuer
    waits: list[float] = field(default_factory=list)

    async def log_in(self) -> Tokens:
        client = await self.client()
        code = await client.begin(SCOPES, AUDIENCE)
        return await client.wait(code, self._sleep, lambda: sum(self.waits))

    async def client(self) -> DeviceClient:
        client = JsonClient(timeout=5.0)
        return DeviceClient(client, await read_metadata(client, self.issuer.url), "cli")

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    """A device at an issuer that says nothing of an interval."""
    async with issuer_open() as issuer:
        issuer.device["interval"] = None
        yield Device(issuer)


async def test_a_device_gets_its_tokens_once_the_person_has_agreed(device: Device) -> None:
    """It asks as often as the issuer wants, every 5 s by default, and for a refresh token where there is one."""
    device.issuer.device_answers = ["authorization_pending"] * 3
    tokens = await device.log_in()
    assert tokens.access_token
    assert tokens.refresh_token in device.issuer.refresh_tokens
    assert tokens.expires_in == 300
    assert device.waits == [INTERVAL] * 4
    assert device.issuer.begun == [{"client_id": "cli", "scope": "openid email offline_access", "audience": AUDIENCE}]
    device.issuer.device["interval"] = 2
    await device.log_in()
    assert device.waits[4:] == [2.0]


async def test_slow_down_makes_all_later_intervals_longer(device: Device) -> None:
    """By 5 s each time, as section 3.5 demands."""
    device.issuer.device_answers = ["slow_down", "authorization_pending", "slow_down"]
    await device.log_in()
    assert device.waits == [5.0, 10.0, 10.0, 15.0]


async def test_while_the_issuer_is_away_it_is_asked_less_and_less_often(device: Device) -> None:
    """And the login goes on when it is back; an error of its own, with or without a code, is no answer."""
    device.issuer.device_answers = [503, 500, "authorization_pending"]
    await device.log_in()
    assert device.waits == [5.0, 10.0, 20.0, 20.0]


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "invalid_client", "something_new"])
async def test_an_error_ends_the_wait(device: Device, code: str) -> None:
    """With the issuer's own word for it."""
    device.issuer.device_answers = ["authorization_pending", code, "authorization_pending"]
    with pytest.raises(LoginError) as error:
        await device.log_in()
    assert (error.value.code, error.value.description) == (code, f"it is {code}")
    assert len(device.waits) == 2


async def test_nobody_waits_longer_than_the_code_is_valid(device: Device) -> None:
    """By the issuer's word, whose answer is not needed for that; and never longer than an hour."""
    device.issuer.device["expires_in"] = 12
    device.issuer.device_answers = ["authorization_pending"] * 100
    with pytest.raises(LoginError, match="expired_token"):
        await device.log_in()
    assert device.waits == [5.0, 5.0, 2.0]
    device.waits.clear()
    device.issuer.device |= {"expires_in": 1e300, "interval": 1e300}
    with pytest.raises(LoginError, match="expired_token"):
        await device.log_in()
    assert device.waits == [LONGEST_CODE]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"device_code": None}, "has no device_code"),
        ({"user_code": "\x1b[2J"}, "has no device_code"),
        ({"user_code": 7}, "has no device_code"),
        ({"verification_uri": "http://login.example/activate"}, "has no device_code"),
        ({"verification_uri": "javascript:alert(1)"}, "has no device_code"),
        ({"error": "invalid_scope"}, "has no device_code"),
    ],
)
async def test_what_cannot_be_shown_is_no_answer(device: Device, changed: dict[str, Any], why: str) -> None:
    """Nor an address at which others could read along."""
    if "error" in changed:
        changed["device_code"] = None
    device.issuer.device |= changed
    with pytest.raises(Unanswered, match=why):
        await device.log_in()


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"device_authorization_endpoint": None}, "has no device logins"),
        ({"token_endpoint": None}, "has no device logins"),
        ({"issuer": "https://other.example"}, "of another issuer"),
        ({"device_authorization_endpoint": "http://login.example/device"}, "no device_authorization_endpoint with"),
    ],
)
async def test_an_issuer_without_device_logins_is_named(device: Device, metadata: dict[str, Any], why: str) -> None:
    """From its metadata, before anything is sent to it."""
    device.issuer.metadata = metadata
    with pytest.raises(Unanswered, match=why):
        await device.log_in()
    assert not device.issuer.begun


async def test_a_refresh_token_gives_the_next_tokens(device: Device) -> None:
    """Once; and none after it was revoked."""
    tokens = await device.log_in()
    client = await device.client()
    following = await client.refresh(tokens.refresh_token)
    assert following.access_token != tokens.access_token
    with pytest.raises(LoginError, match="invalid_grant"):
        await client.refresh(tokens.refresh_token)
    await client.revoke(following.refresh_token)
    assert device.issuer.revoked == [following.refresh_token]
    with pytest.raises(LoginError, match="invalid_grant"):
        await client.refresh(following.refresh_token)
    device.issuer.away = True
    with pytest.raises(ErrorAnswer, match="503"):
        await client.refresh("x")


async def test_an_error_with_status_200_is_one(device: Device) -> None:
    """As some issuers have it; and an answer without a token is none."""
    device.issuer.device_tokens = {"error": "access_denied"}
    with pytest.raises(LoginError, match="access_denied"):
        await device.log_in()
    device.issuer.device_tokens = {"access_token": None, "id_token": None}
    with pytest.raises(LoginError, match="expired_token"):
        await device.log_in()


def test_of_two_tokens_the_controllers_is_taken() -> None:
    """By issuer and audience; how long it is valid is counted by one clock alone."""
    issuer, now = Issuer(url="https://login.example"), time.time()

    def given(access: str, identity: str, expires_in: float = 0.0) -> Tokens:
        return Tokens(access, identity, "", expires_in)

    def taken(tokens: Tokens) -> Any:
        return bearer_of(tokens, issuer.url, AUDIENCE, now)

    right, other = issuer.token(), issuer.token(aud="cli")
    assert taken(given(right, other, 60)) == (right, 60)
    assert taken(given(other, right, 60)) == (right, 300)
    assert taken(given("opaque", issuer.token(aud=["cli", AUDIENCE]), 60)).lifetime == 300
    assert taken(given(other, other)) is None
    assert taken(given("", issuer.token(iss="https://other.example"))) is None
    assert audiences_of(given(other, issuer.token(aud=["a", "b"]))) == ("cli", "a", "b")
    ahead = issuer.token(iat=now + 9000, nbf=now + 9000, exp=now + 9300)
    assert taken(given(ahead, "")).lifetime == 300
    assert taken(given(issuer.token(iat=None, exp=int(now) + 100), "")).lifetime == pytest.approx(100, abs=1)
    assert taken(given(issuer.token(iat=None, exp="soon"), "")).lifetime == 0
