"""The files of `[tls]`, read again when they change: a swapped certificate is in use on the next connection."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import grpc
import structlog

from controller.core.base.errors import Refusal, Violation, invalid
from controller.identity.certificates import expiry_of
from controller.identity.tls_settings import Tls
from controller.process.file_stamp import FileStamp, stamp_of
from controller.process.settings_file import read_settings_file

MAX_FILE = 4 * 1024 * 1024
"""Bytes of a file: a bundle of all public CAs has a quarter of a megabyte."""

log = structlog.get_logger()


class Pem(NamedTuple):
    """What the files hold."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expiries: Mapping[str, float]
    """When each expires, in Unix seconds: `controller` with its chain, and `client_ca`."""


class TlsFiles:
    """The certificate, key and client CAs of the doors, as they are on the disk now.

    A swap is taken only once its parts fit together: until then, and if the new ones are unreadable, what was good
    before stays in use.
    """

    def __init__(self, settings: Tls) -> None:
        """`Refusal` that names the setting if the files cannot be used."""
        self._settings = settings
        self._stamp = self._stamp_now()
        self._pem = self._read()
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def asks_for_certificates(self) -> bool:
        """Whether there are CAs of clients' certificates."""
        return self._settings.client_ca_file is not None

    def expiries(self) -> Mapping[str, float]:
        """When the certificates in use expire, in Unix seconds: `controller` with its chain, and `client_ca`."""
        self.refresh()
        return self._pem.expiries

    def context(self, protocol: str) -> ssl.SSLContext:
        """For a TLS server that speaks that ALPN protocol. A client may bring a certificate of the client CAs."""
        self._contexts[protocol] = self._context(protocol, self._pem)
        outer = self._context(protocol, self._pem)

        def use_newest(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
            self.refresh()
            connection.context = self._contexts[protocol]

        outer.sni_callback = use_newest  # called in each handshake, with a name or without
        return outer

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For a gRPC server whose clients must have a certificate of the client CAs."""
        in_use = self._pem

        def changed() -> "grpc.ServerCertificateConfiguration | None":
            nonlocal in_use
            self.refresh()
            if in_use is self._pem:
                return None
            in_use = self._pem
            return _grpc_configuration(in_use)

        return grpc.dynamic_ssl_server_credentials(
            _grpc_configuration(in_use),
            changed,  # type: ignore[arg-type]  # None is for "as it was"
            require_client_authentication=True,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a connection to another controller, whose certificate is of the client CAs as this one's is."""
        self.refresh()
        pem = self._pem
        return grpc.ssl_channel_credentials(pem.client_ca, pem.key, pem.certificate)

    def refresh(self) -> bool:
        """Whether the files have changed, and what they hold now is in use."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            pem = self._read()
            self._pem, self._contexts = pem, {each: self._context(each, pem) for each in self._contexts}
        except (Refusal, OSError) as error:  # an ssl.SSLError is an OSError: they have changed once more meanwhile
            log.warning("certificate_not_taken", reason=str(error))
            return False
        log.info("certificate_taken", certificate=str(self._settings.certificate_file), expires_at=self._pem.expiries)
        return True

    def _context(self, protocol: str, pem: Pem) -> ssl.SSLContext:
        context = _server_context(self._settings)
        context.set_alpn_protocols([protocol])
        if pem.client_ca is not None:
            context.load_verify_locations(cadata=_pem_text(pem.client_ca))
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _read(self) -> Pem:
        """What the files hold. `Refusal` unless the key is the certificate's and the CAs can be read."""
        settings = self._settings
        content = {}
        for name in ("certificate_file", "key_file", "client_ca_file"):
            path: Path | None = getattr(settings, name)
            if path is not None:
                content[name] = _content(name, path)
        try:
            trial = _server_context(settings)
            expiries = {"controller": expiry_of(content["certificate_file"]).timestamp()}
        except (ssl.SSLError, ValueError) as error:
            message = f"{settings.certificate_file} and {settings.key_file} are no certificate and its key: {error}"
            raise invalid([Violation("tls.certificate_file", message)]) from None
        ca = content.get("client_ca_file")
        if ca is not None:
            try:
                trial.load_verify_locations(cadata=_pem_text(ca))
                expiries["client_ca"] = expiry_of(ca).timestamp()
            except (ssl.SSLError, ValueError) as error:
                message = f"{settings.client_ca_file} has no certificates: {error}"
                raise invalid([Violation("tls.client_ca_file", message)]) from None
        return Pem(content["certificate_file"], content["key_file"], ca, expiries)

    def _stamp_now(self) -> tuple[FileStamp | None, ...]:
        settings = self._settings
        files = (settings.certificate_file, settings.key_file, settings.client_ca_file)
        return tuple(stamp_of(path) for path in files if path is not None)


def _server_context(settings: Tls) -> ssl.SSLContext:
    """With the certificate. `ssl.SSLError` unless the key is the certificate's and has no password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A resumed session brings the certificate of its first handshake, which nothing verifies again: a client whose CA
    # was taken away would get in. With TLS 1.3 there is none without a ticket; TLS 1.2 has a cache of them, too.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # OpenSSL would ask for the password at the terminal.
    context.load_cert_chain(settings.certificate_file, settings.key_file, password="")
    return context


def _pem_text(pem: bytes) -> str:
    """As Python's TLS takes it: ASCII alone. Comments, in which bundles have the names of CAs, may have more."""
    return pem.decode("ascii", "ignore")


def _grpc_configuration(pem: Pem) -> "grpc.ServerCertificateConfiguration":
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.client_ca)


def _content(setting: str, path: Path) -> bytes:
    try:
        return read_settings_file(path, MAX_FILE)
    except OSError as error:
        raise invalid([Violation(f"tls.{setting}", f"{path} cannot be read: {error.strerror}")]) from None
