"""Who is told of what: filters, and how severe each kind of ledger line is."""

import ast
import re
from pathlib import Path

import pytest

from controller.core.model.ledger_kind import LedgerKind, severity_of
from controller.core.model.severity import Severity
from controller.notify.target import Target
from tests.notify.ledger import line
from tests.notify.snippets import DOCS

CONTROLLER = Path(__file__).parents[2] / "controller"


def test_every_line_of_the_ledger_has_a_kind_of_the_enum() -> None:
    """No kind is a literal in the program's text: each is declared with its severity, so that no one is woken for it,
    or left asleep, by accident."""
    for path in CONTROLLER.rglob("*.py"):
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        literal = [node for call in calls for node in _kinds(call) if isinstance(node, ast.Constant)]
        assert not literal, f"{path}: {[node.value for node in literal]}"


def _kinds(call: ast.Call) -> list[ast.expr]:
    """The arguments that are kinds, in `Entry(kind=...)`, `ledger.update(state, begins, ends)`."""
    match call.func:
        case ast.Name(id="Entry"):
            return [keyword.value for keyword in call.keywords if keyword.arg == "kind"]
        case ast.Attribute(attr="update", value=ast.Attribute(attr="_ledger")):
            return call.args[1:3]
        case _:
            return []


def test_the_documentation_lists_every_kind() -> None:
    """The table says what the program does."""
    text = (DOCS / "notifications.md").read_text()
    table = {
        severity: set(re.findall(r"`(\w+)`", kinds))
        for severity, kinds in re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.M)
    }
    assert table == {
        severity.name.lower(): {kind.value for kind in LedgerKind if kind.severity is severity} for severity in Severity
    }


def test_an_unknown_kind_is_rather_told() -> None:
    """As one written by a newer controller."""
    assert severity_of("something_new") is Severity.WARNING


@pytest.mark.parametrize(
    ("settings", "kind", "service", "wanted"),
    [
        ({}, "step_advanced", "scorer", True),
        ({"severity": "critical"}, "rollback", "scorer", True),
        ({"severity": "critical"}, "rolled_back", "scorer", False),
        ({"severity": "warning"}, "promoted", "scorer", False),
        ({"kinds": ["promoted"]}, "promoted", "scorer", True),
        ({"kinds": ["promoted"]}, "rollback", "scorer", False),
        ({"kinds": ["promoted"], "severity": "critical"}, "promoted", "scorer", False),
        ({"services": ["scorer"]}, "rollback", "scorer", True),
        ({"services": ["scorer"]}, "rollback", "ranker", False),
        ({"services": ["scorer"]}, "freeze_set", "ranker,scorer", True),
        ({"services": ["scorer"]}, "freeze_set", "ranker,scorer-2", False),
        ({"services": ["scorer"]}, "freeze_set", "*", True),
        ({"services": ["scorer"]}, "proxy_refused", "", True),
    ],
)
def test_a_target_is_told_what_passes_all_its_filters(
    settings: dict[str, object], kind: str, service: str, wanted: bool
) -> None:
    """Severity, kinds and services; what concerns everybody passes every filter of services."""
    target = Target.model_validate({"url": "http://x/", **settings})
    assert target.wants(line(1, kind, service=service)) is wanted


def test_our_own_summary_is_no_kind_that_the_ledger_has() -> None:
    """It is told and never stored."""
    mention = [path.name for path in CONTROLLER.rglob("*.py") if "NOTIFICATIONS_SKIPPED" in path.read_text()]
    assert sorted(mention) == ["ledger_kind.py", "retrying_delivery.py"]
