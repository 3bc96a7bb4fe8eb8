"""Notifying people: ledger lines as one readable message, sent by apprise to chats, mail, pagers and phones.

apprise reads whole responses into memory and may wait where no time limit applies, so it runs in a child process
(`apprise_child`) that is bounded and can be killed. The child also reads the addresses, which hold passwords: they
never enter this process.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence

from controller.core.model.ledger_kind import severity_of
from controller.core.model.ledger_line import LedgerLine
from controller.notify.apprise_job import START, AppriseJob, AppriseResult
from controller.notify.message_text import render_message
from controller.notify.target import Target
from controller.ports.recipient import DeliveryError


class People:
    """The people behind a file of apprise addresses."""

    batch = 500

    def __init__(self, name: str, target: Target) -> None:
        self.name = name
        self.give_up = target.give_up
        self.wants = target.wants
        self._target = target
        self._lines: tuple[int, ...] = ()
        self._delivered: tuple[str, ...] = ()

    async def deliver(self, lines: Sequence[LedgerLine]) -> None:
        """Send one message with all the lines, only to the addresses that have not taken it before.

        `DeliveryError` if an address did not take it.
        """
        sequences = tuple(line.sequence for line in lines)
        if sequences != self._lines:
            self._lines, self._delivered = sequences, ()
        title, body = render_message(lines)
        job = AppriseJob(
            file=str(self._target.apprise_file),
            title=title,
            body=body,
            severity=max(severity_of(line.entry.kind) for line in lines).name,
            timeout=self._target.timeout,
            delivered=self._delivered,
        )
        result = await _run(job)
        self._delivered += result.delivered
        if result.failed or result.error:
            raise DeliveryError(result.error or f"{result.failed} of the addresses did not take it")


async def _run(job: AppriseJob) -> AppriseResult:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "controller.notify.apprise_child"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(job.timeout + START):
            output, _ = await child.communicate(job.model_dump_json().encode())
        return AppriseResult.model_validate_json(output)
    except TimeoutError:
        raise DeliveryError(f"not delivered within {job.timeout:g} s") from None
    except ValueError:
        raise DeliveryError(f"apprise ended with code {child.returncode}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
