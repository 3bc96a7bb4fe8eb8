"""The child process that runs apprise: a `Job` on standard input, an `Outcome` on standard output.

It is bounded from within, so that it ends by itself also when its parent is gone.
"""

import contextlib
import hashlib
import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import apprise

from controller.notify.people import START, Job, Outcome

MAX_MEMORY = 1 << 30
"""Bytes of address space. apprise reads answers whole: an endless one ends here, and not in the machine's memory."""
MAX_ADDRESSES = 50
TYPES = {"INFO": apprise.NotifyType.INFO, "WARNING": apprise.NotifyType.WARNING, "CRITICAL": apprise.NotifyType.FAILURE}


def main() -> None:
    """Do one job."""
    job = Job.model_validate_json(sys.stdin.buffer.read())
    signal.setitimer(signal.ITIMER_REAL, job.timeout + START)
    # Some systems have no such limit; the time limit stays.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    sys.stdout.write(do(job).model_dump_json())
    sys.stdout.flush()
    os._exit(0)  # without waiting for the threads of those who did not answer


def do(job: Job) -> Outcome:
    """Tell every address that has not been told; what is told now comes back as digests."""
    try:
        lines = [line.strip() for line in Path(job.file).read_text().splitlines()]
    except (OSError, ValueError) as error:
        return Outcome(wrong=f"{job.file} cannot be read: {type(error).__name__}")
    addresses = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(addresses) <= MAX_ADDRESSES:
        return Outcome(wrong=f"{job.file} has {len(addresses)} addresses, not 1 to {MAX_ADDRESSES}")
    waiting = {digest: a for a in addresses if (digest := _digest(a)) not in job.told}
    threads = ThreadPoolExecutor(max_workers=len(addresses))
    asked = {digest: threads.submit(_tell, address, job) for digest, address in waiting.items()}
    wait(asked.values(), timeout=job.timeout)
    told = tuple(d for d, answer in asked.items() if answer.done() and not answer.exception() and answer.result())
    return Outcome(told=told, failed=len(waiting) - len(told))


def _tell(address: str, job: Job) -> bool:
    asset = apprise.AppriseAsset(app_id="Haldane", http_redirects=False, service_timeout=job.timeout)
    speaker = apprise.Apprise(asset=asset)
    return bool(
        speaker.add(address)
        and speaker.notify(
            body=job.body,
            title=job.title,
            notify_type=TYPES[job.severity],
            body_format=apprise.NotifyFormat.TEXT,
            timeout=job.timeout,
        )
    )


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()


if __name__ == "__main__":
    main()
