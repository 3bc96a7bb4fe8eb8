"""The files of `[tls]` while they are swapped: what a new connection gets, and who is let in."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from controller.core.base.errors import Code, Refusal
from controller.identity.tls_files import MAX_FILE, TlsFiles
from controller.identity.tls_settings import Tls
from tests.support.authority import Authority, IssuedCertificate

SETTINGS = {"certificate_file": "tls.crt", "key_file": "tls.key", "client_ca_file": "ca.crt"}


@dataclass
class Folder:
    """A folder with the three files."""

    path: Path
    authority: Authority

    def write(self, issued: IssuedCertificate, ca: bytes) -> None:
        """All three files."""
        (self.path / "tls.crt").write_bytes(issued.certificate)
        (self.path / "tls.key").write_bytes(issued.key)
        (self.path / "ca.crt").write_bytes(ca)

    def tls(self) -> Tls:
        """The settings that name them."""
        return Tls(**{setting: self.path / name for setting, name in SETTINGS.items()})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With the first certificate."""
    authority = Authority()
    made = Folder(tmp_path, authority)
    made.write(authority.issue("first"), authority.certificate)
    return made


@dataclass
class Door:
    """A door of each kind over the same files: our own, and gRPC's."""

    own: int
    of_grpc: int
    authority: Authority
    alice: IssuedCertificate
    folder: Path

    def client(self, certificate: IssuedCertificate | None = None) -> ssl.SSLContext:
        """A client that takes every certificate, with its own if there is one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        if certificate:
            (self.folder / "client.pem").write_bytes(certificate.certificate + certificate.key)
            context.load_cert_chain(self.folder / "client.pem")
        return context

    async def connect(self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> "Handshake":
        """Make one connection."""
        return await asyncio.to_thread(_connect, port, context, session)

    async def serves(self, port: int) -> str:
        """The common name of the certificate that a new connection gets."""
        return (await self.connect(port, self.client(self.alice))).server

    async def lets_in(self, port: int, certificate: IssuedCertificate | None) -> bool:
        """Whether a client with that certificate gets an answer."""
        return bool((await self.connect(port, self.client(certificate))).answer)


@dataclass
class Handshake:
    """What a client has of a connection."""

    server: str
    answer: bytes
    session: ssl.SSLSession | None
    resumed: bool | None


def _connect(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Handshake:
    """A handshake and the first bytes of the answer; no bytes where the server closed."""
    with contextlib.ExitStack() as stack:
        try:
            plain = stack.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", port), 10)))
            connection = stack.enter_context(context.wrap_socket(plain, session=session))
            der = connection.getpeercert(binary_form=True)
            assert der
            (name,) = x509.load_der_x509_certificate(der).subject
            answer = connection.recv(100)
            return Handshake(str(name.value), answer, connection.session, connection.session_reused)
        except (ssl.SSLError, ConnectionError):
            return Handshake("", b"", None, None)


@contextlib.asynccontextmanager
async def opened(folder: Folder) -> AsyncIterator[Door]:
    """Both doors; each sends something to whoever is let in."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"come in")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    files = TlsFiles(folder.tls())
    own = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=files.context("h2"))
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    port = server.add_secure_port("127.0.0.1:0", files.grpc_credentials())
    await server.start()
    async with own:
        try:
            numbers = own.sockets[0].getsockname()[1], port
            yield Door(*numbers, folder.authority, folder.authority.issue("alice"), folder.path)
        finally:
            await server.stop(None)


async def test_a_swapped_certificate_is_in_use_on_the_next_connection(folder: Folder) -> None:
    """However often; one file after the other, whichever comes first."""
    async with opened(folder) as door:
        for number, order in enumerate((("tls.crt", "tls.key"), ("tls.key", "tls.crt"))):
            before, name = await door.serves(door.own), f"new-{number}"
            issued = folder.authority.issue(name)
            content = {"tls.crt": issued.certificate, "tls.key": issued.key}
            (folder.path / order[0]).write_bytes(content[order[0]])
            assert {await door.serves(door.own), await door.serves(door.of_grpc)} == {before}  # they do not fit yet
            (folder.path / order[1]).write_bytes(content[order[1]])
            assert {await door.serves(door.own), await door.serves(door.of_grpc)} == {name}


