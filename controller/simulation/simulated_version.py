"""Described servers and the requests they answer: counts as Envoy would report them, drawn at random."""

import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import NormalDist

from controller.core.traffic.latency_buckets import BUCKETS, EDGES_MS, bucket_of, with_edges
from controller.core.traffic.window import Sample

TIMEOUT = 15.0
"""Seconds after which a proxy answers 504 for a server that does not (Envoy's default)."""
FAST_MS = 5.0
"""Milliseconds that a request takes which is rejected at once."""
FIRST_SIGMA = 0.4
"""Of the logarithm of a stream's time to its first token."""
ONE_BY_ONE = 400
"""Up to so many requests are drawn one by one; above it their counts per bucket are."""


@dataclass(frozen=True, slots=True)
class Server:
    """How a version answers. Shares are in 0..1; latency is log-normal, in milliseconds.

    `slow` is the share of a second mode, `slow_by` its factor. `hang` is the share of requests never answered.
    `error_ms` is how long a failing answer takes; None: like any other. `poison` are failing requests of one client, in
    a tick, beyond those that come. Where `seconds` are given, a good answer takes something between the two, and is
    reported when it ends; `cancels` is the share of those requests on which the client gives up on the way. `first_ms`
    is the median of their times to the first token, log-normal with `FIRST_SIGMA`; None: they have none.
    """

    errors: float = 0.001
    client_errors: float = 0.002
    median: float = 20.0
    sigma: float = 0.5
    slow: float = 0.0
    slow_by: float = 1.0
    hang: float = 0.0
    error_ms: float | None = None
    poison: int = 0
    seconds: tuple[float, float] | None = None
    cancels: float = 0.0
    first_ms: float | None = None

    @property
    def late_first_ms(self) -> float:
        """The p99 of the times to the first token, in milliseconds; infinite without any."""
        return self.first_ms * math.exp(FIRST_SIGMA * NormalDist().inv_cdf(0.99)) if self.first_ms else math.inf

    def quantile(self, share: float) -> float:
        """A latency quantile, in milliseconds, of the first mode."""
        return self.median * math.exp(self.sigma * NormalDist().inv_cdf(share))


@lru_cache(maxsize=4096)
def latency_shares(median: float, sigma: float, slow: float, slow_by: float) -> tuple[float, ...]:
    """The chance of each latency bucket, cumulative."""

    def below(edge: float, middle: float) -> float:
        return NormalDist(math.log(middle), max(sigma, 1e-9)).cdf(math.log(edge))

    return (
        *((1 - slow) * below(edge, median) + slow * below(edge, median * slow_by) for edge in EDGES_MS),
        1.0,
    )


def binomial(rng: random.Random, n: int, p: float) -> int:
    """How many of n events of chance p happen: exact, in about log n draws for large n (Devroye 1986, X.4.3)."""
    if p <= 0 or n <= 0:
        return 0
    if p >= 1:
        return n
    hits = 0
    while n > 64:
        middle = n // 2 + 1
        cut = rng.betavariate(middle, n + 1 - middle)
        if cut > p:
            n, p = middle - 1, p / cut
        else:
            hits, n, p = hits + middle, n - middle, (p - cut) / (1 - cut)
    return hits + sum([rng.random() < p for _ in range(n)])


def poisson(rng: random.Random, mean: float) -> int:
    """How many requests come where so many are expected."""
    count = 0
    while mean > 500:
        part = rng.gammavariate(400, 1)
        if part > mean:
            return count + binomial(rng, 399, mean / part)
        mean, count = mean - part, count + 400
    limit, product = math.exp(-mean), rng.random()
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


