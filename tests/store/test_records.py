"""Stored records: one that cannot be read is set aside with its reason, and stops neither the others nor the store."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.core.model.actor import Proof
from controller.core.model.freeze import Act, Mode
from controller.core.model.ledger_chain import verify
from controller.core.model.route_rules import PathMatch
from controller.core.model.service_state import SCHEMA, ServiceState
from controller.core.model.store_errors import Conflict, Frozen
from controller.store.records import Unreadable, canonical, read, read_freeze, read_state, write
from controller.store.sqlite import SqliteStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock

Edit = Callable[[dict[str, Any]], object]


def without(*path: str) -> Edit:
    """Takes a field away."""

    def edit(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return edit


def with_value(value: object, *path: str) -> Edit:
    """Gives a field another value."""

    def edit(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return edit


EDITS: dict[str, tuple[Edit, str]] = {
    "unknown phase": (with_value("FLYING", "rollout", "phase"), "rollout.phase"),
    "missing field": (without("stable"), "stable: Field required"),
    "missing schema": (without("schema"), "no schema number"),
    "schema 0": (with_value(0, "schema"), "no schema number"),
    "schema as text": (with_value("1", "schema"), "no schema number"),
    "newer schema": (with_value(SCHEMA + 1, "schema"), "newer Haldane.*upgrade"),
    "unknown key": (with_value(1, "surprise"), "surprise"),
    "weight as text": (with_value("much", "rollout", "weight"), "rollout.weight"),
    "another service's": (with_value("other", "spec", "name"), "record of other"),
}
TEXTS: dict[str, tuple[str | bytes, str]] = {
    "bad JSON": ('{"schema": 1, "spec"', "not JSON"),
    "empty": ("", "not JSON"),
    "another type": ("[1, 2]", "no schema number"),
    "deep nesting": ("[" * 100_000, "not JSON"),
    "not UTF-8": (b'{"schema": 1, "source": "\xff"}', "not JSON"),
}


def edited(edit: Edit) -> str:
    record = json.loads(write(state(weight=500)))
    edit(record)
    return canonical(record)


BAD: dict[str, tuple[str | bytes, str]] = {name: (edited(e), told) for name, (e, told) in EDITS.items()} | TEXTS


@pytest.mark.parametrize("sample", [state(), state(weight=500), state("other", source="ö\n'\"")])
def test_a_record_reads_back(sample: ServiceState) -> None:
    """What was written is what is read, and the same value gives the same text."""
    assert read(ServiceState, write(sample)) == sample
    assert write(read(ServiceState, write(sample))) == write(sample)


@pytest.mark.proves("bad-input 36")
@pytest.mark.parametrize(("text", "told"), [v for v in BAD.values() if isinstance(v[0], str)])
def test_a_bad_record_says_what_is_wrong(text: str, told: str) -> None:
    """Each kind of damage gives its own reason, and never another error."""
    with pytest.raises(Unreadable, match=told):
        read_state("scorer", text)


@pytest.mark.parametrize("proof", Proof)
def test_a_freeze_says_how_its_actor_was_verified(proof: Proof) -> None:
    """Nothing of that is in the record of one whom nothing has verified: it is as older versions wrote and read it."""
    kept = freeze(proof=proof)
    assert read_freeze("*", write(kept)) == kept
    older = {"schema": SCHEMA, "scope": "*", "mode": "freeze", "reason": "incident 42", "who": "grace", "since": 1.0}
    claimed = proof is Proof.CLAIMED
    assert (write(kept) == canonical({**older, "until": None})) is claimed
    assert read_freeze("*", canonical(older)).proof is Proof.CLAIMED


def test_an_older_record_is_brought_up_step_by_step() -> None:
    """A record of schema 1 read by a program of schema 3 passes both upgrades, in order."""
    upgrades = {
        1: lambda record: {**record, "source": record["source"] + "+1"},
        2: lambda record: {**record, "source": record["source"] + "+2"},
    }
    old = json.dumps({**json.loads(write(state(source="old"))), "schema": 1})
    assert read(ServiceState, old, newest=3, upgrades=upgrades).source == "old+1+2"


def test_the_prefix_of_schema_1_becomes_a_path() -> None:
    """A service of schema 1 had one prefix; the other kinds of record had none and stay as they are."""
    record = json.loads(write(state()))
    del record["spec"]["paths"]
    old = {**record, "schema": 1, "spec": {**record["spec"], "prefix": "/v2"}}
    assert read_state("scorer", json.dumps(old)).spec.paths == (PathMatch(path="/v2"),)
    kept = json.loads(write(freeze("scorer")))
    assert read_freeze("scorer", json.dumps({**kept, "schema": 1})) == freeze("scorer")


def test_a_version_of_a_record_from_before_upstreams_has_the_defaults() -> None:
    """An endpoint was a host and a port, and a version said nothing of how it is reached."""
    record = json.loads(write(state()))
    for version in record["spec"]["versions"]:
        del version["upstream"]
        version["endpoints"] = [{"host": each["host"], "port": each["port"]} for each in version["endpoints"]]
    assert read_state("scorer", json.dumps(record)) == state()


def tamper(path: Path, statement: str, *values: object) -> None:
    """Change the file behind the store's back."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed store with the services scorer and other, and a freeze of other."""
    path = tmp_path / "haldane.db"
    store = SqliteStore.open(path, clock=FakeClock())
    await store.command(change(to=state(weight=500)))
    await store.command(change("other"))
    await store.command(freezing(freeze("other")))
    await store.close()
    return path


