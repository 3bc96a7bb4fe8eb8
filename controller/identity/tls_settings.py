"""`[tls]` in the settings file: what the doors are secured with."""

from pathlib import Path

from controller.core.base.value import Value


class Tls(Value):
    """PEM files. They are read again when they change, so a new certificate is used from the next connection on."""

    certificate_file: Path
    """The controller's certificate, with its chain."""
    key_file: Path
    """Its private key."""
    client_ca_file: Path | None = None
    """The CAs of clients' certificates. Proxies need such a certificate; people and programs may bring a
    token instead."""
