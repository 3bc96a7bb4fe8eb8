"""`haldane controllers`."""

from controller.core.model.member import Member, Writes
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane


def announce(server: AdminServer, name: str, revision: int, instance: str = "", writes: Writes = Writes.YES) -> None:
    """That controller shares the store."""
    member = Member(
        instance=instance or name,
        name=name,
        since=1.0,
        version="1.2.3",
        records=1,
        revision=revision,
        xds="h:1",
        writes=writes,
    )
    server.do(server.store.members.announce(member))


def test_each_controller_is_a_row(haldane: Haldane, server: AdminServer) -> None:
    """With its role, and how many revisions it is behind."""
    announce(server, "edge-2", 3)
    announce(server, "edge-1", 5, instance="test")  # the one who has campaigned in this server
    header, leader, follower = haldane("controllers").out.splitlines()
    assert header.split()[:5] == ["NAME", "ROLE", "SINCE", "TERM", "REVISION"]
    assert leader.startswith("edge-1")
    assert " leader " in leader
    assert follower.startswith("edge-2")
    assert "3 (2 behind)" in follower


def test_the_document_is_a_list(haldane: Haldane, server: AdminServer) -> None:
    """One object for each controller, with every field of the contract."""
    announce(server, "edge-1", 5, instance="test")
    (one,) = haldane("controllers", "--output", "json").document
    fields = [
        "name",
        "leader",
        "since",
        "term",
        "revision",
        "version",
        "proxies",
        "xds",
        "admin",
        "http",
        "records",
        "writes",
    ]
    assert sorted(one) == sorted(fields)
    assert (one["name"], one["leader"], one["term"], one["xds"]) == ("edge-1", True, server.token, "h:1")


def test_where_none_decides_it_says_so(haldane: Haldane, server: AdminServer) -> None:
    """Proxies are served; no weight moves."""
    announce(server, "edge-1", 5)
    server.store.end_term()
    assert "none of them decides now" in haldane("controllers").out


def test_those_that_store_nothing_are_named(haldane: Haldane, server: AdminServer) -> None:
    """With what they wait for, or what to do."""
    announce(server, "edge-1", 5, writes=Writes.WAITS)
    announce(server, "edge-2", 5, writes=Writes.TOO_OLD)
    shown = haldane("controllers").out
    assert "edge-1 stores nothing until those of a schema older than its own (1) have ended" in shown
    assert "edge-2 stores nothing, and shows what it has read last" in shown
