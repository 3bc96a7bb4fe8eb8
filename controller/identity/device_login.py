"""A login from a device without a browser, such as a command line: OAuth 2.0 Device Authorization Grant (RFC 8628).

The device asks the issuer for a code, shows it to a person, who enters it in a browser somewhere else, and asks for the
token until the person has agreed.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from controller.core.base.errors import Refusal
from controller.core.base.text import is_printable
from controller.identity.oidc_settings import is_confidential
from controller.identity.openid_metadata import Metadata
from controller.identity.token_verifier import read_unverified
from controller.process.http_client import Unanswered
from controller.process.json_client import ErrorAnswer, JsonClient

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 5.0
"""Seconds between two requests for a token, unless the issuer says otherwise (section 3.2)."""
SLOWER = 5.0
"""Seconds by which `slow_down` makes the interval longer (section 3.5)."""
LONGEST_CODE = 3600.0
"""Seconds for which a code is asked about at most, whatever the issuer says."""
MAX_TEXT = 2048
"""Characters of what a person is shown."""

Sleep = Callable[[float], Awaitable[None]]


class LoginError(Exception):
    """The issuer refuses: `code` is its word for why (RFC 8628, section 3.5; RFC 6749, section 5.2)."""

    def __init__(self, code: str, description: str = "") -> None:
        self.code = code
        self.description = description
        super().__init__(f"{code}: {description}" if description else code)


class DeviceCode(NamedTuple):
    """A login that has begun (section 3.2)."""

    device_code: str
    user_code: str
    """What the person enters."""
    page: str
    """Where: the address to show."""
    page_with_code: str
    """The same with the code in it, "" if the issuer has no such address."""
    lifetime: float
    """Seconds from now on."""
    interval: float


class Tokens(NamedTuple):
    """What the issuer has given, "" for what it has not."""

    access_token: str
    id_token: str
    refresh_token: str
    expires_in: float
    """Seconds for which the access token is valid, 0 if it does not say."""


class Bearer(NamedTuple):
    """A token for the controller."""

    token: str
    lifetime: float
    """Seconds for which it is valid from now on, by the issuer's word; 0 if that is not known."""


class DeviceClient:
    """One client at one issuer."""

    def __init__(self, client: JsonClient, metadata: Metadata, client_id: str) -> None:
        self._client = client
        self._metadata = metadata
        self._id = client_id

    async def begin(self, scopes: tuple[str, ...], audience: str) -> DeviceCode:
        """Ask for a code. Raises `LoginError`, or `Unanswered`: also where the issuer has no device logins."""
        if not (self._metadata.device_authorization and self._metadata.token):
            raise Unanswered("it has no device logins: its metadata have no device_authorization_endpoint")
        wanted = (*scopes, "offline_access") if self._metadata.offline_access else scopes
        # `audience` is of no standard: some issuers need it, and all others ignore it (RFC 6749, section 3.1).
        fields = {"client_id": self._id, "scope": " ".join(dict.fromkeys(wanted)), "audience": audience}
        return _device_code(await self._post(self._metadata.device_authorization, fields))

    async def wait(self, code: DeviceCode, sleep: Sleep, monotonic: Callable[[], float]) -> Tokens:
        """The tokens, once the person has agreed. `LoginError` with `access_denied` if the person has not, with
        `expired_token` if the time is over; or whatever else the issuer has against it. While it does not answer, it is
        asked less and less often."""
        fields = {"client_id": self._id, "grant_type": GRANT, "device_code": code.device_code}
        interval, deadline = code.interval, monotonic() + code.lifetime
        while (left := deadline - monotonic()) > 0:
            await sleep(min(interval, left))
            try:
                return _tokens(await self._post(self._metadata.token, fields))
            except LoginError as error:
                if error.code == "slow_down":
                    interval += SLOWER
                elif error.code != "authorization_pending":
                    raise
            except Unanswered:
                interval *= 2
        raise LoginError("expired_token")

    async def refresh(self, refresh_token: str) -> Tokens:
        """New tokens. Raises `Unanswered`, or `LoginError` if the issuer gives no more."""
        fields = {"client_id": self._id, "grant_type": "refresh_token", "refresh_token": refresh_token}
        return _tokens(await self._post(self._metadata.token, fields))

    async def revoke(self, refresh_token: str) -> None:
        """End the login at the issuer (RFC 7009), if it can do that. Raises `Unanswered`."""
        if self._metadata.revocation:
            fields = {"client_id": self._id, "token": refresh_token, "token_type_hint": "refresh_token"}
            await self._client.send_form(self._metadata.revocation, fields)

    async def _post(self, url: str, fields: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            return await self._client.post_form(url, fields)
        except ErrorAnswer as answer:
            if not answer.code or answer.status >= 500:
                raise
            raise LoginError(answer.code, answer.description) from None


def bearer_of(tokens: Tokens, issuer: str, audience: str, now: float) -> Bearer | None:
    """The one of these tokens that a controller with this issuer and audience accepts; None if it is neither.

    Nothing is verified here: the controller does that. `now` is Unix seconds.
    """
    for token, lifetime in ((tokens.access_token, tokens.expires_in), (tokens.id_token, 0.0)):
        claims = _claims(token)
        if claims.get("iss") == issuer and audience in _audiences(claims):
            return Bearer(token, lifetime or _lifetime(claims, now))
    return None


def audiences_of(tokens: Tokens) -> tuple[str, ...]:
    """Whom these tokens are for, as far as they can be read."""
    found = [each for token in (tokens.access_token, tokens.id_token) for each in _audiences(_claims(token))]
    return tuple(dict.fromkeys(found))


def _claims(token: str) -> Mapping[str, Any]:
    try:
        return read_unverified(token)[1]
    except Refusal:  # an access token may be anything
        return {}


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    found = claims.get("aud")
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)]


