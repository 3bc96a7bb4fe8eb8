"""The `listen` section of a service file: where and how Envoy takes requests."""

from controller.core.model.route_rules import ListenTls
from controller.core.model.service import Listen
from controller.core.servicefile.field_rules import (
    number_of,
    read_address,
    read_bool,
    read_log_target,
    read_path,
    read_port,
    read_secret,
)
from controller.core.servicefile.section import Section

MAX_HOPS = 20


def read_listen(top: Section, manager: str) -> Listen | None:
    """The whole section; None if there is none. `manager` are Envoy's own fields of its connection manager."""
    section = top.section("listen")
    section.require("port")
    listen = Listen(
        address=section.value("address", read_address, "127.0.0.1", text=True),
        port=section.value("port", read_port, 0),
        tls=_read_tls(section),
        access_log=section.value("access_log", read_log_target, "", text=True),
        use_remote_address=section.value("use_remote_address", read_bool, False),
        xff_trusted_hops=section.value("xff_trusted_hops", number_of(0, MAX_HOPS), 0),
        http_connection_manager=manager,
    )
    section.close()
    return listen if section.present else None


def _read_tls(listen: Section) -> ListenTls | None:
    section = listen.section("tls")
    tls = ListenTls(
        certificate=section.value("certificate", read_path, "", text=True),
        key=section.value("key", read_path, "", text=True),
        sds=section.value("sds", read_secret, "", text=True),
    )
    section.close()
    if not section.present:
        return None
    given = section.mapping.entries.keys() & {"certificate", "key", "sds"}
    if given not in ({"certificate", "key"}, {"sds"}) and section.report.is_clean(section.path):
        section.report.add(section.path, "a certificate and a key are needed, or the sds name of a secret of Envoy's")
    return tls
