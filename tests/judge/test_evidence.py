"""The bet: its expected value under the null is at most 1, whatever the traffic, the true rates and the guesses."""

from itertools import product
from math import comb, exp, factorial, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.judge.betting import KEPT, Bet, Null, bernoulli_bets, e_value, grown, poisson_bets, score_e_value
from controller.core.judge.paired_counts import PairedCounts


def poisson_bet(null: Null, q: float, p: float, r: float) -> Bet:
    """The one for a single alternative."""
    [bet] = poisson_bets(null, q, (p,), r)
    return bet


def bernoulli_bet(null: Null, q: float, p: float, r: float) -> Bet:
    """Likewise."""
    [bet] = bernoulli_bets(null, q, (p,), r)
    return bet


SIZES = [(1, 1), (1, 5), (2, 7), (4, 4), (6, 2)]
NULLS = [Null(1.0, 0.0), Null(1.1, 0.001), Null(1.0, 0.05), Null(2.0, 0.2), Null(0.0, 0.01), Null(0.0, 0.3)]
RATES = [0.0, 0.001, 0.02, 0.1, 0.35, 0.7, 0.95]
GUESSES = [0.0005, 0.01, 0.2, 0.6]
SLACK = 1e-9


def binomial(n: int, p: float) -> list[float]:
    return [comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)]


def expected(bet: Bet, n_c: int, n_s: int, p_c: float, p_s: float) -> float:
    """The exact expected value of one block, by going through every outcome."""
    return sum(
        chance_c * chance_s * e_value(bet, PairedCounts(n_c, x_c, n_s, x_s))
        for x_c, chance_c in enumerate(binomial(n_c, p_c))
        for x_s, chance_s in enumerate(binomial(n_s, p_s))
    )


@pytest.mark.parametrize("form", [poisson_bet, bernoulli_bet])
@pytest.mark.parametrize("null", NULLS, ids=str)
def test_harm_bet_is_fair_at_the_nulls_edge(form: object, null: Null) -> None:
    """A bet on more errors gains nothing on average while the canary is just allowed, at every rate of stable."""
    for (n_c, n_s), p_s, q, more in product(SIZES, RATES, GUESSES, [0.005, 0.1, 0.4]):
        p_c, guessed = null.ratio * p_s + null.margin, null.ratio * q + null.margin
        if p_c > 1 or guessed + more >= 1:
            continue
        bet = form(null, q, guessed + more, n_c / n_s)  # type: ignore[operator]
        assert expected(bet, n_c, n_s, p_c, p_s) <= 1 + SLACK, (n_c, n_s, p_s, q, more)


@pytest.mark.parametrize("form", [poisson_bet, bernoulli_bet])
def test_proof_of_no_harm_is_fair_at_the_opposite_nulls_edge(form: object) -> None:
    """A bet on no harm gains nothing on average while the canary is worse by the whole margin."""
    for (n_c, n_s), p_s, q, margin in product(SIZES, RATES, GUESSES, [0.004, 0.05, 0.2]):
        if p_s + margin > 1 or q + margin >= 1:
            continue
        bet = form(Null(1.0, margin), q, q, n_c / n_s)  # type: ignore[operator]
        assert expected(bet, n_c, n_s, p_s + margin, p_s) <= 1 + SLACK, (n_c, n_s, p_s, q, margin)


@given(
    st.integers(1, 6),
    st.integers(1, 8),
    st.floats(0, 1),
    st.floats(0.0001, 0.9),
    st.floats(0.0001, 0.9),
    st.floats(0, 3),
    st.floats(0, 0.5),
    st.floats(0, 1),
)
def test_a_bet_is_fair_everywhere_in_the_null(
    n_c: int, n_s: int, p_s: float, q: float, above: float, ratio: float, margin: float, inside: float
) -> None:
    """Nothing about the guesses has to be right: in any form, anywhere in the null, a bet on harm is fair."""
    null = Null(ratio, margin)
    allowed = ratio * q + margin
    target = allowed + above
    if target >= 0.99 or allowed < 1e-6:
        return
    p_c = min(1.0, ratio * p_s + margin) * inside
    if ratio * p_s + margin > 1:
        return
    for bet in (poisson_bet(null, q, target, n_c / n_s), bernoulli_bet(null, q, target, n_c / n_s)):
        assert expected(bet, n_c, n_s, p_c, p_s) <= 1 + 1e-7


