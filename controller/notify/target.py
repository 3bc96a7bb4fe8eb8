"""Who is notified, and of what: the targets of the settings."""

from difflib import get_close_matches
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from controller.core.base.value import Seconds, Value
from controller.core.model.ledger_kind import LedgerKind, severity_of
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.severity import Severity
from controller.process.http_client import Receiver, SecretFile, Url


def _severity(value: object) -> object:
    words = {severity.name.lower(): severity for severity in Severity}
    if isinstance(value, Severity) or value in words:
        return words.get(str(value), value)
    raise ValueError(f"one of {', '.join(words)} is needed")


def _known_kind(kind: str) -> str:
    if kind not in set(LedgerKind):
        near = get_close_matches(kind[:64], LedgerKind, 1)
        raise ValueError(f"did you mean {near[0]}?" if near else f"known kinds: {', '.join(sorted(LedgerKind))}")
    return kind


class Target(Value):
    """One `[notify.NAME]` of the settings: a program that takes CloudEvents (`url`), or people (`apprise_file`)."""

    url: Url | None = None
    """Where events are sent as CloudEvents over HTTP."""
    secret_file: SecretFile | None = None
    """For `url`: keys for signatures, one a line; each signs the request. Without it requests are not signed."""
    apprise_file: SecretFile | None = None
    """A file of apprise URLs, one a line: chats, mail, pagers, phones. They contain passwords."""
    severity: Annotated[Severity, BeforeValidator(_severity)] = Severity.INFO
    """The lowest severity that is sent: info, warning or critical."""
    kinds: tuple[Annotated[str, AfterValidator(_known_kind)], ...] = ()
    """The kinds of ledger lines that are sent; empty: every kind."""
    services: tuple[str, ...] = ()
    """Only lines that concern these services, or all services, are sent; empty: every service."""
    timeout: Annotated[Seconds, Field(ge=0.1, le=60)] = 10.0
    """Seconds that one attempt may take."""
    give_up: Annotated[Seconds, Field(ge=1, le=86_400)] = 900.0
    """Seconds for which a line is retried. After that it is lost, which is counted and reported."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.apprise_file is None):
            raise ValueError("either url (for programs) or apprise_file (for people) is needed")
        if self.secret_file and self.url is None:
            raise ValueError("secret_file goes with url")
        return self

    def receiver(self) -> Receiver:
        """The program at `url`."""
        assert self.url is not None
        return Receiver(url=self.url, secret_file=self.secret_file, timeout=self.timeout)

    def wants(self, line: LedgerLine) -> bool:
        """Whether this target is notified of that line."""
        entry = line.entry
        return (
            severity_of(entry.kind) >= self.severity
            and (not self.kinds or entry.kind in self.kinds)
            and (not self.services or not entry.services or any(map(entry.concerns, self.services)))
        )
