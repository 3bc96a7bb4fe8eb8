"""Validation of a request's texts, whichever API it came by: reasons, request ids, freezes."""

from collections.abc import Sequence

from controller.core.base.errors import Violation, invalid
from controller.core.base.text import clean, is_disturbing, is_printable
from controller.core.base.units import format_duration

MAX_REASON = 1024
"""Characters of a reason. What is longer is a document: link to it."""
MAX_REQUEST_ID = 128
MAX_TTL = 30 * 86_400.0
"""Seconds of a freeze's longest ttl: 30 days. A longer one is a freeze without an end, and should look like one."""


def freeze_violations(scopes: Sequence[str], reason: str, ttl: float | None) -> list[Violation]:
    """Everything that is wrong with a freeze."""
    violations = []
    if not scopes:
        violations.append(Violation("services", "name services, or all"))
    if _is_empty(reason):
        violations.append(Violation("reason", "a freeze needs a reason: whoever is on call must know why"))
    if ttl is not None and not 1 <= ttl <= MAX_TTL:
        violations.append(Violation("ttl", f"between 1s and {format_duration(MAX_TTL)}"))
    return violations


def unfreeze_violations(scopes: Sequence[str], reason: str) -> list[Violation]:
    """Everything that is wrong with the lifting of freezes."""
    violations = []
    if not scopes:
        violations.append(Violation("services", "name services, or all"))
    if _is_empty(reason):
        violations.append(Violation("reason", "say why it is over"))
    return violations


def _is_empty(reason: str) -> bool:
    """Whether nothing of it can be seen. What is refused for another cause is not empty."""
    text = _one_line(reason)
    return not clean(text).strip() and not is_disturbing(text)


def _one_line(reason: str) -> str:
    return " ".join(reason.split())


def validate_reason(reason: str) -> str:
    """The reason on one line, without what cannot be seen: that comes along with pasted text, unknown to whoever pasted
    it, and must not stop a freeze.

    `Refusal` if it is too long, or has what nobody pastes unknowingly and readers are misled by: control characters,
    and those that change the order in which other characters are shown.
    """
    text = _one_line(reason)
    if is_disturbing(text):
        raise invalid([Violation("reason", "no control characters, nor such as change the direction of writing")])
    text = clean(text).strip()
    if len(text) > MAX_REASON:
        raise invalid([Violation("reason", f"at most {MAX_REASON} characters")])
    return text


def validate_request_id(request_id: str) -> None:
    """`Refusal` for a request id that cannot be stored and shown."""
    if len(request_id) > MAX_REQUEST_ID or not is_printable(request_id):
        raise invalid([Violation("request_id", f"at most {MAX_REQUEST_ID} printable characters")])
