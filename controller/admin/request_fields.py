"""Fields of requests -> parameters of `Operations`. Whatever is wrong is a `Refusal` that names the field."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import unquote

from controller.core.base.errors import Refusal, Violation, invalid
from controller.core.base.units import parse_duration
from controller.core.model.freeze import ALL, Mode

USER = "haldane-user"
"""The metadata key (the HTTP header) in which a client names its user."""
MAX_SCOPES = 1000
"""Services named in one freeze; more are `all`."""
MAX_SEQUENCE = 2**63 - 1

Read = TypeVar("Read")


class FieldErrors:
    """Collects what is wrong with a request, so that it is refused once with all of it."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def read(self, part: Callable[[], Read], instead: Read) -> Read:
        """What `part` returns; `instead` if it is refused as invalid."""
        try:
            return part()
        except Refusal as refusal:
            self.violations += refusal.violations
            return instead

    def raise_if_any(self, *, also: Iterable[Violation]) -> None:
        """`Refusal` if anything was wrong, which also names the violations `also` of other fields.

        Raises nothing if only `also` has any: the operation, which checks the same, raises them itself.
        """
        if self.violations:
            known = {violation.field for violation in self.violations}
            raise invalid([*self.violations, *(violation for violation in also if violation.field not in known)])


def peer_host(peer: str) -> str:
    """The host in a gRPC peer such as `ipv4:127.0.0.1:50432` or `ipv6:%5B::1%5D:50432`."""
    kind, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else kind


def user_of(metadata: Iterable[tuple[str, str | bytes]] | Mapping[str, str]) -> str:
    """The user that a call names, "" if none."""
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    return next((str(value) for key, value in pairs if key.lower() == USER), "")


def scopes_of(services: Iterable[str], everything: bool) -> tuple[str, ...]:
    """The scopes of a freeze: named services, or all, never both and never neither."""
    names = tuple(services)
    if everything and names:
        raise _wrong("services", "name services or set all, not both")
    if ALL in names:
        raise _wrong("services", "to mean every service, set all")
    if len(names) > MAX_SCOPES:
        raise _wrong("services", f"at most {MAX_SCOPES} services; for more, set all")
    return (ALL,) if everything else names


def ttl_of(text: str) -> float | None:
    """Seconds of a ttl such as 30m; None for none."""
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise _wrong("ttl", str(error)) from None


def mode_of(text: str) -> Mode:
    """The mode of a freeze; `freeze` unless it says otherwise."""
    try:
        return Mode(text or Mode.FREEZE)
    except ValueError:
        raise _wrong("mode", f"{' or '.join(Mode)} is needed, not {text[:40]!r}") from None


def after_of(sequence: int) -> int:
    """The line of the ledger after which to read, clamped to what SQLite can store."""
    return min(sequence, MAX_SEQUENCE)


def _wrong(field: str, message: str) -> Refusal:
    return invalid([Violation(field, message)])
