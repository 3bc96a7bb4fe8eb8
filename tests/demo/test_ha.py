"""`haldane demo --ha`: what it says without etcd, and, for minutes, the whole of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controller.__main__ import main

ROOT = Path(__file__).parents[2]


def test_without_etcd_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, at once."""
    monkeypatch.setenv("PATH", "")
    assert main(["demo", "--ha"]) == 1
    assert (
        "`etcd` is not on PATH: install it (Debian and Ubuntu: apt-get install etcd-server" in capsys.readouterr().out
    )


@pytest.mark.soak
@pytest.mark.envoy
@pytest.mark.requires("etcd")
@pytest.mark.timeout(600)
def test_every_act_is_seen(tmp_path: Path) -> None:
    """Exit code 0, every check seen, and no process or file is left."""
    done = subprocess.run(
        [sys.executable, "-m", "controller", "demo", "--ha", "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    acts = json.loads(done.stdout)["acts"]
    assert len(acts) == 3
    assert all(check["seen"] for act in acts for check in act["checks"])
    assert list(tmp_path.iterdir()) == []
