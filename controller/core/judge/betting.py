"""The one statistical primitive: a bet on two rates, with a margin, valid at any stopping time.

The question is always whether events (errors, answers slower than b, ...) are more frequent on the
canary than a margin allows:

    null H(ratio, margin):   P_canary(event) <= ratio * P_stable(event) + margin,   at all times

where P_stable may change over time in any way. A block of traffic with n_c and n_s requests, of
which x_c and x_s are events, multiplies the wealth of a bettor against the null by an e-value: a
number that is at least 0 and whose expected value under the null is at most 1. Wealth is then a
supermartingale (an e-process), and by Ville's inequality it ever reaches 1/alpha with probability
at most alpha, however often it is checked and whenever the rollout stops (Ville 1939; Ramdas,
Gruenwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", 2023).

A bet is four log-factors: what one event or one other request adds on either side. It must be
chosen before the block's outcomes are known: from earlier blocks, and from the block's sizes, but
never from its events. With p < the null's rate the same formulas test the opposite null (P_canary
>= ratio * P_stable + margin): evidence of no harm. With ratio 0 they test an absolute limit.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import exp, log, log1p, sqrt
from typing import NamedTuple

from controller.core.judge.paired_counts import PairedCounts


class Null(NamedTuple):
    """P_canary <= ratio * P_stable + margin (or >=, where the bet is on less). Both are at least
    0."""

    ratio: float
    margin: float


class Bet(NamedTuple):
    """What the logarithm of wealth gains by each request, by side and by whether it is an event."""

    canary_event: float
    canary_other: float
    stable_event: float
    stable_other: float


MOST_STABLE = 0.9
"""The largest part of what the bounds allow that is staked on stable's events: at 1, one event
could take all."""
KEPT = 0.02
"""The part of the wealth that stays out of each block's bet, so one block never costs more than a
factor of 50.

