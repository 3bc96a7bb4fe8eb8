"""Numbers in words: one of a thing, and several."""

import pytest

from controller.core.base.units import counted, percentage_points

pytestmark = pytest.mark.proves("track-record 73")


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 proxies"), (1, "1 proxy"), (2, "2 proxies"), (1000, "1000 proxies")]
)
def test_one_is_one_and_all_else_is_many(number: int, words: str) -> None:
    """Also where the plural is another word."""
    assert counted(number, "proxy", "proxies") == words
    assert counted(number, "line") == f"{number} line" + ("" if number == 1 else "s")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.01, "1 percentage point"),
        (0.001, "0.1 percentage points"),
        (0.07, "7 percentage points"),
        (0.0, "0 percentage points"),
    ],
)
def test_a_difference_of_shares_in_points(share: float, words: str) -> None:
    """One point is one point."""
    assert percentage_points(share) == percentage_points(share, 3) == words


def test_a_share_that_is_shown_as_one_point_is_one_point() -> None:
    """What counts is what is read."""
    assert percentage_points(0.010004, 3) == "1 percentage point"
    assert percentage_points(0.010004) == "1.0004 percentage points"
