"""`[etcd]` in the settings file, and the address of the store: how etcd is reached."""

import re
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from controller.core.base.errors import Violation, invalid
from controller.core.base.value import Seconds, Value
from controller.store.etcd.channels import TlsContent
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.login import User

DEFAULT_PREFIX = "/haldane"

_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s/,?]+):(\d{1,5})\Z")
_PREFIX = re.compile(r"(/[A-Za-z0-9_.-]+)+\Z")


class Address(NamedTuple):
    """`etcd:HOST:PORT,HOST:PORT?prefix=/haldane`."""

    endpoints: tuple[str, ...]
    prefix: str


def read_address(text: str) -> Address:
    """The part after `etcd:`. ValueError that says what is needed."""
    hosts, question, query = text.partition("?")
    endpoints = tuple(hosts.split(","))
    for each in endpoints:
        match = _ENDPOINT.match(each)
        if not match or int(match[2]) > 65535:
            raise ValueError(f"etcd:HOST:PORT,HOST:PORT,... is needed, such as etcd:10.0.0.1:2379, not {each!r}")
    prefix = query.removeprefix("prefix=")
    if question and (prefix == query or not _PREFIX.match(prefix)):
        raise ValueError(f"after `?` comes `prefix=/NAME`, such as ?prefix={DEFAULT_PREFIX}, not {query!r}")
    return Address(endpoints, prefix or DEFAULT_PREFIX)


class Etcd(Value):
    """How etcd is reached. The files of TLS are read again when a member is lost, the password at each login."""

    ca_file: Path | None = None
    """The CA of etcd's certificates. With it all members are reached by TLS."""
    certificate_file: Path | None = None
    """The controller's client certificate for etcd."""
    key_file: Path | None = None
    """Its private key."""
    user: str = ""
    """A user of etcd's own access control."""
    password_file: Path | None = None
    """The file of its password."""
    ttl: Annotated[Seconds, Field(ge=2, le=60)] = 10.0
    """Seconds after which another replica decides if the one that does is silent."""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if self.certificate_file and not self.ca_file:
            raise ValueError("a client certificate needs ca_file too")
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("user and password_file go together")
        return self

    def client(self, address: Address) -> EtcdClient:
        """A client of that cluster. `Refusal` that names the setting if a file cannot be read."""
        user = None
        if path := self.password_file:
            self._content("password_file")
            user = User(self.user, lambda: path.read_text().rstrip("\n"))
        return EtcdClient(address.endpoints, tls=self._tls if self.ca_file else None, user=user)

    def _tls(self) -> TlsContent:
        ca = self._content("ca_file") or b""
        return TlsContent(ca, self._content("key_file"), self._content("certificate_file"))

    def _content(self, setting: str) -> bytes | None:
        path: Path | None = getattr(self, setting)
        try:
            return path.read_bytes() if path else None
        except OSError as error:
            raise invalid([Violation(f"etcd.{setting}", f"{path} cannot be read: {error.strerror}")]) from None
