"""A controller whose certificate expires soon says so everywhere, and works on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import LedgerStub
from tests.support.secured import secured_controller
from tests.support.waiting import wait_until


@pytest.mark.proves("fault 30")
async def test_a_certificate_that_expires_soon_is_announced(tmp_path: Path) -> None:
    """By the ledger, /readyz (200) and /metrics; a swapped one is no longer."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    async with secured_controller(tmp_path, until=soon) as secured:
        admin = secured.identities["admin by certificate"]
        async with secured.channel(admin) as channel, secured.http(admin) as http:
            ledger: Any = LedgerStub(channel)  # type: ignore[no-untyped-call]

            async def announced() -> set[str]:
                events = (await ledger.ListEvents(pb.ListEventsRequest())).events
                return {event.why for event in events if event.kind == "certificate_expires"}

            assert await wait_until(lambda: _both(announced))
            async with http.get("/readyz") as response:
                assert response.status == 200
                expiring = (await response.json())["certificates"]
            assert expiring["controller"] == f"expires at {soon:%Y-%m-%d %H:%M} UTC"
            assert "client_ca" in expiring
            own = secured.authority.issue("controller", until=soon + timedelta(days=90))
            (tmp_path / "tls.crt").write_bytes(own.certificate)
            (tmp_path / "tls.key").write_bytes(own.key)
            async with http.get("/readyz") as response:
                assert "controller" not in (await response.json())["certificates"]
            async with http.get("/metrics") as response:
                text = await response.text()
            name = 'haldane_certificate_expiry_timestamp_seconds{certificate="controller"}'
            (value,) = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
            assert float(value) == (soon + timedelta(days=90)).timestamp()


async def _both(announced: Any) -> bool:
    return len(await announced()) == 2
