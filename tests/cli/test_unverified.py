"""Whom nothing has verified is marked wherever a command shows an actor."""

import getpass
from pathlib import Path

import pytest

from tests.cli.conftest import Haldane

WHO = f"{getpass.getuser()}@127.0.0.1 (unverified)"


@pytest.fixture
def acted(scorer: Path, haldane: Haldane) -> Haldane:
    """Somebody has started a rollout, frozen it and excluded a proxy."""
    for words in (
        ("start", "scorer", "--canary", "v2"),
        ("freeze", "scorer", "--reason", "x"),
        ("proxies", "--exclude", "edge-1", "--reason", "x"),
    ):
        assert haldane(*words).code == 0, words
    return haldane


@pytest.mark.parametrize("command", ["list", "get scorer", "freezes", "proxies", "events", "explain scorer", "whoami"])
def test_the_text_has_a_word_for_it(acted: Haldane, command: str) -> None:
    """Once for each actor that is shown."""
    done = acted(*command.split())
    assert done.code == 0, done
    assert WHO in " ".join(done.out.split()), done.out


@pytest.mark.parametrize("act", ["promote scorer --reason x", "delete scorer --reason x"])
def test_so_have_refusals(acted: Haldane, act: str) -> None:
    """That name whose freeze it is."""
    refused = acted(*act.split())
    assert refused.code in (3, 5)
    if refused.code == 3:
        assert f"by {WHO}: x" in refused.err


def test_json_has_it_beside_each_actor(acted: Haldane) -> None:
    """And not for what Haldane does by itself."""
    for words, key in (("freezes", "freezes"), ("proxies", "exclusions"), ("explain scorer", "decisions")):
        found = acted(*words.split(), "-o", "json").document[key]
        assert found
        assert all(each["unverified"] is True and each["verified_by"] == "" for each in found), words
    assert acted("whoami", "-o", "json").document["unverified"] is True
