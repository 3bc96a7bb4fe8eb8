"""Rate limit of the requests on one stream."""


class TokenBucket:
    """A token bucket: `burst` at once, `rate` a second. `now` is in seconds of any clock that does not go back."""

    def __init__(self, burst: int, rate: float, now: float) -> None:
        self._burst, self._rate = burst, rate
        self._tokens, self._at = float(burst), now

    def take(self, now: float) -> bool:
        """Take a token. Returns whether there was one."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
