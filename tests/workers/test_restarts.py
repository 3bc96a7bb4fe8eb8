"""When a worker that has ended is started again."""

import itertools

import pytest

from controller.workers.restarts import FIRST_PAUSE, LONGEST_PAUSE, STEADY, Restarts, describe_exit


def test_pauses_double_up_to_the_longest() -> None:
    """A worker that ends at once again and again takes little CPU, and is tried forever."""
    restarts = Restarts()
    pauses = [restarts.pause_after(1.0) for _ in range(12)]
    assert pauses[0] == FIRST_PAUSE
    assert all(after == min(2 * before, LONGEST_PAUSE) for before, after in itertools.pairwise(pauses))
    assert (pauses[-1], restarts.number) == (LONGEST_PAUSE, 12)


def test_a_worker_that_ran_for_long_is_started_again_at_once() -> None:
    """What ended it before has passed."""
    restarts = Restarts()
    for _ in range(12):
        restarts.pause_after(STEADY - 1)
    assert restarts.pause_after(STEADY) == FIRST_PAUSE
    assert restarts.pause_after(0.0) == 2 * FIRST_PAUSE


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (1, "exit code 1"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_exit_is_described(code: int, text: str) -> None:
    """A signal has its name."""
    assert describe_exit(code) == text
