"""The alerts: each fires when it should and not otherwise, asks for metrics that exist, and says what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.core.control.blocker import BlockerKind

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CASES = Path(__file__).with_name("alert_cases.yaml")
RULES: list[dict[str, Any]] = [r for group in yaml.safe_load(ALERTS.read_text())["groups"] for r in group["rules"]]
PASSING = {
    BlockerKind.NO_ROLLOUT,
    BlockerKind.WARM_UP,
    BlockerKind.DWELL,
    BlockerKind.BAKE,
    BlockerKind.EVIDENCE,
    BlockerKind.SUSPICION,
}
"""What a rollout waits for in its usual course."""
METRICS = set(re.findall(r"^\| `(haldane_\w+)", (ROOT / "docs" / "metrics.md").read_text(), re.M))


@pytest.mark.requires("promtool")
@pytest.mark.parametrize("command", [("check", "rules", "--lint-fatal", str(ALERTS)), ("test", "rules", str(CASES))])
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    """Neither in the rules, nor in when they fire."""
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """Else a rule that always or never fires would pass."""
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_how_bad_it_is_what_is_wrong_and_where_to_read_what_to_do(rule: dict[str, Any]) -> None:
    """Its runbook is a section of a page that is there, and its metrics are Haldane's."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    page, _, section = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.M)
    assert section in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"haldane_\w+", rule["expr"])) <= METRICS


def test_every_blocker_either_passes_by_itself_or_has_an_alert() -> None:
    """A new kind of blocker must be given its place."""
    matched = [words for rule in RULES for words in re.findall(r'blocker=~"([^"]+)"', rule["expr"])]
    named = {word for words in matched for word in words.split("|")}
    assert set(BlockerKind) - PASSING == named
