"""What this process and the child that runs apprise say to each other, as JSON on standard input and output."""

from controller.core.base.value import Value

START = 5.0
"""Seconds that the child gets to load apprise, besides the time that the settings give it for delivery."""


class AppriseJob(Value):
    """Deliver to every address in the file but those that have taken it already, each within `timeout` seconds."""

    file: str
    title: str
    body: str
    severity: str
    timeout: float
    delivered: tuple[str, ...]
    """Digests of the addresses that have taken it."""


class AppriseResult(Value):
    """Which addresses have taken it now (digests), how many have not, and what else went wrong."""

    delivered: tuple[str, ...] = ()
    failed: int = 0
    error: str = ""
