"""`make bench`: every benchmark, or those named; prints a table and writes bench/results.json.

Each runs in a process of its own, for `LONGEST` at most: one that fails or hangs is named at the end, and takes no
other with it. The results are written after each.
"""

import contextlib
import importlib
import json
import os
import pkgutil
import platform
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import tests.bench
from tests.bench import Row

RESULTS = Path("bench") / "results.json"
LONGEST = 1200.0
"""Seconds that a benchmark may take: several times what the longest takes on two quiet cores."""
ONE = "--one"
"""In a process of its own: run the benchmark of that name, and write its rows to this file."""


def benchmarks() -> dict[str, object]:
    """Name -> module, of every module here that has a `run`."""
    names = [found.name for found in pkgutil.iter_modules(tests.bench.__path__) if found.name != "__main__"]
    modules = {name: importlib.import_module(f"tests.bench.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def run_one(name: str, rows_file: Path, longest: float = LONGEST) -> str:
    """Run a benchmark in a process of its own, which writes its rows to that file: why it has none, or ""."""
    command = [sys.executable, "-m", "tests.bench", ONE, name, str(rows_file)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(longest)
    except subprocess.TimeoutExpired:
        return f"not done after {longest:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended, and so did all that it had started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"ended with {code}" if code else ""


def write_rows(name: str, rows_file: Path) -> None:
    """In the process of a benchmark."""
    rows: list[Row] = benchmarks()[name].run()  # type: ignore[attr-defined]
    rows_file.write_text(json.dumps([asdict(row) for row in rows]))


def run_all(wanted: list[str]) -> dict[str, str]:
    """Run them one after the other: those that failed, and why."""
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "at": time.strftime("%FT%TZ", time.gmtime()),
    }
    results: dict[str, list[dict[str, object]]] = {}
    failed: dict[str, str] = {}
    RESULTS.parent.mkdir(exist_ok=True)
    for name in wanted:
        rows_file = RESULTS.parent / f"results-{name}.json"
        rows_file.unlink(missing_ok=True)
        begun = time.monotonic()
        if reason := run_one(name, rows_file):
            failed[name] = reason
        else:
            results[name] = json.loads(rows_file.read_text())
            for row in (Row(**fields) for fields in json.loads(rows_file.read_text())):
                print(f"{name:8} {row.what:44} {row.case:32} {row.value:12.4g} {row.unit}", flush=True)
        rows_file.unlink(missing_ok=True)
        took = f"{time.monotonic() - begun:.0f} s"
        print(f"{name:8} {failed.get(name, 'done')}, {took}", flush=True)
        RESULTS.write_text(json.dumps({"machine": machine, "results": results, "failed": failed}, indent=2))
    return failed


def main() -> None:
    """Run those that the command line names, or all. Exits with 1 if one failed."""
    if sys.argv[1:2] == [ONE]:
        write_rows(sys.argv[2], Path(sys.argv[3]))
        return
    known = benchmarks()
    wanted = sys.argv[1:] or sorted(known)
    if unknown := set(wanted) - known.keys():
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    if failed := run_all(wanted):
        raise SystemExit("; ".join(f"{name}: {reason}" for name, reason in failed.items()))


if __name__ == "__main__":
    main()
