"""Views as messages from the first process to its workers, and back: only what has changed, as it is stored."""

from collections.abc import Iterator

from controller.core.base.identity_cache import by_identity
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.pb.haldane.worker.v1 import worker_pb2 as pb
from controller.store.records import read_exclusion, read_freeze, read_state, write

SERVICES_AT_ONCE = 100
"""Services in one part: some 500 KB, and some ten milliseconds of the event loop."""
NOTHING = View("", 0, {})
"""What a worker knows before the first view."""


class ViewWriter:
    """Writes one view after another for one stream. Mutable."""

    def __init__(self) -> None:
        self._sent = NOTHING

    def parts(self, view: View) -> Iterator[pb.ViewPart]:
        """What differs from the view before. All parts are to be sent before the next view is written."""
        before, self._sent = self._sent, view
        changed = [each for name, each in view.services.items() if before.services.get(name) is not each]
        gone = before.services.keys() - view.services.keys()
        while len(changed) > SERVICES_AT_ONCE:
            now, changed = changed[:SERVICES_AT_ONCE], changed[SERVICES_AT_ONCE:]
            yield pb.ViewPart(services={each.name: _record(each) for each in now})
        yield pb.ViewPart(
            store_id=view.store_id,
            revision=view.revision,
            services={each.name: _record(each) for each in changed},
            gone=gone,
            last=True,
            broken=view.broken,
            freezes=[pb.Record(key=each.scope, text=write(each)) for each in view.freezes],
            exclusions=[pb.Record(key=each.node, text=write(each)) for each in view.exclusions],
        )


class ViewReader:
    """Reads the parts of one stream. What did not change is the same object in the next view. Mutable."""

    def __init__(self) -> None:
        self._services: dict[str, ServiceState] = {}

    def read(self, part: pb.ViewPart) -> View | None:
        """The view that this part completes, None if others follow. `Unreadable` if a record cannot be read."""
        for name in part.gone:
            self._services.pop(name, None)
        self._services.update({name: read_state(name, text) for name, text in part.services.items()})
        if not part.last:
            return None
        return View(
            part.store_id,
            part.revision,
            dict(sorted(self._services.items())),
            tuple(read_freeze(each.key, each.text) for each in part.freezes),
            dict(part.broken),
            tuple(read_exclusion(each.key, each.text) for each in part.exclusions),
        )


@by_identity
def _record(state: ServiceState) -> str:
    """Its stored record, written once for all workers."""
    return write(state)
