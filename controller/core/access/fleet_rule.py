"""Which proxies may be of which fleet: `[[proxies]]` in the settings file, or else the pattern of SPIFFE IDs."""

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field, model_validator

from controller.core.access.principal import Principal
from controller.core.base.errors import Code, Refusal
from controller.core.base.value import Value

Text = Annotated[str, Field(min_length=1, max_length=512)]

OF_FLEET = re.compile(r"spiffe://[^/]+/ns/[^/]+/fleet/([^/]+)")
"""The SPIFFE ID of a proxy, if nothing else is said: its last part is its fleet."""


class FleetRule(Value):
    """The fleets that some proxies may be of: exactly one of `spiffe` and `subject` says which proxies."""

    spiffe: Text | None = None
    """The SPIFFE ID of a proxy's certificate, as a glob: `spiffe://prod/ns/edge/*`."""
    subject: Text | None = None
    """The common name or a DNS name of a proxy's certificate, as a glob: `*.edge.example`."""
    fleets: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1000)]
    """Globs of the fleets."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.spiffe is None) == (self.subject is None):
            raise ValueError("one of spiffe and subject says whose certificate it is about")
        return self

    def names(self, principal: Principal) -> bool:
        """Whether it is about that proxy."""
        if self.spiffe is not None:
            return bool(principal.spiffe) and fnmatchcase(principal.spiffe, self.spiffe)
        return any(fnmatchcase(subject, self.subject or "") for subject in principal.subjects)


def allowed_fleets(principal: Principal, rules: Sequence[FleetRule]) -> tuple[str, ...]:
    """Globs of the fleets that a proxy may be of: by the rules, or if there are none, by its SPIFFE ID."""
    if rules:
        return tuple(dict.fromkeys(fleet for rule in rules if rule.names(principal) for fleet in rule.fleets))
    match = OF_FLEET.fullmatch(principal.spiffe)
    return (_exactly(match[1]),) if match else ()


def check_fleet(principal: Principal, fleet: str, rules: Sequence[FleetRule]) -> None:
    """`Refusal` with DENIED unless that proxy may be of that fleet. It names the fleet and those that are allowed."""
    allowed = allowed_fleets(principal, rules)
    if not any(fnmatchcase(fleet, pattern) for pattern in allowed):
        raise Refusal(Code.DENIED, _denial(principal, fleet, allowed))


def _exactly(fleet: str) -> str:
    """The glob that matches this fleet and no other."""
    return re.sub(r"([*?[])", r"[\1]", fleet)


def _denial(principal: Principal, fleet: str, allowed: Iterable[str]) -> str:
    may = f"may be of fleet {' or '.join(allowed)}" if allowed else "may be of no fleet"
    return f"node.cluster is {fleet!r}, and {principal.name} {may}"
