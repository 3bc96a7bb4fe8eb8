"""Fault points: named places where a test kills, breaks or delays the controller. Off unless a test arms them.

A point is passed by `reach`, which in production checks one empty mapping. Tests arm points by a setting that is
refused outside test mode: `commit:after/step_advanced=kill@2,push:before=sleep:0.5`.
"""

import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

POINTS: Mapping[str, str] = MappingProxyType(
    {
        "start:before": "the state is read; no port is open",
        "commit:before": "a change is decided; nothing of it is written",
        "commit:inside": "all of a change is written, in a transaction that is not committed",
        "commit:after": "a change is durable; no response was sent, nothing is served yet",
        "push:before": "a new view came from the store; the proxies are served the one before",
        "push:after": "the new view is being sent to the proxies",
        "freeze:before": "a freeze was asked for; nothing of it is written",
        "freeze:after": "a freeze is durable; no response was sent yet",
        "session:before": "a session's evidence is about to be saved",
        "session:after": "a session's evidence is saved",
        "drain:before": "the controller is stopping; every stream is open",
    }
)
"""Every point and where in the flow it is. The kind of change follows a slash: `commit:after/rollback`."""

MAX_SLEEP = 60.0
"""Seconds of the longest delay."""

_FAULT = re.compile(
    r"(?P<point>[a-z]+:[a-z]+)(/(?P<what>[a-z_]+))?=(?P<do>[a-z]+)(:(?P<seconds>\d+(\.\d+)?))?(@(?P<nth>\d+))?"
)


class Action(StrEnum):
    """What happens at a point."""

    KILL = "kill"
    """The process ends at once, as by `kill -9`."""
    RAISE = "raise"
    """`Injected` is raised, like an internal error."""
    SLEEP = "sleep"
    """The thread stands still."""


class Injected(Exception):  # noqa: N818
    """A fault that a test armed."""


@dataclass(slots=True)
class Fault:
    """What to do at a point. `nth` is at which visit, from 1; 0 for every one. `visits` counts them."""

    action: Action
    seconds: float = 0.0
    nth: int = 0
    visits: int = 0

    def strike(self, place: str) -> None:
        """Act, if this visit is the one."""
        self.visits += 1
        if self.nth not in (0, self.visits):
            return
        match self.action:
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.RAISE:
                raise Injected(place)
            case Action.SLEEP:
                time.sleep(self.seconds)


_armed: dict[str, Fault] = {}


def reach(point: str, what: str = "") -> None:
    """The flow is at this point, with a change of kind `what`. Does nothing unless a test armed it."""
    if _armed:
        for place in (point, f"{point}/{what}"):
            if fault := _armed.get(place):
                fault.strike(place)


def arm(faults: Mapping[str, Fault]) -> None:
    """Arm these faults, by their places, and no others."""
    _armed.clear()
    _armed.update(faults)


def read_faults(text: str) -> dict[str, Fault]:
    """The faults in a text such as `commit:after/rollback=kill@2,push:before=sleep:0.5`; ValueError says what is wrong.

    Each is POINT[/WHAT]=ACTION[:SECONDS][@NTH]; without @NTH at every visit.
    """
    faults = {}
    for part in filter(None, text.split(",")):
        found = _FAULT.fullmatch(part.strip())
        if not found:
            raise ValueError(f"{part!r} is no POINT[/WHAT]=ACTION[:SECONDS][@NTH]")
        if found["point"] not in POINTS:
            raise ValueError(f"there is no point {found['point']!r}: there are {', '.join(POINTS)}")
        place = f"{found['point']}/{found['what']}" if found["what"] else found["point"]
        faults[place] = _read_fault(found)
    return faults


def _read_fault(found: re.Match[str]) -> Fault:
    actions = ", ".join(Action)
    if found["do"] not in list(Action):
        raise ValueError(f"there is no action {found['do']!r}: there are {actions}")
    action = Action(found["do"])
    if (action is Action.SLEEP) != (found["seconds"] is not None):
        raise ValueError(f"{action} {'needs' if action is Action.SLEEP else 'has no'} seconds, as in sleep:0.5")
    seconds = float(found["seconds"] or 0)
    if seconds > MAX_SLEEP:
        raise ValueError(f"at most {MAX_SLEEP:g} seconds")
    return Fault(action, seconds, int(found["nth"] or 0))
