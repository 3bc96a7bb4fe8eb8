"""What the demo reports at its end: the same to people and, with `-o json`, to programs."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from controller.demo.display import Display
from controller.demo.scenario_run import Act


def finished(title: str, **checks: bool) -> Act:
    """A finished scenario, with these checks."""
    run = Act(title=title, show=lambda _: None)
    for text, ok in checks.items():
        run.check(text, ok)
    run.measure("it took 3 s")
    return run


def test_the_summary_is_printed_and_kept_as_json() -> None:
    """Every check with whether it was seen, every measurement, and whether the whole scenario was."""
    paper = StringIO()
    display = Display(Console(file=paper))
    load: Any = SimpleNamespace(results=[1, 2], unsent=0)
    display.summary(
        [finished("promoted", moved=True, clean=True), finished("rolled back", moved=True, clean=False)], [load]
    )
    assert "NOT SEEN  clean" in paper.getvalue()
    assert [(act["title"], act["ok"]) for act in display.scenarios] == [("promoted", True), ("rolled back", False)]
    assert display.scenarios[1]["checks"] == [{"text": "moved", "seen": True}, {"text": "clean", "seen": False}]
    assert display.scenarios[0]["measured"] == ["it took 3 s"]