def _lifetime(claims: Mapping[str, Any], now: float) -> float:
    """By the issuer's clock alone if the token says when it was issued."""
    expires, issued = (_number(claims.get(name)) for name in ("exp", "iat"))
    return max(0.0, expires - (issued or now)) if expires else 0.0


def _device_code(answer: Mapping[str, Any]) -> DeviceCode:
    code, user_code, page = (_text(answer, name) for name in ("device_code", "user_code", "verification_uri"))
    page = page or _text(answer, "verification_url")  # as some issuers had it before the RFC
    with_code = _text(answer, "verification_uri_complete")
    if not (code and _showable(user_code) and _showable(page) and is_confidential(page)):
        raise Unanswered("its answer has no device_code, user_code and verification_uri with https://")
    return DeviceCode(
        device_code=code,
        user_code=user_code,
        page=page,
        page_with_code=with_code if _showable(with_code) and is_confidential(with_code) else "",
        lifetime=min(_number(answer.get("expires_in")) or LONGEST_CODE, LONGEST_CODE),
        interval=_number(answer.get("interval")) or INTERVAL,
    )


def _tokens(answer: Mapping[str, Any]) -> Tokens:
    if isinstance(code := answer.get("error"), str):  # with status 200, as some issuers do
        raise LoginError(code[:100], _text(answer, "error_description")[:200])
    tokens = Tokens(
        access_token=_text(answer, "access_token"),
        id_token=_text(answer, "id_token"),
        refresh_token=_text(answer, "refresh_token"),
        expires_in=_number(answer.get("expires_in")),
    )
    if not (tokens.access_token or tokens.id_token):
        raise Unanswered("its answer has no token")
    return tokens


def _text(answer: Mapping[str, Any], name: str) -> str:
    found = answer.get(name)
    return found if isinstance(found, str) else ""


def _showable(text: str) -> bool:
    return 0 < len(text) <= MAX_TEXT and is_printable(text)


def _number(found: Any) -> float:
    """A positive number, as JSON or as text; 0 for anything else."""
    try:
        number = float(found) if isinstance(found, int | float | str) and not isinstance(found, bool) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return number if 0 < number < float("inf") else 0.0
