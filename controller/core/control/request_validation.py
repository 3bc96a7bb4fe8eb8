"""Validation of a request's texts, whichever API it came by: reasons, request ids, freezes."""

import re
from collections.abc import Sequence

from controller.core.base.errors import Violation, invalid
from controller.core.base.units import format_duration

MAX_REASON = 1024
"""Characters of a reason. What is longer is a document: link to it."""
MAX_REQUEST_ID = 128
MAX_TTL = 30 * 86_400.0
"""Seconds of a freeze's longest ttl: 30 days. A longer one is a freeze without an end, and should look like one."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of writing, and halves of surrogate pairs."""


def freeze_violations(scopes: Sequence[str], reason: str, ttl: float | None) -> list[Violation]:
    """Everything that is wrong with a freeze."""
    violations = []
    if not scopes:
        violations.append(Violation("services", "name services, or all"))
    if not reason.strip():
        violations.append(Violation("reason", "a freeze needs a reason: whoever is on call must know why"))
    if ttl is not None and not 1 <= ttl <= MAX_TTL:
        violations.append(Violation("ttl", f"between 1s and {format_duration(MAX_TTL)}"))
    return violations


def unfreeze_violations(scopes: Sequence[str], reason: str) -> list[Violation]:
    """Everything that is wrong with the lifting of freezes."""
    violations = []
    if not scopes:
        violations.append(Violation("services", "name services, or all"))
    if not reason.strip():
        violations.append(Violation("reason", "say why it is over"))
    return violations


def validate_reason(reason: str) -> str:
    """The reason on one line; `Refusal` if it is too long or has control characters, which could rewrite terminals."""
    text = " ".join(reason.split())
    if len(text) > MAX_REASON:
        raise invalid([Violation("reason", f"at most {MAX_REASON} characters")])
    if _CONTROLS.search(text):
        raise invalid([Violation("reason", "no control characters")])
    return text


def validate_request_id(request_id: str) -> None:
    """`Refusal` for a request id that cannot be stored and shown."""
    if len(request_id) > MAX_REQUEST_ID or _CONTROLS.search(request_id):
        raise invalid([Violation("request_id", f"at most {MAX_REQUEST_ID} characters, no control characters")])
