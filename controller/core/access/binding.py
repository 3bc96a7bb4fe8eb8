"""Which principals have which role on which services: `[[access]]` in the settings file."""

from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field, model_validator

from controller.core.access.permission import GRANTS, Permission, Role
from controller.core.access.principal import Principal
from controller.core.base.value import Value
from controller.core.model.freeze import ALL

Text = Annotated[str, Field(max_length=512)]


class Binding(Value):
    """One binding: exactly one of `subject`, `group`, `spiffe` and `token_file`, a role, and the services it covers."""

    subject: Text = ""
    """A name of `Principal.subjects`."""
    group: Text = ""
    """A group of an OIDC token."""
    spiffe: Text = ""
    """The SPIFFE ID of a client certificate, as a glob: `spiffe://prod/ns/ml/*`."""
    token_file: Text = ""
    """A file of static tokens: a line `NAME SHA256` for each."""
    issuer: Text = ""
    """Only holders of that issuer's tokens: of a subject or group that another issuer could give to others."""
    role: Role
    services: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1000)] = (ALL,)
    """Globs of services' names. Only `*` covers what concerns all services."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        named = [key for key in ("subject", "group", "spiffe", "token_file") if getattr(self, key)]
        if len(named) != 1:
            raise ValueError(
                f"one of subject, group, spiffe and token_file says whose it is, not {' and '.join(named) or 'none'}"
            )
        if self.issuer and not (self.subject or self.group):
            raise ValueError("issuer goes with subject or group")
        return self

    def names(self, principal: Principal) -> bool:
        """Whether it is that principal's."""
        if self.issuer and self.issuer != principal.issuer:
            return False
        return bool(
            (self.subject and self.subject in principal.subjects)
            or (self.group and self.group in principal.groups)
            or (self.spiffe and principal.spiffe and fnmatchcase(principal.spiffe, self.spiffe))
            or (self.token_file and self.token_file == principal.token_file)
        )

    def allows(self, permission: Permission) -> bool:
        """Whether it allows that on any service."""
        return permission in GRANTS[self.role]

    def grants(self, permission: Permission, scope: str) -> bool:
        """Whether it allows that on a service, or on all if the scope is `*`."""
        if not self.allows(permission):
            return False
        if scope == ALL:
            return ALL in self.services
        return any(fnmatchcase(scope, pattern) for pattern in self.services)
