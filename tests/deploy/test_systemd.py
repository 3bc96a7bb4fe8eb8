"""The systemd units: hardened, and run by a real systemd with a real Envoy."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.demo.harness.child_processes import Children
from tests.deploy.machine import UNITS, Machine, impossible
from tests.support.process import free_port
from tests.support.waiting import answers, wait_until

pytestmark = [pytest.mark.requires("systemd-analyze"), pytest.mark.timeout(180)]

MOST_EXPOSED = 3.0
"""Of 10: by what `systemd-analyze security` weighs."""
OURS = ("haldane.service", "haldane-envoy.service")
LOG = "[Service]\nStandardOutput=append:/run/log-{0}\nStandardError=append:/run/log-{0}\n"


@pytest.mark.parametrize("unit", OURS)
def test_a_unit_is_hardened(unit: str) -> None:
    """Its exposure is below 3, in the judgement of systemd itself."""
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNITS / unit)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    last = told.strip().splitlines()[-1]
    assert float(last.partition(f"{unit}:")[2].split()[0]) < MOST_EXPOSED, last


@pytest.mark.parametrize("unit", OURS)
def test_systemd_knows_every_word_of_a_unit(unit: str, tmp_path: Path) -> None:
    """With the drop-in for secrets; only the programs are not installed here."""
    shutil.copytree(UNITS, tmp_path / "units")
    path = tmp_path / "units" / unit
    path.write_text(path.read_text().replace("/opt/haldane/bin/", "/bin/").replace("/bin/haldane serve", "/bin/true"))
    path.write_text(path.read_text().replace("/bin/envoy", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def own_ports() -> str:
    """Drop-in lines of a controller: on ports of its own."""
    return "".join(f"Environment=HALDANE_{name}_LISTEN=127.0.0.1:{free_port()}\n" for name in ("XDS", "ADMIN", "HTTP"))


@pytest.fixture
async def machine(processes: Children, tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine with both units, not yet started, on ports of its own."""
    if why := impossible():
        pytest.skip(why)
    controller = f"{LOG.format('controller')}{own_ports()}WatchdogSec=4\nRestartSec=100ms\n"
    made = Machine(processes, tmp_path, {OURS[0]: controller, OURS[1]: LOG.format("envoy")})
    await made.boot()
    yield made
    for name in ("controller", "envoy"):
        print((await made.run("cat", f"/run/log-{name}")).out[-3000:])  # pytest shows it where the test has failed
    made.stop()


async def listens_at(machine: Machine, door: str) -> str:
    """The address of one of the controller's doors."""
    environment = await machine.show(OURS[0], "Environment")
    return environment.rpartition(f"HALDANE_{door}_LISTEN=")[2].split()[0]


async def test_both_units_run(processes: Children, tmp_path: Path) -> None:
    """`systemctl start` returns once proxies are served; an operator's socket; an Envoy in sync; a clean stop.

    With the drop-ins for secrets: both prove who they are by TLS, and the copies are for the unit's user alone.
    """
    if why := impossible():
        pytest.skip(why)
    logs = [LOG.format(name) for name in ("controller", "envoy")]
    secrets = [(UNITS / f"{unit}.d" / "secrets.conf").read_text() for unit in OURS]
    drop_ins = {OURS[0]: f"{logs[0]}{own_ports()}{secrets[0]}", OURS[1]: f"{logs[1]}{secrets[1]}"}
    machine = Machine(processes, tmp_path, drop_ins)
    await machine.boot()
    done = await machine.run("sh", "-euc", INSTALL_SECRETS)
    assert done.code == 0, done.err
    started = await machine.run("systemctl", "start", OURS[0])
    assert started.code == 0, started.err + (await machine.run("cat", "/run/log-controller")).out
    assert await machine.show(OURS[0], "StatusText") == "serving"

    owner = await machine.run("stat", "--format=%u %G %a", "/run/haldane/admin.sock")
    user, group, mode = owner.out.split()
    assert (61184 <= int(user) <= 65519, group, mode) == (True, "haldane-operators", "660")
    assert (await machine.run("stat", "--format=%u", "/var/lib/haldane/haldane.db")).out.strip() == user
    key = await machine.run("stat", "--format=%u %a", "/run/credentials/haldane.service/tls.key")
    assert key.out.split() in ([user, "400"], ["0", "440"]), key.out  # the latter with an access list

    haldane = ("/opt/haldane/bin/haldane", "--admin", "unix:/run/haldane/admin.sock")
    assert (await machine.run(*haldane, "list")).code == 0
    options = ["--fleet", "edge", "--xds", await listens_at(machine, "XDS"), "--envoy-admin", "none"]
    options += ["--tls", "/run/credentials/haldane-envoy.service", "--sds", "/etc/haldane/sds"]
    bootstrap = await machine.run(*haldane, "bootstrap", *options, "--write-sds", "/etc/haldane/sds")
    await machine.run("sh", "-c", 'printf %s "$0" > /etc/haldane/envoy.yaml', bootstrap.out)
    started = await machine.run("systemctl", "start", OURS[1])
    assert started.code == 0, started.err + (await machine.run("cat", "/run/log-envoy")).out

    async def connected() -> bool:
        return '"fleet": "edge"' in (await machine.run(*haldane, "proxies", "--output", "json")).out

    await wait_until(connected, 30.0)
    for unit in OURS:
        assert (await machine.run("systemctl", "stop", unit)).code == 0
        assert await machine.show(unit, "Result") == "success", unit
    machine.stop()


async def test_an_event_loop_that_stands_still_is_restarted(machine: Machine) -> None:
    """The watchdog's time is over: systemd kills it and starts another, which serves."""
    await machine.run("systemctl", "start", OURS[0])
    await machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", OURS[0])

    async def is_restarted() -> bool:
        return (await machine.show(OURS[0], "NRestarts"), await machine.show(OURS[0], "ActiveState")) == ("1", "active")

    await wait_until(is_restarted, 60.0)
    assert await answers(f"http://{await listens_at(machine, 'HTTP')}/readyz")


INSTALL_SECRETS = """\
/opt/haldane/bin/haldane certs /run/made --fleet edge
mkdir -m 700 -p /etc/haldane/secrets/envoy
cp /run/made/controller/tls.crt /run/made/controller/tls.key /etc/haldane/secrets
cp /run/made/ca.crt /etc/haldane/secrets/clients.crt
cp /run/made/fleet-edge/* /etc/haldane/secrets/envoy
sed -i '/^# .tls.$/,$ s/^# //' /etc/haldane/haldane.toml
"""
"""What docs/on-machines.md says, with certificates of a first day."""
