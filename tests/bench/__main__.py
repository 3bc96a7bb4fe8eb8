"""`make bench`: every benchmark, or those named; prints a table and writes bench/results.json."""

import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import tests.bench
from tests.bench import Row

RESULTS = Path("bench") / "results.json"


def benchmarks() -> dict[str, object]:
    """Name -> module, of every module here that has a `run`."""
    names = [found.name for found in pkgutil.iter_modules(tests.bench.__path__) if found.name != "__main__"]
    modules = {name: importlib.import_module(f"tests.bench.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def main() -> None:
    """Run them one after the other."""
    known = benchmarks()
    wanted = sys.argv[1:] or sorted(known)
    if unknown := set(wanted) - known.keys():
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    results: dict[str, list[dict[str, object]]] = {}
    for name in wanted:
        rows: list[Row] = known[name].run()  # type: ignore[attr-defined]
        results[name] = [asdict(row) for row in rows]
        for row in rows:
            print(f"{name:8} {row.what:44} {row.case:32} {row.value:12.4g} {row.unit}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "at": time.strftime("%FT%TZ", time.gmtime()),
    }
    RESULTS.write_text(json.dumps({"machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
