"""Static tokens, for those who have neither a certificate nor an issuer: a file of names and hashes."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from controller.core.access.principal import Principal
from controller.core.base.errors import Violation, invalid
from controller.core.model.actor import Proof
from controller.process.file_stamp import stamp_of
from controller.process.settings_file import read_settings_file

MAX_FILE = 1_048_576
"""Bytes of a file."""
SHORTEST = 20
"""Characters of a token: shorter ones could be guessed."""

_LINE = re.compile(r"(?P<name>[!-~]{1,64})\s+(?P<digest>[0-9a-f]{64})\Z")

log = structlog.get_logger()


class StaticTokens:
    """The tokens of the files that `[[access]]` names. A file is read again when it has changed.

    A line is `NAME SHA256`: who holds the token, and the hexadecimal SHA-256 of the token. Empty lines and lines that
    begin with `#` are ignored.
    """

    def __init__(self, files: Iterable[str]) -> None:
        """`Refusal` that names the file and the line if one cannot be read."""
        self._files = {name: _read(name) for name in files}
        self._stamps = {name: stamp_of(Path(name).expanduser()) for name in self._files}

    def principal(self, token: str) -> Principal | None:
        """Whose token it is; None if it is in no file."""
        if len(token) < SHORTEST:
            return None
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
        for name in self._files:
            self._refresh(name)
            # Hashes are looked up, so how long it takes tells nothing about a token.
            if holder := self._files[name].get(digest):
                return Principal(holder, Proof.TOKEN, frozenset({holder}), token_file=name)
        return None

    def _refresh(self, name: str) -> None:
        stamp = stamp_of(Path(name).expanduser())
        if stamp == self._stamps[name]:
            return
        self._stamps[name] = stamp
        try:
            self._files[name] = _read(name)
        except Exception as error:
            self._files[name] = {}  # a token that was taken out must not go on working
            log.error("token_file_unreadable", file=name, reason=str(error))


def _read(name: str) -> Mapping[str, str]:
    """Digest -> name. `Refusal` for a file that cannot be read, or a line that is wrong."""
    try:
        text = read_settings_file(Path(name), MAX_FILE).decode("ascii")
    except OSError as error:
        raise invalid([Violation("access.token_file", f"{name} cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise invalid([Violation("access.token_file", f"{name} is not ASCII")]) from None
    holders: dict[str, str] = {}
    violations = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match:
            holders[match["digest"]] = match["name"]
        else:
            violations.append(Violation("access.token_file", f"{name}: NAME and the SHA-256 of a token", number))
    if violations:
        raise invalid(violations)
    return holders
