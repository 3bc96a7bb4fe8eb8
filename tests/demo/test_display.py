"""What the demo tells at its end: the same to people and, with `-o json`, to programs."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from controller.demo.display import Display
from controller.demo.scenarios import ScenarioRun


def play(title: str, **checks: bool) -> ScenarioRun:
    """An act that is over, with these checks."""
    nothing: Any = None
    made = ScenarioRun(title, nothing, nothing, lambda _: None, lambda: None)
    for text, ok in checks.items():
        made.check(text, ok)
    made.tell("it took 3 s")
    return made


def test_the_summary_is_told_to_people_and_kept_for_programs() -> None:
    """Every check with whether it was seen, every measurement, and whether the act as a whole was seen."""
    paper = StringIO()
    display = Display(Console(file=paper))
    witness: Any = SimpleNamespace(answers=[1, 2], load=SimpleNamespace(unsent=0))
    display.summary([play("promoted", moved=True, clean=True), play("taken back", moved=True, clean=False)], witness)
    assert "NOT SEEN  clean" in paper.getvalue()
    assert [(act["title"], act["ok"]) for act in display.acts] == [("promoted", True), ("taken back", False)]
    assert display.acts[1]["checks"] == [{"text": "moved", "seen": True}, {"text": "clean", "seen": False}]
    assert display.acts[0]["measured"] == ["it took 3 s"]
