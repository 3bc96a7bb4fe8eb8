"""`[oidc]` in the settings file: an OpenID Connect issuer whose tokens are accepted."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from controller.core.base.value import Value
from controller.process.http_client import SecretFile, Url

LOOPBACK = ("127.0.0.1", "::1", "localhost")

Text = Annotated[str, Field(min_length=1, max_length=512)]


def _checked_issuer(url: str) -> str:
    if not is_confidential(url):
        raise ValueError("https:// is needed: whoever answers for the issuer says who may come in")
    if urlsplit(url).query or urlsplit(url).fragment:
        raise ValueError("an issuer has no query and no fragment")
    return url


def is_confidential(url: str) -> bool:
    """Whether what is sent to that address, and comes from it, cannot be read or changed on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


class Oidc(Value):
    """One issuer. People's programs and pods bring its tokens; with `client_id` people log in to the console by it."""

    issuer: Annotated[Url, AfterValidator(_checked_issuer)]
    """The issuer's address, exactly as its tokens have it in `iss`."""
    audience: Text
    """What a token must have in `aud`."""
    groups_claim: Text = "groups"
    """The claim that lists the groups of a token's holder."""
    client_id: Annotated[str, Field(max_length=512)] = ""
    """Haldane's name at the issuer, for `/login` and `haldane login`. Without it nobody logs in by this issuer."""
    device_client_id: Annotated[str, Field(max_length=512)] = ""
    """The client of `haldane login`, if it is another one: a command has no secret. The default is `client_id`."""
    client_secret_file: SecretFile | None = None
    """The client's secret, if the issuer has given it one."""
    scopes: Annotated[tuple[Text, ...], Field(max_length=50)] = ("openid", "email", "profile")
    """What a login asks the issuer for. Some issuers list groups only if `groups` is asked for."""
    ca_file: SecretFile | None = None
    """The CAs of the issuer's certificate, if they are not the system's."""
    token_file: SecretFile | None = None
    """A token to read the issuer's keys with: Kubernetes shows them to pods."""

    @property
    def device_client(self) -> str:
        """The client of device logins, "" if there is none."""
        return self.device_client_id or self.client_id


def _as_list(value: Any) -> Any:
    """One table `[oidc]` is a list of one."""
    return [value] if isinstance(value, dict) else value


def _checked_issuers(issuers: Sequence[Oidc]) -> Sequence[Oidc]:
    if len({each.issuer for each in issuers}) < len(issuers):
        raise ValueError("an issuer stands there once")
    if sum(bool(each.device_client) for each in issuers) > 1:
        raise ValueError("one issuer at most has a client_id or device_client_id: people log in there")
    return issuers


Issuers = Annotated[tuple[Oidc, ...], BeforeValidator(_as_list), AfterValidator(_checked_issuers), Field(max_length=20)]
"""`[oidc]`, or `[[oidc]]` for several."""
