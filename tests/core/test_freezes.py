"""What stops what: the truth table of freezes, and which of several is named."""

from math import inf

import pytest

from controller.core.model.freeze import (
    ALL,
    STOPS,
    Act,
    Freeze,
    Mode,
    blocking_freeze,
    describe_freeze,
    describe_remaining,
    expiry_times,
    first_over_limit,
    freezes_over,
)
from tests.builders import freeze

TABLE = """
                 freeze  hold
forced_rollback  passes  passes
rollback         stops   passes
advance          stops   stops
delete           stops   stops
fallback         stops   passes
record           passes  passes
"""
"""Forced rollback > freeze > rollback > hold > advance."""

CELLS = [
    (Act(row.split()[0]), mode, cell == "stops")
    for row in TABLE.strip().splitlines()[1:]
    for mode, cell in zip((Mode.FREEZE, Mode.HOLD), row.split()[1:], strict=True)
]


def test_the_table_is_whole() -> None:
    """Every act under every mode has an answer."""
    assert {(act, mode) for act, mode, _ in CELLS} == {(act, mode) for act in Act for mode in Mode}
    assert set(STOPS) == set(Mode)


@pytest.mark.parametrize(("act", "mode", "stops"), CELLS, ids=[f"{a}-{m}" for a, m, _ in CELLS])
@pytest.mark.parametrize("scope", [ALL, "scorer", "other", "scorer2"])
def test_a_freeze_stops_what_the_table_says_where_it_applies(act: Act, mode: Mode, stops: bool, scope: str) -> None:
    """A scope is a service's whole name, or all."""
    held = freeze(scope, mode=mode)
    applies = scope in (ALL, "scorer")
    assert blocking_freeze([held], "scorer", act) == (held if stops and applies else None)


def test_no_freeze_stops_nothing() -> None:
    """And neither do those of others."""
    assert all(blocking_freeze([], "scorer", act) is None for act in Act)


ALL_FREEZE, ALL_HOLD = freeze(ALL), freeze(ALL, mode=Mode.HOLD)
OWN_FREEZE, OWN_HOLD = freeze("scorer"), freeze("scorer", mode=Mode.HOLD)


@pytest.mark.parametrize(
    ("freezes", "act", "named"),
    [
        ([OWN_HOLD, ALL_HOLD, OWN_FREEZE, ALL_FREEZE], Act.ADVANCE, ALL_FREEZE),
        ([OWN_HOLD, ALL_HOLD, OWN_FREEZE], Act.ADVANCE, OWN_FREEZE),
        ([OWN_HOLD, ALL_HOLD], Act.ADVANCE, ALL_HOLD),
        ([ALL_HOLD, OWN_FREEZE], Act.ROLLBACK, OWN_FREEZE),
        ([ALL_HOLD, OWN_HOLD], Act.ROLLBACK, None),
    ],
)
def test_the_strongest_and_widest_is_named(freezes: list[Freeze], act: Act, named: Freeze | None) -> None:
    """Who reads the refusal learns of the one that matters most."""
    assert blocking_freeze(freezes, "scorer", act) == named
    assert blocking_freeze(reversed(freezes), "scorer", act) == named


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (freeze(ALL), "all services are frozen by grace: incident 42"),
        (freeze("scorer"), "scorer is frozen by grace: incident 42"),
        (freeze("scorer", mode=Mode.HOLD), "scorer is on hold by grace: incident 42"),
    ],
)
def test_a_freeze_is_told_with_who_and_why(held: Freeze, words: str) -> None:
    """What a refused operator reads."""
    assert describe_freeze(held) == words


def test_a_freeze_that_ends_says_when() -> None:
    """So that no one waits at the door without need."""
    told = describe_freeze(freeze(ALL, until=1_700_000_000.0))
    assert told == "all services are frozen by grace: incident 42 (until 2023-11-14 22:13:20 UTC)"


@pytest.mark.proves("fault 6")
def test_the_end_of_a_freeze_is_fixed_when_it_is_first_seen() -> None:
    """Each has its own; a wall clock that jumps later moves none, and what is gone is forgotten."""
    short, long, endless = freeze("scorer", until=1030.0), freeze("scorer", until=1060.0), freeze("scorer")
    ends = expiry_times([short, endless], {}, now=5.0, wall=1000.0, arriving=False)
    assert ends == {short: 35.0, endless: inf}
    later = expiry_times([long, endless], ends, now=7.0, wall=5000.0, arriving=False)
    assert later == {long: 7.0 - 3940.0, endless: inf}
    assert expiry_times([short], ends, now=7.0, wall=5000.0, arriving=False) == {short: 35.0}


@pytest.mark.proves("fault 6", "track-record 81")
@pytest.mark.parametrize("wall", [0.0, 1000.0, 5000.0])
def test_a_freeze_that_arrives_stands_for_its_ttl_whatever_time_it_is(wall: float) -> None:
    """Another controller's clock may be an hour off, or this one's."""
    held = freeze("scorer", since=1000.0, until=1030.0)
    assert expiry_times([held, freeze()], {}, now=5.0, wall=wall, arriving=True) == {held: 35.0, freeze(): inf}


def test_a_freeze_that_stood_before_stands_no_longer_than_its_ttl() -> None:
    """Also where the clock says that it was set in the future."""
    held = freeze("scorer", since=1000.0, until=1030.0)
    assert expiry_times([held], {}, now=5.0, wall=0.0, arriving=False) == {held: 35.0}


STANDING = [freeze(ALL, reason="a"), freeze("scorer", reason="b"), freeze("other", mode=Mode.HOLD, reason="c")]


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        (["scorer freeze new"], "scorer"),
        (["* freeze new"], "*"),
        (["other hold new"], "other"),
        (["* freeze a"], ""),
        (["other freeze new"], ""),
        (["scorer hold new"], ""),
        (["third freeze new"], ""),
        (["* hold new"], ""),
        (["third freeze new", "scorer freeze new"], "scorer"),
        (["third freeze new", "scorer freeze b"], ""),
    ],
)
def test_beyond_the_limit_only_what_is_frozen_already_is_not_frozen_again(wanted: list[str], refused: str) -> None:
    """What renews a freeze, and a scope's first freeze or hold, is let through; with room everything is."""
    freezes = [
        freeze(scope, mode=Mode(mode), reason=reason) for scope, mode, reason in (words.split() for words in wanted)
    ]
    for most in (1, len(STANDING)):
        found = first_over_limit(STANDING, freezes, most)
        assert (found.scope if found else "") == refused
    assert first_over_limit(STANDING, freezes, len(STANDING) + len(freezes)) is None


@pytest.mark.parametrize(
    ("freezes", "scopes", "words"),
    [
        ([], ["scorer"], ""),
        ([freeze("other")], ["scorer"], ""),
        ([freeze("other")], ["scorer", "other"], "; still in force: other is frozen by grace: incident 42"),
        ([freeze("other")], [ALL], "; still in force: other is frozen by grace: incident 42"),
        ([freeze(ALL)], ["scorer"], "; still in force: all services are frozen by grace: incident 42"),
        (
            [OWN_HOLD, ALL_HOLD, OWN_FREEZE],
            ["scorer"],
            "; still in force: scorer is frozen by grace: incident 42, and 2 more",
        ),
    ],
)
def test_who_ends_a_freeze_hears_what_still_stands(freezes: list[Freeze], scopes: list[str], words: str) -> None:
    """The strongest by whom and why, and how many more: over a service those of all count, over all those of each."""
    assert describe_remaining(freezes_over(freezes, scopes)) == words
