"""The nonces of one stream: all that tells it from another stream in the same state."""

from controller.xds.protocol.discovery import NEWEST, DeltaDiscoveryRequest, DiscoveryRequest


class Nonces:
    """Numbers the responses of one stream. Mutable, without I/O."""

    __slots__ = ("_last", "_newest")

    def __init__(self) -> None:
        self._last = 0
        self._newest: dict[str, str] = {}
        """Type URL -> the nonce of its newest response."""

    def next(self, type_url: str) -> str:
        """The nonce of the next response of that type, unique on the stream."""
        self._last += 1
        nonce = self._newest[type_url] = str(self._last)
        return nonce

    def resolve(self, request: DiscoveryRequest | DeltaDiscoveryRequest) -> DiscoveryRequest | DeltaDiscoveryRequest:
        """The request with `NEWEST` for the nonce of the newest response of its type, and none for any other."""
        newest = self._newest.get(request.type_url)
        is_newest = newest is not None and request.response_nonce == newest
        return request._replace(response_nonce=NEWEST if is_newest else "")