(1 - f) + f * e is an e-value if e is. It costs 2 % of the growth; an incident that begins inside a
block would otherwise take everything at once."""
MOST_WEALTH = 1e9
"""Wealth is cut off here. Less wealth is always allowed, and a canary that has recovered can be
seen to have."""
LEAST_RATE = 1e-9
"""A rate or a limit of zero is taken for this: one event must not be infinite evidence."""


def poisson_bets(null: Null, q: float, targets: Sequence[float], r: float) -> list[Bet]:
    """The bets for rare events, each of which grows fastest if P_canary is its target p and
    P_stable is q; r = n_c/n_s.

    With g per canary event and h per stable event, e = g^x_c h^x_s exp(-n_c margin (g-1)). Since
    E[g^x] <= exp(n P (g-1)) for Bernoulli and for Poisson events alike, the expected value is at
    most 1 for every P_stable if h = 1 - ratio r (g-1). The pair that grows fastest is g = p/(ratio
    y + margin), h = q/y, where (ratio y + margin, y) is the null's point nearest to (p, q) (the
    reverse information projection: Gruenwald, de Heide, Koolen, "Safe testing", 2024); inserting
    both into the condition gives a quadratic in y. With ratio 1 and margin 0 this is the likelihood
    ratio of the binomial given x_c + x_s (Lindon, Malek, "Anytime-valid inference for multinomial
    count data", 2022). q and p steer the power alone; the bet is valid whatever their values.
    """
    ratio, margin = null
    bets = []
    if not ratio:
        for p in targets:
            g = p / margin
            cost = margin - margin * g
            bets.append(Bet(log(g) + cost, cost, 0.0, 0.0))
        return bets
    q = q if q > LEAST_RATE else LEAST_RATE
    slope = ratio * r
    lead = 2 * ratio * (1 + slope)
    alike, under = margin * (1 + slope) - ratio * q, 2 * lead * q * margin
    for p in targets:
        middle = alike - slope * p
        y = (sqrt(middle * middle + under) - middle) / lead
        g = p / (ratio * y + margin)
        stake = slope * (g - 1)
        if stake > MOST_STABLE:
            stake, g = MOST_STABLE, 1 + MOST_STABLE / slope
        cost = margin - margin * g
        bets.append(Bet(log(g) + cost, cost, log(1 - stake), 0.0))
    return bets


def bernoulli_bets(null: Null, q: float, targets: Sequence[float], r: float) -> list[Bet]:
    """The bets for events of any frequency, one for each target p of P_canary; q is a guess of
    P_stable, made before the block; r = n_c/n_s.

    With the guess q_c = ratio q + margin and a stake s, a canary request multiplies by 1 + s (event
    - q_c) and a stable one by 1 - ratio r s (event - q). The logarithm of the expected value is
    concave in P_stable with its maximum, 0, at q: valid for every P_stable, whatever the guess.
    This is the two-sample e-variable of Turner, Ly, Gruenwald ("Generic E-variables for exact
    sequential k-sample tests", 2024) in closed form, with a margin and for sides of unequal size.
    The stake is the one that grows fastest to second order, kept where every factor is positive.
    """
    ratio, margin = null
    q_c, slope = ratio * q + margin, ratio * r
    other, other_c = 1 - q, 1 - q_c
    spread = q_c * other_c + slope * ratio * q * other
    bets = []
    for p in targets:
        s = (p - q_c) / spread
        if s > 0:
            if slope * s * other > MOST_STABLE:
                s = MOST_STABLE / (slope * other)
        elif -slope * s * q > MOST_STABLE:
            s = -MOST_STABLE / (slope * q)
        if -s * other_c > MOST_STABLE:
            s = -MOST_STABLE / other_c
        b = slope * s
        bets.append(Bet(log1p(s * other_c), log1p(-s * q_c), log1p(-b * other), log1p(b * q)))
    return bets


HIGHEST = 0.97
"""No bet is on a larger share: nothing would be left for the request that goes well."""
RARE = 0.15
"""Up to this rate the Poisson form loses nothing worth having, and it needs no guess of stable's
rate to be right."""


MOST_GAIN = log(MOST_WEALTH)
"""Where the exponential is cut off."""


def e_value(bet: Bet, counts: PairedCounts) -> float:
    """The e-value of a block: the factor by which it multiplies a wealth that is staked whole."""
    event_c, other_c, event_s, other_s = bet
    n_c, x_c, n_s, x_s = counts
    gain = x_c * event_c + (n_c - x_c) * other_c + x_s * event_s + (n_s - x_s) * other_s
    return exp(gain if gain < MOST_GAIN else MOST_GAIN)


def e_values(null: Null, q: float, targets: Sequence[float], r: float, counts: PairedCounts) -> list[float]:
    """The e-values of a block for several alternatives in rising order, each in the form that fits
    it."""
    rare = bisect_right(targets, RARE)
    bets = poisson_bets(null, q, targets[:rare], r) if rare else []
    if rare < len(targets):
        bets += bernoulli_bets(null, q, targets[rare:], r)
    return payoffs(bets, counts)


def payoffs(bets: Sequence[Bet], counts: PairedCounts) -> list[float]:
    """The e-values of a block by several bets."""
    n_c, x_c, n_s, x_s = counts
    y_c, y_s = n_c - x_c, n_s - x_s
    gains = []
    for event_c, other_c, event_s, other_s in bets:
        gain = x_c * event_c + y_c * other_c + x_s * event_s + y_s * other_s
        gains.append(exp(gain if gain < MOST_GAIN else MOST_GAIN))
    return gains


def score_e_value(
    null: Null, q: float, p: float, scores: Sequence[float], canary: Sequence[float], stable: Sequence[float]
) -> float:
    """The e-value of a score in 0..1 instead of an event: its null is about the means. Counts are
    per score.

    The same proof: each factor is linear in the score, so only the score's mean enters the expected
    value. The stake takes the score's spread to be that of ranks, 1/12; it steers the power alone.
    """
    n_c, n_s = sum(canary), sum(stable)
    ratio = null.ratio
    q_c = ratio * q + null.margin
    bound = ratio * n_c / n_s
    s = (p - q_c) / (_SPREAD + (p - q_c) ** 2 + bound * ratio * _SPREAD)
    s = min(s, MOST_STABLE / q_c, MOST_STABLE / (bound * (1 - q)))
    b = bound * s
    gain = 0.0
    for score, c, t in zip(scores, canary, stable, strict=True):
        if c:
            gain += c * log1p(s * (score - q_c))
        if t:
            gain += t * log1p(-b * (score - q))
    return exp(gain if gain < MOST_GAIN else MOST_GAIN)


def one_sample_score_e_value(q: float, p: float, scores: Sequence[float], canary: Sequence[float]) -> float:
    """Likewise of a mean score that is known: the null is that the canary's is at most `q`."""
    s = min((p - q) / (_SPREAD + (p - q) ** 2), MOST_STABLE / q)
    gain = sum([count * log1p(s * (score - q)) for score, count in zip(scores, canary, strict=True) if count])
    return exp(gain if gain < MOST_GAIN else MOST_GAIN)


_SPREAD = 1 / 12
"""The variance of ranks that are spread evenly over 0 to 1."""


def grown(wealth: float, e: float) -> float:
    """Wealth after a block, a small part of it kept out of the bet."""
    after = wealth * (KEPT + (1 - KEPT) * e)
    return after if after < MOST_WEALTH else MOST_WEALTH
