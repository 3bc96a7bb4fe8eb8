"""Named canaries whose responses are streams: what is good and bad there is the time to the first token."""

from dataclasses import replace

from controller.simulation.scenario import Behaviour, Moment, Scenario
from controller.simulation.simulated_version import Server

LENGTHS = (2.0, 20.0)
"""Seconds that a stream takes, the shortest and the longest."""
FIRST_MS = 300.0
"""The median time to the first token."""


def _streaming(server: Server, moment: Moment) -> Server:  # noqa: ARG001
    return replace(server, seconds=LENGTHS, first_ms=FIRST_MS)


def _late_first_token(server: Server, moment: Moment) -> Server:
    return server if moment.since < 0 else replace(server, first_ms=1.5 * FIRST_MS)


def _longer(server: Server, moment: Moment) -> Server:
    shortest, longest = LENGTHS
    return server if moment.since < 0 else replace(server, seconds=(2 * shortest, 2 * longest))


def _varying(of: str) -> Behaviour:
    """Streams of half to twice the length, drawn again each minute."""

    def behave(server: Server, moment: Moment) -> Server:
        times = 2 ** moment.dice(of, 60.0).uniform(-1, 1)
        return replace(server, seconds=(LENGTHS[0] * times, LENGTHS[1] * times), first_ms=FIRST_MS)

    return behave


STREAMS = (
    Scenario(
        "late-first-token",
        "streams whose first token takes half as long again, and the whole as long",
        False,
        _late_first_token,
        _streaming,
        streaming=True,
    ),
    Scenario(
        "longer-answers", "streams twice as long, the first token as soon", True, _longer, _streaming, streaming=True
    ),
    Scenario(
        "varying-answers",
        "the length of each version's streams is drawn again each minute, from half to twice as long",
        True,
        _varying("canary"),
        _varying("stable"),
        streaming=True,
    ),
)
