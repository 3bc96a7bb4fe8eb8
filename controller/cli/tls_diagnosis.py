"""Why a connection failed, as far as TLS is the reason: gRPC only says that it did."""

import contextlib
import socket
import ssl
from datetime import UTC, datetime

from controller.cli.endpoint import SYSTEM, Endpoint, read_file

WITHIN = 1.0
"""Seconds for each step of the attempt."""

_OF_CERTIFICATE = {
    10: "its certificate has expired",
    18: "its certificate is self-signed, and is not of the CAs of --ca",
    19: "its certificate is of none of the CAs of --ca",
    20: "its certificate is of none of the CAs of --ca",
    9: "its certificate is not valid yet",
}
"""OpenSSL's X509_V_ERR codes of a server's certificate."""


def diagnose(endpoint: Endpoint) -> str:
    """What is wrong between this client and the server; "" if TLS is not the reason. Connects once."""
    if endpoint.is_unix:
        return ""
    try:
        connection = socket.create_connection((endpoint.host, endpoint.port), WITHIN)
    except OSError:
        return ""
    with connection:
        connection.settimeout(WITHIN)
        return _refusal(endpoint, connection) if endpoint.uses_tls else _speaks_tls(endpoint, connection)


def _speaks_tls(endpoint: Endpoint, connection: socket.socket) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent; only whether it is TLS
    with contextlib.suppress(OSError), context.wrap_socket(connection):
        return f"{endpoint.address} speaks TLS: name the CA of its certificate with --ca FILE"
    return ""


def _refusal(endpoint: Endpoint, connection: socket.socket) -> str:
    try:
        context = _context(endpoint)
    except OSError as error:  # ssl.SSLError is one
        return f"--certificate, --key or --ca cannot be used: {getattr(error, 'reason', '') or error}"
    try:
        tls = context.wrap_socket(connection, server_hostname=endpoint.host)
    except TimeoutError:
        return ""
    except ssl.SSLCertVerificationError as error:
        why = _OF_CERTIFICATE.get(error.verify_code, f"its certificate is not valid: {error.verify_message}")
        return f"{endpoint.address} cannot be trusted: {why}"
    except OSError:
        return f"{endpoint.address} does not speak TLS: leave out --ca and --certificate"
    with tls:
        if tls.selected_alpn_protocol() != "h2":
            return f"{endpoint.address} is not the admin API: it is an HTTP port, such as that of the console"
        return _rejection(endpoint) if endpoint.certificate and _ends(tls) else ""


def _ends(tls: ssl.SSLSocket) -> bool:
    """Whether the server closes a connection after its handshake: in TLS 1.3 it sees the client's certificate last.
    One that accepts it begins with the settings of HTTP/2."""
    try:
        return not tls.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def _rejection(endpoint: Endpoint) -> str:
    from controller.identity.certificates import expiry_of  # slow to load, and rarely needed

    expiry = expiry_of(read_file("--certificate", endpoint.certificate))
    if expiry < datetime.now(UTC):
        why = f"it has expired at {expiry:%Y-%m-%d %H:%M:%S} UTC"
    else:
        why = "it is probably of a CA that the controller does not accept"
    return f"{endpoint.address} rejects your certificate: {why}"


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    """As the gRPC client would connect. OSError if the files cannot be used."""
    context = ssl.create_default_context(cafile=None if endpoint.ca in ("", SYSTEM) else endpoint.ca)
    context.set_alpn_protocols(["h2"])
    if endpoint.certificate:
        context.load_cert_chain(endpoint.certificate, endpoint.key)
    return context
