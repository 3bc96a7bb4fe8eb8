"""What an operator declares about the routes of a service: which paths, retries, headers."""

from typing import Literal

from controller.core.base.value import Value


class PathMatch(Value):
    """The requests of one path: `exact`, or else all below it. Below `/v1/chat` is `/v1/chat/a`, and `/v1/chatty` is
    not; a path that ends with a slash is a plain prefix."""

    path: str
    exact: bool = False

    def __str__(self) -> str:
        return f"={self.path}" if self.exact else self.path


CANARY, STABLE = "canary", "stable"
"""What a rule can name besides a version: the versions that have these parts at the time."""


class Condition(Value):
    """A header, a query parameter or a cookie of a request has exactly this value; None: any value."""

    source: Literal["header", "query", "cookie"]
    name: str
    value: str | None


class MatchRule(Value):
    """Requests for which every condition holds go to `to`: a version, `canary` or `stable`. They are pinned: weights do
    not move them, and they are not judged."""

    conditions: tuple[Condition, ...]
    to: str


class Sticky(Value):
    """What a request says of its user. Users keep their version while the canary's share does not fall: a share that
    rises only adds users. `name` is that of the header or the cookie; `ttl` are the seconds that a cookie is kept."""

    source: Literal["header", "cookie", "source_ip"]
    name: str = ""
    ttl: float = 0.0


class Mirror(Value):
    """A share of the requests (basis points) is copied to a version that has no weight. Nobody waits for the copies'
    responses."""

    to: str
    share: int


class Retries(Value):
    """Retries of what surely did not reach a server, on the same version. `attempts`: at most so many, 0 for none."""

    attempts: int = 1


class RequestHeaders(Value):
    """Headers of requests that Envoy sets (name, value) or removes before the model server gets them."""

    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class ListenTls(Value):
    """The certificate that clients are shown: files on Envoy's machine, or `sds`, the name of a secret in Envoy's own
    bootstrap."""

    certificate: str = ""
    key: str = ""
    sds: str = ""