@pytest.mark.proves("fault 33")
@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
async def test_one_bad_record_does_not_stop_the_others(path: Path, text: str | bytes, told: str) -> None:
    """The store opens, names the bad record with its reason, serves the other service and takes changes of it."""
    tamper(path, "UPDATE services SET record = CAST(? AS TEXT) WHERE name = 'scorer'", text)
    store = SqliteStore.open(path, clock=FakeClock())
    view = await store.load()
    assert set(view.services) == {"other"}
    assert set(view.broken) == {"scorer"}
    assert re.search(told, view.broken["scorer"])
    await store.command(change("other", expects=view.services["other"].revision, to=state("other", source="new")))
    assert set((await store.load()).broken) == {"scorer"}
    await store.close()


async def test_a_bad_record_is_replaced_only_by_who_knows_that_there_is_none(path: Path) -> None:
    """Automation that decided on the old one is refused; an operator who declares the service again replaces it.

    The unreadable record is kept, so nothing is lost that someone else could read.
    """
    tamper(path, "UPDATE services SET record = 'gibberish' WHERE name = 'scorer'")
    store = SqliteStore.open(path, clock=FakeClock())
    with pytest.raises(Conflict):
        await store.command(change(expects=1))
    await store.command(change(expects=0, to=state(source="anew")))
    view = await store.load()
    assert view.services["scorer"].source == "anew"
    assert dict(view.broken) == {}
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM quarantine").fetchall() == [("scorer", 1, "gibberish")]


@pytest.mark.proves("bad-input 36")
@pytest.mark.parametrize("text", ["gibberish", '{"schema": 99}', '{"schema": 1, "scope": "other", "mode": "melt"}'])
async def test_a_freeze_that_cannot_be_read_still_holds(path: Path, text: str) -> None:
    """In doubt nothing moves: it counts as a full freeze of its scope until someone lifts it."""
    tamper(path, "UPDATE freezes SET record = ?", text)
    store = SqliteStore.open(path, clock=FakeClock())
    (held,) = (await store.load()).freezes
    assert (held.scope, held.mode) == ("other", Mode.FREEZE)
    assert "unreadable" in held.reason
    with pytest.raises(Frozen, match="unreadable record"):
        await store.command(change("other", expects=2, act=Act.ROLLBACK))
    await store.command(freezing(lift=(held,)))
    await store.command(change("other", expects=2, act=Act.ROLLBACK))
    assert (await store.load()).freezes == ()
    await store.close()


async def test_a_ledger_line_that_cannot_be_read_shows_as_a_gap(path: Path) -> None:
    """The others are shown, changes go on, and who verifies the chain is told where it breaks."""
    tamper(path, "UPDATE ledger SET line = 'gibberish' WHERE sequence = 2")
    store = SqliteStore.open(path, clock=FakeClock())
    await store.command(change("third"))
    lines = await store.events()
    assert [line.sequence for line in lines] == [1, 3, 4]
    assert verify(lines).broken == 3
    await store.close()
