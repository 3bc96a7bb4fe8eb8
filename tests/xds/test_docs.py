"""The page of the protocol's rules is held to the suite."""

import re
from pathlib import Path

from tests.support.pages import exists

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "xds-rules.md"


def test_every_test_that_the_rules_name_exists() -> None:
    """By its file, its class and its name."""
    named = set(re.findall(r"(tests/[\w/]+\.py)((?:::\w+)*)", PAGE.read_text()))
    missing = [path + name for path, name in named if not exists(ROOT / path, name.split("::")[1:])]
    assert missing == []


def test_every_rule_has_its_tests_or_a_reason() -> None:
    """All of them, in order; and so has every bug of others."""
    rules, _, bugs = PAGE.read_text().partition("## What others got wrong")
    rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", rules, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 55))
    assert [number for number, shown in rows if "tests/" not in shown] == ["33", "48"]
    found = re.findall(r"^\| ([^|]*#\d+[^|]*) \| .* \| (.*) \|$", bugs, re.M)
    assert len(found) == 14
    assert all("tests/" in shown for _, shown in found)
