"""Files with many mistakes and files of maximum size: every violation is reported, in bounded time."""

import pytest

from controller.core.servicefile.service_file import read_service
from controller.core.servicefile.violation_report import MAX_VIOLATIONS
from controller.core.servicefile.yaml_tree import MAX_BYTES
from tests.spec.files import END, LINE, file


def test_every_mistake_is_reported_at_once() -> None:
    """An operator corrects a file in one go: all violations come together, by line, the contradictions too."""
    text = file(
        "  errors: {ratio: 0}",
        "timeot: 5s",
        service="service: Scorer",
        listen="listen: {port: 0}",
        stable="stable: v3",
        steps="  steps: [50%, 5%, 0%]",
        dwell="  dwell: soon",
    )
    assert [(v.line, v.field) for v in read_service(text).violations] == [
        (LINE["service"], "service"),
        (LINE["listen"], "listen.port"),
        (LINE["stable"], "stable"),
        (LINE["steps"], "policy.steps[2]"),
        (LINE["dwell"], "policy.dwell"),
        (END, "policy.errors.ratio"),
        (END + 1, "timeot"),
    ]


def test_every_missing_key_is_reported() -> None:
    """A file with nothing but a name lists every required key."""
    assert {(v.field, v.message) for v in read_service("service: scorer\n").violations} == {
        ("listen", "is missing: an address and a port, or route_config for a listener of your own"),
        ("versions", "is missing"),
        ("stable", "is missing"),
    }


def test_lines_count_in_long_form_too() -> None:
    """The line is that of the value itself, whatever the layout of the file."""
    text = file(steps="  steps:\n    - 5%\n    - 0%", v1="  v1:\n    endpoints:\n      - a:1\n      - b:0")
    assert [(v.line, v.field) for v in read_service(text).violations] == [
        (7, "versions.v1.endpoints[1]"),
        (13, "policy.steps[1]"),
    ]


def test_violations_beyond_the_limit_are_counted() -> None:
    """The first hundred are reported, the rest are counted."""
    found = read_service("".join(f"k{n}: 1\n" for n in range(5000)) + file()).violations
    assert len(found) == MAX_VIOLATIONS + 1
    assert found[-1].message == f"and {5000 - MAX_VIOLATIONS} violations more"


@pytest.mark.proves("bad-input 21")
def test_a_billion_laughs_is_rejected_at_the_first_anchor() -> None:
    """Ten lines that expand to a gigabyte are read as ten lines."""
    lines = ['a0: &a0 ["lol"]', *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    found = read_service("\n".join(lines)).violations
    assert "anchors such as &a0" in found[0].message


def test_the_largest_files_are_read_or_rejected() -> None:
    """At 256 KiB, whatever the shape, there is a result: a time that grows faster than linearly would not end."""
    for text in (
        file() + "#" * (MAX_BYTES - 1000),
        file() + "x: [" + "1, " * (MAX_BYTES // 3 - 1000),
        "".join(f"k{n}: 1\n" for n in range(20_000)),
        "{" + "".join(f"k{n}, " for n in range(20_000)),
    ):
        result = read_service(text)
        assert result.service or result.violations
