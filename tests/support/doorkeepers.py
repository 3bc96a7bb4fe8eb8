"""Doorkeepers for tests of what stands behind a door."""

from collections import Counter
from collections.abc import Sequence

from controller.admin.doorkeeper import Doorkeeper
from controller.admin.grpc_api import PERMISSIONS
from controller.admin.guard import Guard
from controller.core.access.binding import Binding
from controller.identity.door_authenticator import DoorAuthenticator
from controller.identity.static_tokens import StaticTokens


class CountedDenials:
    """Implements `ports.AccessMeter`."""

    def __init__(self) -> None:
        self.denied: Counter[tuple[str, str]] = Counter()

    def count_denied(self, door: str, code: str) -> None:
        """Count it."""
        self.denied[door, code] += 1


def doorkeeper(
    door: str, bindings: Sequence[Binding] = (), tokens: Sequence[str] = (), meter: CountedDenials | None = None
) -> Doorkeeper:
    """A doorkeeper that binds nobody, unless bindings are given; `tokens` are files of static tokens."""
    return Doorkeeper(door, DoorAuthenticator(bindings, StaticTokens(tokens)), meter or CountedDenials())


def open_guard() -> Guard:
    """The guard of an admin server that binds nobody."""
    return Guard(doorkeeper("admin"), PERMISSIONS)
