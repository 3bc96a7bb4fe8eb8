"""From a fresh machine to a first rollback, by each way that can be tried here: `make deploy-check`.

`python deploy/check [NAME...]`: demo, stack, image, systemd, chart, upgrade; without a name, all. A check that cannot
run here says what it needs, and does not fail.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHIN = 1800.0
"""Seconds for one check."""


@dataclass(frozen=True)
class Check:
    """`needs`: programs of which all must be there. `root`: whether only root can do it."""

    what: str
    command: Callable[[Path], list[str]]
    needs: tuple[str, ...] = ()
    root: bool = False

    def obstacle(self) -> str:
        """Why it cannot run here; empty if it can."""
        if missing := [each for each in self.needs if not shutil.which(each)]:
            return f"not installed: {', '.join(missing)}"
        return "it takes root" if self.root and os.geteuid() != 0 else ""


def _demo(folder: Path) -> list[str]:
    """The README's two commands."""
    return ["sh", "-euc", f"git clone --quiet {ROOT} {folder}/haldane; cd {folder}/haldane; make demo"]


def _python(*words: str) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, *words]


def _in_own_network(*words: str) -> Callable[[Path], list[str]]:
    """On a loopback interface of its own, whose ports are free."""
    return lambda _: ["unshare", "--net", "sh", "-c", f"ip link set lo up; exec {' '.join([sys.executable, *words])}"]


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
CHECKS = {
    "demo": Check("a clone, and make demo", _demo, ("git", "make")),
    "stack": Check(
        "make stack: the compose file by this machine's programs",
        _in_own_network(str(ROOT / "deploy/compose/stack.py"), "--check"),
        ("prometheus", "unshare", "ip"),
        root=True,
    ),
    "image": Check(
        "the image, built by buildah, on a read-only root",
        _python(str(ROOT / "deploy/check/image.py")),
        ("buildah", "mmdebstrap", "unshare", "ip"),
        root=True,
    ),
    "systemd": Check(
        "the units, by a systemd of their own",
        _python(*PYTEST, "tests/deploy/test_systemd.py"),
        ("systemd-analyze", "unshare"),
        root=True,
    ),
    "chart": Check(
        "the chart: linted, rendered, against the API's schemas; its certificates, settings, probes and gateway run",
        _python(*PYTEST, "tests/deploy/test_chart.py", "tests/deploy/test_chart_running.py"),
        ("helm",),
    ),
    "upgrade": Check(
        "from the former release to this one with a rollout running, and back",
        _python(str(ROOT / "deploy/check/upgrade.py")),
        ("git",),
    ),
}


def run(name: str) -> bool:
    """Run one check and say how it went. False if it failed."""
    check = CHECKS[name]
    if why := check.obstacle():
        print(f"{name}: not tried, {why}", flush=True)
        return True
    print(f"{name}: {check.what}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="haldane-check-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HALDANE_", "MAKE"))}
        done = subprocess.run(check.command(Path(folder)), cwd=ROOT, env=environment, timeout=WITHIN, check=False)
    seconds = time.monotonic() - begun
    print(f"{name}: {'FAILED' if done.returncode else 'passed'} after {seconds:.0f} s", flush=True)
    return done.returncode == 0


def main() -> None:
    """Run the checks that are named, or all."""
    names = sys.argv[1:] or list(CHECKS)
    if unknown := set(names) - CHECKS.keys():
        sys.exit(f"{', '.join(sorted(unknown))}: no check; there are {', '.join(CHECKS)}")
    results = [run(name) for name in names]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
