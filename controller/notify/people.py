"""Telling people: ledger lines as one readable message, sent by apprise to chats, mail, pagers and phones.

apprise reads whole answers into memory and may wait where no time limit reaches, so it runs in a child process
(`apprise_child`) that is bounded and can be ended. The child also reads the addresses, which hold passwords: they
never enter this process.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from controller.core.base.units import counted, format_weight
from controller.core.base.value import Value
from controller.core.model.freeze import ALL
from controller.core.model.ledger_kind import severity_of
from controller.core.model.ledger_line import Entry, LedgerLine
from controller.notify.target import Target
from controller.ports.audience import Undelivered

SHOWN = 10
"""Lines of a message; a flood is summed up."""
MAX_WHY = 400
"""Characters of a reason in a message."""
START = 5.0
"""Seconds that the child gets to load apprise, beside the time that the settings give it for telling."""


class Job(Value):
    """What the child is to do: tell everybody in the file but those who know already, each within `timeout` seconds."""

    file: str
    title: str
    body: str
    severity: str
    timeout: float
    told: tuple[str, ...]


class Outcome(Value):
    """What the child did: who has been told by now (digests of addresses), how many could not be, and what else."""

    told: tuple[str, ...] = ()
    failed: int = 0
    wrong: str = ""


class People:
    """The people behind a file of apprise addresses."""

    batch = 500

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self.give_up = target.give_up
        self.wants = target.wants
        self._target = target
        self._lines: tuple[int, ...] = ()
        self._told: tuple[str, ...] = ()

    async def tell(self, lines: Sequence[LedgerLine]) -> None:
        """Send one message with all the lines, to those alone who have not taken it before. Raises `Undelivered`."""
        sequences = tuple(line.sequence for line in lines)
        if sequences != self._lines:
            self._lines, self._told = sequences, ()
        title, body = message(lines)
        job = Job(
            file=str(self._target.apprise_file),
            title=title,
            body=body,
            severity=max(severity_of(line.entry.kind) for line in lines).name,
            timeout=self._target.timeout,
            told=self._told,
        )
        outcome = await _sent(job)
        self._told += outcome.told
        if outcome.failed or outcome.wrong:
            raise Undelivered(outcome.wrong or f"{outcome.failed} of the addresses did not take it")


async def _sent(job: Job) -> Outcome:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "controller.notify.apprise_child"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(job.timeout + START):
            output, _ = await child.communicate(job.model_dump_json().encode())
        return Outcome.model_validate_json(output)
    except TimeoutError:
        raise Undelivered(f"not told within {job.timeout:g} s") from None
    except ValueError:
        raise Undelivered(f"apprise ended with code {child.returncode}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def message(lines: Sequence[LedgerLine]) -> tuple[str, str]:
    """Title and text that tell these lines to a person; of many, the most severe ones."""
    severe = sorted(lines, key=lambda line: -severity_of(line.entry.kind))
    first = severe[0].entry
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    title = f"{severity_of(first.kind).name}: {first.kind} {_about(first)}{more}"
    shown = sorted(severe[:SHOWN], key=lambda line: line.sequence)
    text = [_told(line) for line in shown]
    if len(lines) > len(shown):
        text.append(f"... and {counted(len(lines) - len(shown), 'line')} more: `haldane events` has them all")
    return title, "\n".join(text)


def _told(line: LedgerLine) -> str:
    entry = line.entry
    moved = [
        f"{version} {format_weight(entry.weights_before.get(version, 0))} -> {format_weight(weight)}"
        for version, weight in entry.weights_after.items()
        if weight != entry.weights_before.get(version, 0)
    ]
    why = " ".join(entry.why.split())
    why = why if len(why) <= MAX_WHY else why[:MAX_WHY] + "..."
    at = datetime.fromtimestamp(line.at, UTC)
    where = f" ({', '.join(moved)})" if moved else ""
    return f"{at:%H:%M:%S}Z {entry.kind} {_about(entry)} by {entry.who}{where}: {why}"


def _about(entry: Entry) -> str:
    return {"": "the fleet", ALL: "all services"}.get(entry.scope, entry.scope)
