"""The child process that runs apprise: an `AppriseJob` on standard input, an `AppriseResult` on standard output.

It bounds itself, so that it ends also when its parent is gone.
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

from controller.notify.apprise_job import START, AppriseJob, AppriseResult

MAX_MEMORY = 1 << 30
"""Bytes of address space. apprise reads whole responses: an endless one fails here."""
MAX_ADDRESSES = 50
TYPES = {"INFO": apprise.NotifyType.INFO, "WARNING": apprise.NotifyType.WARNING, "CRITICAL": apprise.NotifyType.FAILURE}


def main() -> None:
    """Do one job."""
    job = AppriseJob.model_validate_json(sys.stdin.buffer.read())
    signal.setitimer(signal.ITIMER_REAL, job.timeout + START)
    # Some systems have no such limit; the time limit stays.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    sys.stdout.write(do(job).model_dump_json())
    sys.stdout.flush()
    os._exit(0)  # without waiting for the threads of addresses that hang


def do(job: AppriseJob) -> AppriseResult:
    """Deliver to every address that has not taken it; the result names those that have now, as digests."""
    try:
        lines = [line.strip() for line in Path(job.file).read_text().splitlines()]
    except (OSError, ValueError) as error:
        return AppriseResult(error=f"{job.file} cannot be read: {type(error).__name__}")
    addresses = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(addresses) <= MAX_ADDRESSES:
        return AppriseResult(error=f"{job.file} has {len(addresses)} addresses, not 1 to {MAX_ADDRESSES}")
    waiting = {digest: a for a in addresses if (digest := _digest(a)) not in job.delivered}
    threads = ThreadPoolExecutor(max_workers=len(addresses))
    calls = {digest: threads.submit(_notify, address, job) for digest, address in waiting.items()}
    wait(calls.values(), timeout=job.timeout)
    taken = tuple(d for d, call in calls.items() if call.done() and not call.exception() and call.result())
    return AppriseResult(delivered=taken, failed=len(waiting) - len(taken))


def _notify(address: str, job: AppriseJob) -> bool:
    asset = apprise.AppriseAsset(app_id="Haldane", http_redirects=False, service_timeout=job.timeout)
    client = apprise.Apprise(asset=asset)
    return bool(
        client.add(address)
        and client.notify(
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
