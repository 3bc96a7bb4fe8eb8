"""What a command says beside its result: what was probably meant, which port that is, that no proxy is connected."""

import os
import pty
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest

from controller.core.control.sync import Sync
from controller.core.model.rollout import Event
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.ports.observatory import Live
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane, Process
from tests.cli.test_watch_and_wait import painted_until

START = ("start", "scorer", "--canary", "v2")
XDS = "envoy.service.discovery.v3.AggregatedDiscoveryService"


@pytest.mark.parametrize(
    "command",
    [
        ("start", "scoer", "--canary", "v2"),
        ("get", "scorerr"),
        ("watch", "scoer"),
        ("wait", "scoer", "--for", "promoted"),
        ("freeze", "scoer", "--reason", "x"),
        ("delete", "scoer"),
        ("explain", "scoer"),
    ],
)
def test_a_misspelt_service_gets_a_suggestion(scorer: Path, haldane: Haldane, command: tuple[str, ...]) -> None:
    """Not found all the same."""
    done = haldane(*command)
    assert done.code == 4
    assert "hint: did you mean 'scorer'?" in done.err


def test_a_misspelt_version_gets_a_suggestion(haldane: Haldane, tmp_path: Path, scorer: Path) -> None:
    """Wrong usage all the same."""
    scorer.write_text(scorer.read_text().replace("v2:", "candidate:"))
    assert haldane("apply", "-f", str(scorer)).code == 0
    done = haldane("start", "scorer", "--canary", "candidat")
    assert done.code == 2
    assert "hint: did you mean 'candidate'?" in done.err


def test_a_name_like_none_gets_no_suggestion(scorer: Path, haldane: Haldane) -> None:
    """A guess that cannot be right would only mislead."""
    assert "did you mean" not in haldane("get", "nobody").err


@pytest.fixture
def xds_port() -> Iterator[str]:
    """The address of a server that serves ADS and not the admin API."""
    server = grpc.server(ThreadPoolExecutor(2))
    streams = grpc.stream_stream_rpc_method_handler(lambda requests, _context: iter(requests))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(XDS, {"StreamAggregatedResources": streams}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def http_port() -> Iterator[str]:
    """The address of a server of HTTP/1.1."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("fixture", "what"), [("xds_port", "the xDS port"), ("http_port", "an HTTP port")])
@pytest.mark.parametrize("command", [("list",), START, ("watch", "scorer")])
def test_a_wrong_port_is_named_as_such(
    request: pytest.FixtureRequest, haldane: Haldane, fixture: str, what: str, command: tuple[str, ...]
) -> None:
    """The admin API cannot be reached there, and the message says what it is that answers."""
    address = request.getfixturevalue(fixture)
    done = haldane(*command, "--admin", address)
    assert done.code == 6
    assert f"{address} is not the admin API: it is {what}" in done.err
    assert "--admin" in done.err


def test_commands_report_that_no_proxy_is_connected(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """`start`, `get` and `wait` say it; with a proxy none does."""
    assert "no proxy is connected" in haldane("get", "scorer").out
    assert "no proxy is connected" in haldane(*START).out
    assert "no proxy is connected" in haldane("get", "scorer").out
    waited = haldane("wait", "scorer", "--for", "promoted", "--timeout", "200ms")
    assert "note: no proxy is connected: scorer cannot progress" in waited.err
    assert "it is WARMING, and no proxy is connected" in waited.err
    server.fleet.synced = Sync(1, 2)
    assert "1/2 proxies in sync" in haldane("get", "scorer").out
    assert "no proxy" not in haldane("wait", "scorer", "--for", "promoted", "--timeout", "200ms").err


def test_get_shows_the_endpoints_of_each_version(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """As far as proxies report on them; also before the first rollout."""
    assert "health:" not in haldane("get", "scorer").out
    server.see("scorer", Live(endpoints={"v1": EndpointHealth(3, 5, 5, 2)}))
    assert "health:   3 of 5 endpoints of v1\n" in haldane("get", "scorer").out


def test_wait_shows_progress_on_a_terminal(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """A line for each change on standard error; standard output has the result alone."""
    haldane(*START)
    controller, terminal = pty.openpty()
    child = process("wait", "scorer", "--for", "promoting", stderr=terminal)
    os.close(terminal)
    painted_until(controller, "scorer: WARMING | canary v2, step 1 of 4")
    server.happens("scorer", Event.WARM)
    painted_until(controller, "scorer: PROGRESSING")
    server.happens("scorer", Event.PROMOTE)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert out.decode().startswith("scorer: PROMOTING")
    assert len(out.splitlines()) == 1
    os.close(controller)
