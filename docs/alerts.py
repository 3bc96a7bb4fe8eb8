"""The alerts of deploy/prometheus/alerts.yaml as rows of a table."""

import re
from pathlib import Path
from typing import Any

import yaml

ALERTS = Path(__file__).parents[1] / "deploy" / "prometheus" / "alerts.yaml"
_SUBJECT = re.compile(r"^\{\{ \$labels\.\w+ }}: ")
"""What a summary begins with: whom the alert is about."""
_LABEL = re.compile(r"\{\{ \$(?:labels\.)?(\w+)[^}]*}}")


def rules() -> list[dict[str, Any]]:
    """Every alerting rule, in the order of the file."""
    return [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def rows() -> list[list[str]]:
    """Alert with a link to its section, severity, for how long it must hold, and what it says."""
    return [
        [
            f"[{rule['alert']}](#{rule['annotations']['runbook_url'].partition('#')[2]})",
            rule["labels"]["severity"],
            rule.get("for", "at once"),
            _LABEL.sub(lambda label: label[1].upper(), _SUBJECT.sub("", rule["annotations"]["summary"])),
        ]
        for rule in rules()
    ]
