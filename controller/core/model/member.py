"""One controller among those that share a store, as it describes itself to the others."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, field_validator


class Writes(StrEnum):
    """Whether a controller stores changes beside the others, by the schema of the records that it writes."""

    YES = "yes"
    WAITS = "waits"
    """It writes a newer schema, and waits until no controller of an older one is left."""
    TOO_OLD = "too_old"
    """What is stored has a newer schema than it can read: it serves what it has read last."""


class Member(BaseModel):
    """A record that runs out unless it is renewed. Versions differ, so fields that are not known are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance: str
    """Names this run of the process: a restarted controller is another instance of the same name."""
    name: str
    since: float
    """Unix seconds at which it started."""
    version: str = ""
    records: int
    """The schema of the records that it writes (`service_state.SCHEMA`)."""
    writes: Writes = Writes.YES
    revision: int = 0
    """The newest revision that it serves."""
    proxies: int = 0
    """The proxies that are connected to it."""
    xds: str = ""
    admin: str = ""
    http: str = ""
    """Its addresses, HOST:PORT."""

    @field_validator("writes", mode="before")
    @classmethod
    def _known(cls, word: object) -> object:
        """A word of another version of Haldane must not hide the record that has it."""
        return word if word in list(Writes) else Writes.YES

    def succeeds(self, other: "Member") -> bool:
        """Whether this is a later run of that controller: it has its name and all of its ports."""
        mine, others = ((each.name, each.xds, each.admin, each.http) for each in (self, other))
        return mine == others and self._age > other._age

    def yields_to(self, other: "Member") -> bool:
        """Whether the other, which was there first, has the same name and is another controller."""
        return self.name == other.name and self._age > other._age and not self.succeeds(other)

    @property
    def _age(self) -> tuple[float, str]:
        return self.since, self.instance
