"""Views as messages: what a worker reads is what the first process has."""

import pytest

from controller.core.model.exclusion import Exclusion
from controller.core.model.view import View
from controller.pb.haldane.worker.v1 import worker_pb2 as pb
from controller.store.records import Unreadable
from controller.workers.view_messages import SERVICES_AT_ONCE, ViewReader, ViewWriter
from tests.builders import freeze, state

EXCLUSION = Exclusion(node="n1", reason="it lies", who=freeze().who, since=1.0)


def passed_on(writer: ViewWriter, reader: ViewReader, view: View) -> View:
    """The view as it comes, through bytes."""
    views = [reader.read(pb.ViewPart.FromString(part.SerializeToString())) for part in writer.parts(view)]
    assert views[:-1] == [None] * (len(views) - 1)
    assert views[-1] is not None
    return views[-1]


def view(revision: int, *names: str, **fields: object) -> View:
    """A view with these services."""
    return View("s", revision, {name: state(name) for name in names}, **fields)  # type: ignore[arg-type]


def test_every_part_of_a_view_arrives() -> None:
    """Services, freezes, exclusions, and which records cannot be read."""
    sent = view(
        3, "a", "b", freezes=(freeze(), freeze("a", reason="r")), broken={"c": "not JSON"}, exclusions=(EXCLUSION,)
    )
    assert passed_on(ViewWriter(), ViewReader(), sent) == sent


def test_only_what_has_changed_is_sent_and_the_rest_is_the_same_object() -> None:
    """With a thousand services a step of one of them costs as much as with one."""
    writer, reader = ViewWriter(), ViewReader()
    before = view(1, "a", "b", "c", freezes=(freeze(),), exclusions=(EXCLUSION,))
    had = passed_on(writer, reader, before)
    services = {"a": before.services["a"], "b": state("b", weight=700), "d": state("d")}
    after = View("s", 2, services, broken={"c": "not JSON"})
    (part,) = ViewWriter().parts(after)
    assert sorted(part.services) == ["a", "b", "d"]
    (part,) = writer.parts(after)
    assert (sorted(part.services), list(part.gone)) == (["b", "d"], ["c"])
    has = reader.read(part)
    assert has == after
    assert has
    assert has.services["a"] is had.services["a"]


def test_many_services_come_in_parts() -> None:
    """None of them is a view before the last has come."""
    sent = view(1, *(f"s{n:04}" for n in range(3 * SERVICES_AT_ONCE + 1)))
    assert len([*ViewWriter().parts(sent)]) == 4
    assert passed_on(ViewWriter(), ViewReader(), sent) == sent


def test_a_record_that_cannot_be_read_is_an_error() -> None:
    """Half of a view is none."""
    with pytest.raises(Unreadable):
        ViewReader().read(pb.ViewPart(services={"a": "{"}, last=True))