@dataclass(slots=True)
class SimulatedVersion:
    """One version under load: what it has been asked and not answered yet."""

    rng: random.Random
    hanging: deque[tuple[float, int]] = field(default_factory=deque)
    slow_from: int = BUCKETS
    """Answers in this latency bucket or above are bad answers."""
    late_from_ms: float = math.inf
    """Streams whose first token comes later are bad answers."""
    requests: int = 0
    bad: int = 0
    """Failed, unanswered or slow."""
    in_flight: list[tuple[float, float, bool, float]] = field(default_factory=list)
    """A heap of the requests that are answered later: when, their seconds, whether the client gives up, and the
    milliseconds to their first token, 0 without one."""

    def serve(self, server: Server, n: int, now: float) -> Sample:
        """What n requests become in the tick that ends now."""
        rng = self.rng
        hung = binomial(rng, n, server.hang)
        if hung:
            self.hanging.append((now, hung))
        timeouts = 0
        while self.hanging and self.hanging[0][0] <= now - TIMEOUT:
            timeouts += self.hanging.popleft()[1]
        answered = n - hung
        failed = binomial(rng, answered, server.errors)
        refused = binomial(rng, answered - failed, server.client_errors / max(1e-12, 1 - server.errors))
        timed = answered if server.error_ms is None else answered - failed
        counts = self._latency(server, timed)
        slow = sum([count for bucket, count in counts.items() if bucket >= self.slow_from])
        if server.error_ms is not None and failed:
            counts[bucket_of(server.error_ms)] += failed
        if timeouts:
            counts[bucket_of(TIMEOUT * 1000)] += timeouts
        self.requests += n
        self.bad += hung + failed + refused + slow
        errors = {"5xx": failed + timeouts + server.poison, "4xx": refused}
        ok = answered - failed - refused
        if server.seconds:
            return self._answer_later(server, n, ok, errors, now)
        if server.poison:
            counts[bucket_of(FAST_MS)] += server.poison
        return Sample.of_buckets(n + server.poison, ok, errors, counts)

    def _answer_later(self, server: Server, n: int, good: int, errors: dict[str, int], now: float) -> Sample:
        """Failures are answered at once, the others when their seconds are over."""
        assert server.seconds
        for _ in range(good):
            seconds, gives_up = self.rng.uniform(*server.seconds), self.rng.random() < server.cancels
            lasts = seconds * self.rng.random() if gives_up else seconds
            first = self.rng.lognormvariate(math.log(server.first_ms), FIRST_SIGMA) if server.first_ms else 0.0
            self.bad += first > self.late_from_ms
            heapq.heappush(self.in_flight, (now + lasts, lasts, gives_up, first))
        counts, ok, cancelled = Counter({bucket_of(server.error_ms or FAST_MS): sum(errors.values())}), 0, 0
        firsts: Counter[int] = Counter()
        while self.in_flight and self.in_flight[0][0] <= now:
            _, lasted, gave_up, first = heapq.heappop(self.in_flight)
            if 0 < first < lasted * 1000:
                firsts[bucket_of(first)] += 1
            if gave_up:
                cancelled += 1
            else:
                ok += 1
                counts[bucket_of(lasted * 1000)] += 1
        sample = Sample.of_buckets(n, ok, errors, counts)
        return replace(sample, in_progress=len(self.in_flight), cancelled=cancelled, ttft=with_edges(firsts))

    def _latency(self, server: Server, n: int) -> Counter[int]:
        cumulative = latency_shares(server.median, server.sigma, server.slow, server.slow_by)
        if n <= ONE_BY_ONE:
            return Counter(self.rng.choices(range(BUCKETS), cum_weights=cumulative, k=n))
        return _multinomial(self.rng, n, cumulative)


def _multinomial(rng: random.Random, n: int, cumulative: Sequence[float]) -> Counter[int]:
    counts: Counter[int] = Counter()
    below = 0.0
    for bucket, reached in enumerate(cumulative):
        if n <= 0:
            break
        if reached > below:
            here = binomial(rng, n, (reached - below) / (1 - below))
            counts[bucket], n, below = here, n - here, reached
    return counts