async def test_a_folder_is_swapped_behind_a_link(folder: Folder) -> None:
    """As Kubernetes does with `..data`: all files at once."""
    versions = [folder.path / "..1", folder.path / "..2"]
    for number, version in enumerate(versions):
        version.mkdir()
        Folder(version, folder.authority).write(folder.authority.issue(f"v{number}"), folder.authority.certificate)
    (folder.path / "..data").symlink_to("..1")
    for name in SETTINGS.values():
        (folder.path / name).unlink()
        (folder.path / name).symlink_to(f"..data/{name}")
    async with opened(folder) as door:
        assert {await door.serves(door.own), await door.serves(door.of_grpc)} == {"v0"}
        (folder.path / "..tmp").symlink_to("..2")
        (folder.path / "..tmp").rename(folder.path / "..data")
        assert {await door.serves(door.own), await door.serves(door.of_grpc)} == {"v1"}


BROKEN = {
    "an empty certificate": ("tls.crt", b""),
    "half a certificate": ("tls.crt", b"-----BEGIN CERTIFICATE-----\nMIIB"),
    "no key": ("tls.key", None),
    "empty CAs": ("ca.crt", b""),
    "binary CAs": ("ca.crt", b"\xff\x00"),
    "no CAs": ("ca.crt", None),
}


@pytest.mark.parametrize(("name", "content"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_cannot_be_used_is_not_taken(folder: Folder, name: str, content: bytes | None) -> None:
    """What was good before stays in use, above all who is let in; at the start it is refused by name."""
    async with opened(folder) as door:
        path = folder.path / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        for port in (door.own, door.of_grpc):
            assert await door.serves(port) == "first"
            assert not await door.lets_in(port, Authority().issue("alice"))
    with pytest.raises(Refusal) as raised:
        TlsFiles(folder.tls())
    assert raised.value.code is Code.INVALID
    assert raised.value.violations[0].field.startswith("tls.")


@pytest.mark.parametrize("name", SETTINGS.values())
async def test_what_is_no_file_stops_nothing(folder: Folder, name: str) -> None:
    """To open a FIFO blocks until somebody writes to it: the controller would do nothing else any more."""
    async with opened(folder) as door:
        path = folder.path / name
        for replace in (os.mkfifo, os.mkdir, lambda path: path.write_bytes(bytes(MAX_FILE + 1))):
            path.rmdir() if path.is_dir() else path.unlink()
            replace(path)
            async with asyncio.timeout(20):
                for port in (door.own, door.of_grpc):
                    assert await door.serves(port) == "first"


def test_a_file_whose_rights_were_mended_is_read_again(folder: Folder) -> None:
    """Its content and its time are as they were."""
    files = TlsFiles(folder.tls())
    (folder.path / "tls.key").chmod(0o640)
    assert files.refresh()
    assert not files.refresh()


def test_comments_of_a_bundle_may_have_any_letters(folder: Folder) -> None:
    """As those of Mozilla's CAs have."""
    comment = "# F\u0151tan\u00fas\u00edtv\u00e1ny\n".encode()
    (folder.path / "ca.crt").write_bytes(comment + folder.authority.certificate)
    TlsFiles(folder.tls()).context("h2")


def test_a_key_with_a_password_is_refused(folder: Folder) -> None:
    """Nobody is at a terminal to be asked for it."""
    key = load_pem_private_key((folder.path / "tls.key").read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder.path / "tls.key").write_bytes(locked)
    with pytest.raises(Refusal, match=r"no certificate and its key"):
        TlsFiles(folder.tls())


async def test_who_is_let_in(folder: Folder) -> None:
    """Our own doors ask for a certificate and let in who has none; what is brought must be valid."""
    async with opened(folder) as door:
        expired = folder.authority.issue("alice", until=datetime.now(UTC) - timedelta(minutes=1))
        for certificate, own, of_grpc in (
            (door.alice, True, True),
            (None, True, False),
            (Authority().issue("alice"), False, False),
            (expired, False, False),
        ):
            assert await door.lets_in(door.own, certificate) is own
            assert await door.lets_in(door.of_grpc, certificate) is of_grpc


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_whose_ca_was_taken_away_is_refused(folder: Folder, version: ssl.TLSVersion) -> None:
    """On its next connection, also with the session of one before, which would bring the old certificate unverified."""
    async with opened(folder) as door:
        context = door.client(door.alice)
        context.maximum_version = version
        before = {port: await door.connect(port, context) for port in (door.own, door.of_grpc)}
        assert before[door.of_grpc].answer
        (folder.path / "ca.crt").write_bytes(Authority().certificate)
        for port, first in before.items():
            again = await door.connect(port, context, first.session)
            assert not again.answer
            assert not again.resumed


async def test_our_own_doors_resume_no_session(folder: Folder) -> None:
    """The certificate of each connection is verified."""
    async with opened(folder) as door:
        context = door.client(door.alice)
        first = await door.connect(door.own, context)
        assert first.answer
        assert (await door.connect(door.own, context, first.session)).resumed is False
