"""Excluded proxies: served like every other, and neither judged nor waited for."""

from controller.core.base.value import Value


class Exclusion(Value):
    """A proxy that an operator excluded, by its node id, in whichever fleet. `since` is Unix seconds."""

    node: str
    reason: str
    who: str
    since: float
