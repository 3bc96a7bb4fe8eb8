"""Render the chart for the values in tests/deploy/charts, and compare with what was rendered before: `make charts`.

`render.py --write` writes NAME.yaml beside each NAME.values.yaml; without it a difference is an error. It needs helm.
The first line of each file is a digest of the chart, by which the tests know that it is current, also without helm.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

CHART = Path(__file__).parent / "haldane"
CASES = Path(__file__).parents[2] / "tests" / "deploy" / "charts"
KUBERNETES = "1.33.0"
"""The version that the chart is rendered for."""
ELSEWHERE = "files"
"""The chart's folder of links to other parts of deploy/, which have tests of their own."""


def digest(values: Path) -> str:
    """The first line of what is rendered from the chart as it is and these values."""
    made = hashlib.sha256()
    for path in [*sorted(CHART.rglob("*")), values]:
        if path.is_file() and ELSEWHERE not in path.parts:
            made.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return f"# of chart and values {made.hexdigest()[:16]}, by `make charts`\n"


def render(values: Path, *options: str) -> str:
    """What helm makes of these values. Raises `subprocess.CalledProcessError`, whose stderr says why not."""
    words = ["--namespace", "ml", "--kube-version", KUBERNETES, "--values", str(values), *options]
    command = [shutil.which("helm") or "helm", "template", "release", str(CHART), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return digest(values) + done.stdout


def main() -> None:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    if not shutil.which("helm"):
        sys.exit("helm is not installed: go install helm.sh/helm/v3/cmd/helm@latest")
    different = []
    for values in sorted(CASES.glob("*.values.yaml")):
        snapshot = values.with_name(values.name.replace(".values", ""))
        try:
            rendered = render(values)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{values.name}: {error.stderr}")
        if not snapshot.exists() or snapshot.read_text() != rendered:
            different.append(snapshot.name)
            if write:
                snapshot.write_text(rendered)
    if different:
        print(f"{'written' if write else 'not what helm renders now'}: {', '.join(different)}")
    sys.exit(1 if different and not write else 0)


if __name__ == "__main__":
    main()
