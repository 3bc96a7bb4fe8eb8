"""The fault points themselves: nothing in production, exact in a test, refused by mistake."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import controller
from controller.core.base.errors import Refusal
from controller.process.fault_points import POINTS, Action, Injected, arm, reach, read_faults
from controller.settings import read_settings

CODE = Path(controller.__file__).parent


@pytest.fixture(autouse=True)
def _disarmed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HALDANE_FAULT_POINTS", raising=False)
    monkeypatch.delenv("HALDANE_TEST_MODE", raising=False)
    yield
    arm({})


def test_every_point_is_somewhere_in_the_code_and_none_is_unknown() -> None:
    """The table of points is what can be reached, no more and no less."""
    reached = {name for path in CODE.rglob("*.py") for name in re.findall(r'\breach\("([^"]+)"', path.read_text())}
    assert reached == POINTS.keys()


def test_unarmed_a_point_does_nothing() -> None:
    """However often it is reached."""
    for _ in range(1000):
        reach("commit:before", "rollback")


def test_a_point_strikes_at_the_visit_that_was_named_and_at_no_other() -> None:
    """The second one; not the first, not the third; and not at other points."""
    arm(read_faults("commit:before=raise@2"))
    reach("commit:before", "rollback")
    reach("commit:after", "rollback")
    with pytest.raises(Injected, match="commit:before"):
        reach("commit:before")
    reach("commit:before")


def test_a_point_strikes_for_what_is_on_its_way() -> None:
    """A rollback's commit, not another one's."""
    arm(read_faults("commit:before/rollback=raise"))
    reach("commit:before", "step_advanced")
    for _ in range(2):
        with pytest.raises(Injected):
            reach("commit:before", "rollback")


def test_several_faults_are_read_with_what_each_needs() -> None:
    """As one setting tells them."""
    found = read_faults("commit:after/rollback=kill@2,push:before=sleep:0.5")
    assert found["commit:after/rollback"].action is Action.KILL
    assert found["commit:after/rollback"].nth == 2
    assert found["push:before"].seconds == 0.5


@pytest.mark.proves("bad-input fault points")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("commit", "is no POINT"),
        ("commit:before", "is no POINT"),
        ("commit:sideways=kill", "there is no point 'commit:sideways'"),
        ("commit:before=explode", "there is no action 'explode'"),
        ("commit:before=sleep", "needs seconds"),
        ("commit:before=kill:3", "has no seconds"),
        ("commit:before=sleep:3600", "at most 60 seconds"),
        ("commit:before=kill@first", "is no POINT"),
    ],
)
def test_a_mistake_is_named(text: str, told: str) -> None:
    """With what would be right."""
    with pytest.raises(ValueError, match=re.escape(told)):
        read_faults(text)


@pytest.mark.proves("bad-input fault points")
def test_outside_test_mode_fault_points_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that kills the controller must not be there by accident."""
    monkeypatch.setenv("HALDANE_FAULT_POINTS", "commit:before=kill")
    with pytest.raises(Refusal, match=r"HALDANE_FAULT_POINTS: .*refused unless HALDANE_TEST_MODE=1"):
        read_settings()
    monkeypatch.setenv("HALDANE_TEST_MODE", "1")
    assert read_settings().fault_points == "commit:before=kill"


def test_a_wrong_fault_point_is_refused_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that arms nothing would prove nothing."""
    monkeypatch.setenv("HALDANE_TEST_MODE", "1")
    monkeypatch.setenv("HALDANE_FAULT_POINTS", "comit:before=kill")
    with pytest.raises(Refusal, match="HALDANE_FAULT_POINTS: there is no point 'comit:before'"):
        read_settings()
