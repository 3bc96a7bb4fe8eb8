"""Whatever the text: reading a service file gives a service or violations, and never an exception."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from controller.core.servicefile.service_file import LintResult, read_service
from controller.core.servicefile.yaml_tree import PARSER, read_tree
from tests.spec.files import file

REFERENCE = (Path(__file__).parents[2] / "docs" / "examples" / "fraud-scorer.yaml").read_text()

WORDS = ["service", "listen", "port", "versions", "v1", "endpoints", "stable", "policy", "steps", "errors", "fallback"]
SCALARS = ["1", "5%", "60s", "null", "~", "", "on", ".nan", "-1", "1e400", "'", '"', "*a", "&a", "!!x", "<<", "%", "\t"]
PIECES = st.sampled_from(
    [*WORDS, *SCALARS, ": ", ":", "- ", "[", "]", "{", "}", ",", "\n", "\n  ", "#", "---", "...", "? "]
)
ODD = st.text(max_size=20) | st.sampled_from(
    ["\0", "\ud800", "\ufeff", "\u2028", "\x85", "\r", "\x1b[0m", "\u0665", "\u043e"]
)


def is_whole(result: LintResult, text: str) -> None:
    """A service or violations, never both or neither; each violation is bounded and on a line of the text."""
    assert (result.service is None) == bool(result.violations)
    for violation in result.violations:
        assert violation.message
        assert 1 <= violation.line <= max(1, len(text.splitlines()))
        assert len(str(violation)) < 1000


@pytest.mark.proves("bad-input 21", "track-record 33")
@given(st.text() | st.lists(PIECES | ODD, max_size=60).map("".join))
@example("\ud800")
@example("---")
@example("? ")
@example("- - - - - - - - - - - - - - - - - - - - - -")
@example("{a, b, a}")
@example("!<tag:yaml.org,2002:map> {}")
def test_any_text_is_read_or_rejected(text: str) -> None:
    """Arbitrary text, and text made of YAML's own marks."""
    is_whole(read_service(text), text)


@given(st.integers(0, len(REFERENCE)), st.integers(0, 30), PIECES | ODD)
def test_a_damaged_reference_file_is_read_or_rejected(at: int, lost: int, instead: str) -> None:
    """The reference file with a piece replaced."""
    text = REFERENCE[:at] + instead + REFERENCE[at + lost :]
    is_whole(read_service(text), text)


@given(st.integers(0, len(REFERENCE)))
def test_a_truncated_file_is_read_or_rejected(end: int) -> None:
    """A truncated file; without its versions and stable it is never a service."""
    text = REFERENCE[:end]
    result = read_service(text)
    is_whole(result, text)
    assert result.service is None or end > REFERENCE.index("stable:")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["5%", "60s", "a:1"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=20,
)
KEYS = st.sampled_from(
    [
        "service",
        "fleets",
        "listen",
        "hosts",
        "prefix",
        "protocol",
        "timeout",
        "versions",
        "stable",
        "fallback",
        "policy",
    ]
)


@given(st.dictionaries(KEYS, JSON, min_size=1))
def test_right_keys_with_any_values_are_read_or_refused(values: dict[str, object]) -> None:
    """The keys of a service file with arbitrary values."""
    text = yaml.safe_dump(values, allow_unicode=True)
    is_whole(read_service(text), text)


@given(st.lists(PIECES | ODD, max_size=60).map("".join))
def test_without_libyaml_any_text_is_read_or_rejected_too(text: str) -> None:
    """If PyYAML was built without libyaml, its own parser is used."""
    _, found = read_tree(text, yaml.SafeLoader)
    assert all(violation.message and violation.line >= 1 for violation in found)


def test_without_libyaml_a_file_means_the_same() -> None:
    """Both parsers give the same tree for the reference file."""
    assert read_tree(REFERENCE, yaml.SafeLoader) == read_tree(REFERENCE, PARSER)


def test_without_libyaml_a_tab_is_reported_alike() -> None:
    """Each parser has its own message for it; the violation is the same."""
    text = file("policy:", "  \tbake: 5m")
    assert read_tree(text, yaml.SafeLoader) == read_tree(text, PARSER)


@given(
    steps=st.lists(st.integers(1, 9999), min_size=1, max_size=20, unique=True).map(sorted),
    dwell=st.integers(100, 600_000),
    ports=st.lists(st.integers(1, 65535), min_size=2, max_size=20, unique=True),
    percent=st.booleans(),
)
def test_what_is_written_is_what_is_read(steps: list[int], dwell: int, ports: list[int], percent: bool) -> None:
    """Steps are read as the same basis points, whatever the notation of the share; durations and ports too."""
    written = ", ".join(f"{n / 100:.2f}%" if percent else f"{n / 10_000:.4f}" for n in steps)
    stable, canary = ports[: len(ports) // 2], ports[len(ports) // 2 :]
    service = read_service(
        file(
            f"  deadline: {30 * 86_400}s",
            steps=f"  steps: [{written}]",
            dwell=f"  dwell: {dwell}ms",
            v1=f"  v1: {{endpoints: {[f'h:{p}' for p in stable]}}}",
            v2=f"  v2: {{endpoints: {[f'h:{p}' for p in canary]}}}",
        )
    ).service
    assert service is not None
    assert list(service.policy.steps) == steps
    assert service.policy.dwell == pytest.approx(dwell / 1000)
    assert [[e.port for e in v.endpoints] for v in service.versions] == [stable, canary]
