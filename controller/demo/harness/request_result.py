"""How one request of a load ended."""

from dataclasses import dataclass

VERSION_HEADER = "model-version"
"""The response header in which a model server names its version, also in error responses."""
NO_VERSION = ""
"""The version of a response that no model server gave: Envoy's own, or none at all."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """How one request ended. Times are seconds of `time.monotonic`.

    `outcome` is `ok`, `4xx`, `5xx`, `timeout` (the client gave up) or `broken` (no connection, or
    it was cut); `status` is 0 for the last two. `version` is the one that the response names.
    `error` says why there is no response.
    """

    sent: float
    ended: float
    version: str
    outcome: str
    status: int
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the client got what it asked for."""
        return self.outcome == "ok"

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.ended - self.sent) * 1000

    @property
    def source(self) -> str:
        """What the client got it from: the version, or why no version answered."""
        return self.version or self.error or f"HTTP {self.status} without a version"