def test_a_score_is_fair_too() -> None:
    """Ranks instead of events: fair if the canary's mean is stable's plus the margin, however its scores are spread."""
    scores, null = (0.1, 0.5, 0.9), Null(1.0, 0.05)
    stable = (0.3, 0.4, 0.3)
    for canary in ((0.2375, 0.4, 0.3625), (0.3, 0.275, 0.425), (0.0, 0.875, 0.125)):
        assert sum(s * p for s, p in zip(scores, canary, strict=True)) <= 0.55 + 1e-12
        for n_c, n_s, q, more in product([1, 2, 3], [1, 3], [0.3, 0.5, 0.7], [0.05, 0.2]):
            total = 0.0
            for counts_c, counts_s in product(_splits(n_c, 3), _splits(n_s, 3)):
                chance = _multinomial(counts_c, canary) * _multinomial(counts_s, stable)
                total += chance * score_e_value(null, q, q + 0.05 + more, scores, counts_c, counts_s)
            assert total <= 1 + SLACK, (canary, n_c, n_s, q, more)


def test_equality_is_the_known_likelihood_ratio() -> None:
    """With ratio 1 and margin 0 the bet is the binomial likelihood ratio given all events (Lindon and Malek)."""
    for r, kappa, (x_c, x_s) in product([0.05, 0.5, 1.0, 3.0], [2.0, 10.0], [(0, 3), (2, 1), (5, 40)]):
        q = 0.01
        bet = poisson_bet(Null(1.0, 0.0), q, kappa * q, r)
        usual, claimed = r / (1 + r), kappa * r / (1 + kappa * r)
        ratio = (claimed / usual) ** x_c * ((1 - claimed) / (1 - usual)) ** x_s
        assert isclose(e_value(bet, PairedCounts(1000, x_c, 1000 / r, x_s)), ratio, rel_tol=1e-9)


def test_the_bet_grows_fastest_of_its_family() -> None:
    """Where its guesses are right, no other stake grows faster on average: it is the reverse information projection."""
    null, q, p, r = Null(1.1, 0.001), 0.002, 0.022, 0.4

    def growth(bet: Bet) -> float:
        event_c, other_c, event_s, other_s = bet
        # Poisson counts: the cost per request is what `other` holds, the gain per event the difference.
        return p * (event_c - other_c) + other_c + (q * (event_s - other_s) + other_s) / r

    best = growth(poisson_bet(null, q, p, r))
    for other_q, other_p in product([0.0005, 0.001, 0.004, 0.02], [0.006, 0.015, 0.03, 0.2]):
        assert growth(poisson_bet(null, other_q, other_p, r)) <= best + 1e-12


def test_both_forms_agree_where_events_are_rare() -> None:
    """The exact form and the Poisson form differ by next to nothing at a rate of one in ten thousand."""
    null, q, p, r = Null(1.1, 0.0001), 0.0001, 0.001, 0.01
    growths = []
    for bet in (poisson_bet(null, q, p, r), bernoulli_bet(null, q, p, r)):
        on_canary = p * bet.canary_event + (1 - p) * bet.canary_other
        growths.append(on_canary + (q * bet.stable_event + (1 - q) * bet.stable_other) / r)
    assert isclose(*growths, rel_tol=0.02)


def test_one_block_never_takes_everything() -> None:
    """A part of the wealth stays out of every bet, so an incident inside a block costs a factor of 50 at most."""
    assert grown(1.0, 0.0) == KEPT
    assert grown(3.0, 1.0) == pytest.approx(3.0)
    assert grown(1e8, exp(600)) == 1e9


def _splits(n: int, parts: int) -> list[tuple[int, ...]]:
    if parts == 1:
        return [(n,)]
    return [(k, *rest) for k in range(n + 1) for rest in _splits(n - k, parts - 1)]


def _multinomial(counts: tuple[int, ...], chances: tuple[float, ...]) -> float:
    value = float(factorial(sum(counts)))
    for count, chance in zip(counts, chances, strict=True):
        value *= chance**count / factorial(count)
    return value
