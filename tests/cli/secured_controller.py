"""`haldane serve` with TLS and rights, on free ports, its certificates made by `haldane certs`."""

import hashlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cli.admin_server import WITHIN
from tests.support import preloaded
from tests.support.command import Done
from tests.support.process import free_port

TOKEN = "pager-token-of-the-tests"
"""A static token whose holder, `pager`, is a breaker."""


@dataclass
class SecuredController:
    """A controller in a folder. alice is admin, vera viewer of fraud-*, the token a breaker."""

    folder: Path
    extra: str = ""
    """More of the settings file, before its tables."""

    def __post_init__(self) -> None:
        self.xds, self.admin, self.http = (f"127.0.0.1:{free_port()}" for _ in range(3))
        plain = {name: value for name, value in os.environ.items() if not name.startswith("HALDANE_")}
        self.environment = {**plain, "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state")}
        self.certs = self.folder / "certs"
        self.child: preloaded.ForkedProcess | subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make the certificates, the file of tokens and the settings file."""
        names = ("--fleet", "edge", "--operator", "alice", "--operator", "vera", "--operator", "nobody")
        made = self.run("certs", str(self.certs), *names)
        assert made.code == 0, made
        (self.folder / "token").write_text(f"{TOKEN}\n")
        (self.folder / "tokens").write_text(f"pager {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
        (self.folder / "haldane.toml").write_text(
            f"""
xds_listen = "{self.xds}"
admin_listen = "{self.admin}"
http_listen = "{self.http}"
store = "sqlite:{self.folder}/haldane.db"
store_reserve = 1048576
{self.extra}
[tls]
certificate_file = "{self.certs}/controller/tls.crt"
key_file = "{self.certs}/controller/tls.key"
client_ca_file = "{self.certs}/ca.crt"
[[access]]
subject = "alice"
role = "admin"
[[access]]
subject = "vera"
role = "viewer"
services = ["fraud-*"]
[[access]]
token_file = "{self.folder}/tokens"
role = "breaker"
"""
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            settings = {**self.environment, "HALDANE_CONFIG": str(self.folder / "haldane.toml")}
            self.child = preloaded.start("serve", env=settings, out=log, err=log)
        end = time.monotonic() + WITHIN
        while self.run("whoami", *self.by("alice")).code:
            assert self.child.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, (self.folder / "log").read_text()

    def stop(self) -> None:
        """End it."""
        if self.child:
            self.child.terminate()
            self.child.wait(WITHIN)

    def by(self, operator: str) -> tuple[str, ...]:
        """The options of a client with that operator's certificate."""
        return (*self.trusting(), *self.certificate(self.certs / f"operator-{operator}"))

    def trusting(self) -> tuple[str, ...]:
        """The options of a client without a certificate."""
        return ("--admin", self.admin, "--ca", str(self.certs / "ca.crt"))

    def certificate(self, folder: Path) -> tuple[str, ...]:
        """The options that name the certificate in a folder."""
        return ("--certificate", str(folder / "tls.crt"), "--key", str(folder / "tls.key"))

    def run(self, *args: str, **environment: str) -> Done:
        """A command, as a process of its own."""
        return preloaded.run(*args, env={**self.environment, **environment}, within=WITHIN)
