"""What a listener has only if its service asks for it: TLS, and an access log; and loggers as Envoy's file has them.

The messages are envoy-data-plane's. It takes 0.4 s to load, so this module is imported when it is needed.
"""

from functools import lru_cache
from typing import NamedTuple

from betterproto2 import Casing, Message
from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import DataSource, SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import Config  # noqa: F401  (how a logger is written)
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StderrAccessLog, StdoutAccessLog
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CommonTlsContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    TlsCertificate,
)
from envoy_data_plane.google.protobuf import Any, Struct

from controller.core.model.route_rules import ListenTls
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.access_logs import TIME_TO_FIRST_BYTE

MAX_OPTIONS = 256
"""Different ones that are remembered."""
ALPN = ("h2", "http/1.1")
LOGGED = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "grpc_status": "%GRPC_STATUS%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": TIME_TO_FIRST_BYTE,
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "endpoint": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "user_agent": "%REQ(USER-AGENT)%",
}
"""The fields of a line of the access log. `cluster` says which version responded, and why it was sent there."""


class Extension(NamedTuple):
    """An extension of Envoy's: its name, and its configuration with that one's type."""

    name: str
    type_url: str
    body: bytes


@lru_cache(MAX_OPTIONS)
def transport_socket(tls: ListenTls) -> Extension:
    """TLS towards clients, with HTTP/2 if they can."""
    common = CommonTlsContext(alpn_protocols=list(ALPN))
    if tls.sds:
        common.tls_certificate_sds_secret_configs = [SdsSecretConfig(name=tls.sds)]
    else:
        certificate, key = DataSource(filename=tls.certificate), DataSource(filename=tls.key)
        common.tls_certificates = [TlsCertificate(certificate_chain=certificate, private_key=key)]
    return _extension("envoy.transport_sockets.tls", DownstreamTlsContext(common_tls_context=common))


@lru_cache(MAX_OPTIONS)
def access_log(target: str) -> Extension:
    """A log of JSON lines to "stdout", "stderr", or the file of that path on Envoy's machine."""
    log_format = SubstitutionFormatString(json_format=Struct.from_dict(LOGGED))
    match target:
        case "stdout":
            return _extension("envoy.access_loggers.stdout", StdoutAccessLog(log_format=log_format))
        case "stderr":
            return _extension("envoy.access_loggers.stderr", StderrAccessLog(log_format=log_format))
        case path:
            return _extension("envoy.access_loggers.file", FileAccessLog(path=path, log_format=log_format))


def written_logger(logger: pb.AccessLog) -> dict[str, object]:
    """An access logger as the file of an Envoy has it."""
    return AccessLog.parse(logger.SerializeToString()).to_dict(casing=Casing.SNAKE)


def _extension(name: str, message: Message) -> Extension:
    packed = Any.pack(message)
    return Extension(name, packed.type_url, packed.value)
