"""What is said of a valid service file: what cannot be known of its service, and who does not get all of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from controller.core.model.service import Service


@dataclass(frozen=True, slots=True)
class Note:
    """What is said of a field. Nothing is wrong with it."""

    field: str
    message: str


def notes(service: Service) -> Iterator[Note]:
    """Every note on a service."""
    if service.route_config:
        first_token = ", and times to the first token," if service.streaming else ""
        message = (
            f"responses that break off after their headers and clients that give up{first_token} are known only if "
            "your listener has Haldane's access loggers"
        )
        yield Note("route_config", message)
    if service.own_clusters:
        message = "all that goes to these clusters is judged: give versions clusters that no route of your own uses"
        yield Note("clusters", message)
