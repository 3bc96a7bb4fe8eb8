"""The TLS side of a proxy: which files on its machine prove who it is, and whom it takes for the controller.

Envoy reads certificates again only if they come by SDS, so each is named by a small SDS file, and `watched_directory`
is where they are swapped: file by file, or as Kubernetes does it, by moving the link `..data`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from controller.bootstrap.yaml_text import to_yaml
from controller.core.access.spiffe_names import CONTROLLER

CERTIFICATE_FILE = "sds-certificate.yaml"
CA_FILE = "sds-ca.yaml"
"""The names of the SDS files."""

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_NAME = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class ProxyTls:
    """Paths are those on the proxy's machine. ValueError, which names the option, for what cannot be meant."""

    folder: str
    """Where `tls.crt`, `tls.key` and `ca.crt` are, as in a Kubernetes secret."""
    sds: str = ""
    """Where the SDS files are, `folder` unless given."""
    controller: str = CONTROLLER
    """The controller's name in its certificate: a SPIFFE ID, or a DNS name."""

    def __post_init__(self) -> None:
        for option, path in (("--tls", self.folder), ("--sds", self.sds or self.folder)):
            if not PurePosixPath(path).is_absolute() or not path.isprintable():
                raise ValueError(f"{option}: an absolute path on the proxy's machine is needed, not {path!r}")
        if not _NAME.fullmatch(self.controller):
            raise ValueError(f"--controller: a SPIFFE ID or a DNS name is needed, not {self.controller!r}")

    def path(self, name: str) -> str:
        """The path of a file of the folder."""
        return str(PurePosixPath(self.folder) / name)

    def transport_socket(self) -> dict[str, Any]:
        """How Envoy connects to the controller."""
        context = {
            "@type": f"{_TLS}.UpstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [self._secret("certificate", CERTIFICATE_FILE)],
                "validation_context_sds_secret_config": self._secret("ca", CA_FILE),
            },
        }
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def sds_files(self) -> Mapping[str, str]:
        """The SDS files: name -> content."""
        certificate = {
            "certificate_chain": {"filename": self.path("tls.crt")},
            "private_key": {"filename": self.path("tls.key")},
            "watched_directory": {"path": self.folder},
        }
        kind = "URI" if "://" in self.controller else "DNS"
        ca = {
            "trusted_ca": {"filename": self.path("ca.crt")},
            "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": self.controller}}],
            "watched_directory": {"path": self.folder},
        }
        return {
            CERTIFICATE_FILE: _sds_file("certificate", {"tls_certificate": certificate}),
            CA_FILE: _sds_file("ca", {"validation_context": ca}),
        }

    def _secret(self, name: str, file: str) -> dict[str, Any]:
        source = {"path": str(PurePosixPath(self.sds or self.folder) / file)}
        return {"name": name, "sds_config": {"path_config_source": source, "resource_api_version": "V3"}}


def _sds_file(name: str, secret: Mapping[str, Any]) -> str:
    return to_yaml({"resources": [{"@type": f"{_TLS}.Secret", "name": name, **secret}]})
