"""Files of static tokens: what is in them, what is refused, and what holds after they have changed."""

import hashlib
import os
from pathlib import Path

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.model.actor import Proof
from controller.identity.static_tokens import MAX_FILE, StaticTokens

TOKEN, OTHER = "a-token-that-nobody-guesses", "another-one-that-nobody-guesses"


def line(name: str, token: str) -> str:
    """A line of a file."""
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one token, a comment and an empty line."""
    path = tmp_path / "tokens"
    path.write_text(f"# the pager\n\n{line('pager', TOKEN)}")
    return path


def test_a_token_is_its_holder_of_its_file(file: Path, tmp_path: Path) -> None:
    """Of whichever file it stands in; a token that stands in none is nobody's."""
    second = tmp_path / "second"
    second.write_text(line("ci", OTHER))
    tokens = StaticTokens([str(file), str(second)])
    found = tokens.principal(OTHER)
    assert found is not None
    assert (found.name, found.proof, found.token_file) == ("ci", Proof.TOKEN, str(second))
    for unknown in (
        "",
        TOKEN[:-1],
        TOKEN + " ",
        TOKEN.upper(),
        hashlib.sha256(TOKEN.encode()).hexdigest(),
        "\u2028" * 99,
    ):
        assert tokens.principal(unknown) is None


def test_short_tokens_do_not_count(tmp_path: Path) -> None:
    """They could be guessed, or found from their hash."""
    path = tmp_path / "tokens"
    path.write_text(line("pager", "hunter2"))
    assert StaticTokens([str(path)]).principal("hunter2") is None


BAD = {
    "the token itself": ("pager hunter2-hunter2-hunter2\n", ":1"),
    "no name": (f"{'0' * 64}\n", ":1"),
    "a hash in capitals": (f"pager {'A' * 64}\n", ":1"),
    "a hash that is too short": (f"ok {'0' * 64}\npager {'0' * 63}\n", ":2"),
    "another word": (f"pager {'0' * 64} admin\n", ":1"),
    "a name of control characters": (f"pa\x1bger {'0' * 64}\n", ":1"),
    "no ASCII": (f"pagér {'0' * 64}\n", "is not ASCII"),
    "too long": ("#" * (MAX_FILE + 1), "has more than"),
}


@pytest.mark.parametrize(("content", "told"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_at_the_start(tmp_path: Path, content: str, told: str) -> None:
    """With the file and the line, and without what stands there: it may be a token."""
    path = tmp_path / "tokens"
    path.write_text(content)
    with pytest.raises(Refusal) as raised:
        StaticTokens([str(path)])
    (violation,) = raised.value.violations
    assert raised.value.code is Code.INVALID
    assert str(path) in violation.message
    assert told in f"{violation.message}:{violation.line}"
    assert "hunter2" not in raised.value.message + violation.message


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(Refusal, match="No such file"):
        StaticTokens([str(tmp_path / "nowhere")])


def test_a_changed_file_counts_at_once(file: Path) -> None:
    """A token that was added is known, and one that was taken out is not."""
    tokens = StaticTokens([str(file)])
    assert tokens.principal(TOKEN)
    file.write_text(line("ci", OTHER))
    assert tokens.principal(TOKEN) is None
    assert tokens.principal(OTHER)


def test_a_file_behind_links_is_read_again_when_they_are_moved(file: Path, tmp_path: Path) -> None:
    """As Kubernetes swaps a secret that is mounted."""
    new = tmp_path / "..new"
    new.mkdir()
    (new / "tokens").write_text(line("ci", OTHER))
    old = tmp_path / "..old"
    old.mkdir()
    (old / "tokens").write_text(file.read_text())
    (tmp_path / "..data").symlink_to("..old")
    (tmp_path / "link").symlink_to("..data/tokens")
    tokens = StaticTokens([str(tmp_path / "link")])
    assert tokens.principal(TOKEN)
    (tmp_path / "..next").symlink_to("..new")
    (tmp_path / "..next").rename(tmp_path / "..data")
    assert tokens.principal(TOKEN) is None
    assert tokens.principal(OTHER)


@pytest.mark.parametrize("broken", [None, "nonsense\n", "\xff"])
def test_an_unreadable_file_has_no_tokens_until_it_can_be_read(file: Path, broken: str | None) -> None:
    """One that was taken out of it must not go on working."""
    tokens, good = StaticTokens([str(file)]), file.read_text()
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken, encoding="latin-1")
    assert tokens.principal(TOKEN) is None
    file.write_text(good + "# mended\n")
    assert tokens.principal(TOKEN)


def test_what_is_no_file_stops_nothing(file: Path) -> None:
    """To open a FIFO blocks until somebody writes to it; and what cannot be read is read again once its rights are
    mended, though its content and its time are as they were."""
    tokens = StaticTokens([str(file)])
    held = file.rename(file.with_name("held"))
    os.mkfifo(file)
    assert tokens.principal(TOKEN) is None
    file.unlink()
    held.rename(file)
    assert tokens.principal(TOKEN)
    tokens._files[str(file)] = {}  # as if the file could not have been read
    assert tokens.principal(TOKEN) is None
    file.chmod(0o640)
    assert tokens.principal(TOKEN)
