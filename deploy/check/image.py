"""Build the image by buildah, without a container engine and without a registry, and run what is in it.

`python deploy/check/image.py [FOLDER]` needs root, buildah and mmdebstrap (apt-get install buildah mmdebstrap). The
base is a Debian of its own with Python, since the one that the Containerfile names comes from a registry. FOLDER keeps
the base and the packages for the next time (default: build/image).

It fails unless `haldane serve` comes up as uid 65532 on a read-only root, with no shell between, the image's own health
check says that it is ready, `haldane list` answers in the same container, and SIGTERM ends it cleanly.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BASE = "localhost/haldane-check-base"
IMAGE = "haldane-check"
TAG = "latest"
MOST = 250_000_000
"""Bytes of the whole image."""
USER = 65532
START = 60.0
"""Seconds to be ready."""
UNUSED = ("doc", "man", "locale", "info")
"""Folders of /usr/share that slim images leave out."""
ISOLATED = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=KILL")

CONTAINER = """\
set -eu
mount --make-rprivate /
ip link set lo up
mount --bind "$1" "$1"
mount --bind "$2" "$1/var/lib/haldane"
mount -t tmpfs none "$1/tmp"
mount -t proc none "$1/proc"
mount --rbind /dev "$1/dev"
mount -o remount,ro,bind "$1"
shift 2
exec "$@"
"""
"""What an engine does: a read-only root, a volume, and a network of its own."""
WRITES_ROOT = "import sys\ntry: open('/written', 'w')\nexcept OSError as error: sys.exit(0 if error.errno == 30 else 1)"


class Failed(Exception):  # noqa: N818
    """The check failed, and why."""


@dataclass(frozen=True)
class Builder:
    """buildah with images of its own in a folder."""

    folder: Path
    environment: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        storage = self.folder / "storage.conf"
        roots = f'graphroot = "{self.folder}/storage"\nrunroot = "{self.folder}/run"\n'
        storage.write_text(f'[storage]\ndriver = "overlay"\n{roots}')
        more = {"CONTAINERS_STORAGE_CONF": str(storage), "BUILDAH_ISOLATION": "chroot", "BUILDAH_LAYERS": "false"}
        object.__setattr__(self, "environment", {**os.environ, **more})

    def run(self, *words: str, **more: str) -> str:
        """The output of a buildah command."""
        done = subprocess.run(
            ["buildah", *words], env={**self.environment, **more}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"buildah {' '.join(words[:3])}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def make_base(self) -> None:
        """The base image, of Debian's packages."""
        tar = self.folder / "base.tar"
        if not tar.exists():
            made = self.folder / "base.tmp.tar"
            options = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in UNUSED]
            perl = 'rm -rf "$1"/usr/share/perl "$1"/usr/lib/*/perl "$1"/var/cache/apt "$1"/var/lib/apt/lists'
            include = "--include=python3,python3-venv,libstdc++6"
            words = ["--variant=essential", include, *options, f"--customize-hook={perl}", "bookworm", str(made)]
            execute("mmdebstrap", *words)
            made.rename(tar)
        container = self.run("from", "scratch")
        self.run("add", "--quiet", container, str(tar), "/")
        self.run("commit", "--quiet", "--rm", container, BASE)

    def build(self) -> None:
        """The image, by the script that `make image` runs; its packages come from this machine's pip."""
        wheels = self.folder / "wheels"
        if not wheels.exists():
            version = execute(sys.executable, "-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))")
            if version != "3.11":
                raise Failed(f"Debian's Python is 3.11 and this one {version}: fill {wheels} with wheels for 3.11")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest"]
            execute(*pip, f"{wheels}.tmp", "--constraint", "constraints.txt", ".", "setuptools>=77", "packaging")
            Path(f"{wheels}.tmp").rename(wheels)
        options = ["--volume", f"{wheels}:/wheels-in:ro", "--build-arg", "PIP_FIND_LINKS=/wheels-in"]
        command = ["deploy/image/build.sh", "--", *options, "--build-arg", "PIP_NO_INDEX=1"]
        values = {"ENGINE": "buildah", "IMAGE": IMAGE, "TAG": TAG, "TARGETS": "controller", "BASE": BASE}
        execute(*command, environment={**self.environment, **values})

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """The root of a container of the image."""
        container = self.run("from", f"{IMAGE}:{TAG}")
        try:
            yield Path(self.run("mount", container))
        finally:
            self.run("rm", container)


def execute(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """A command's output. Raises `Failed` with its last words."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout.strip()


class Container:
    """A process of an image as an engine runs it, by what the image says of itself."""

    def __init__(self, root: Path, config: Mapping[str, Any], state: Path) -> None:
        self._root, self._config = root, config
        state.mkdir()
        os.chown(state, USER, USER)
        state.chmod(0o700)
        inside = self._entered([*config["Entrypoint"], *config["Cmd"]])
        words = [*ISOLATED, "sh", "-c", CONTAINER, "container", str(root), str(state), *inside]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _entered(self, command: Sequence[str]) -> list[str]:
        """That command inside the root, as the image's user and with its environment."""
        environment = ["env", "-i", *self._config["Env"]]
        return ["chroot", f"--userspec={self._config['User']}", "--groups=", str(self._root), *environment, *command]

    def pid(self) -> int:
        """The first process in the container."""
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What `podman exec` does."""
        entered = ["nsenter", f"--target={self.pid()}", "--mount", "--pid", "--net", *self._entered(command)]
        return subprocess.run(entered, capture_output=True, text=True, timeout=30, check=False)

    def wait_until_healthy(self) -> float:
        """Seconds until the image's health check is content. Raises `Failed`."""
        test = self._config["Healthcheck"]["Test"]
        begun = time.monotonic()
        while True:
            if self._process.poll() is not None:
                raise Failed(f"the controller ended:\n{self._output()}")
            with contextlib.suppress(IndexError, FileNotFoundError):
                done = self.execute(*test[1:])
                if done.returncode == 0:
                    return time.monotonic() - begun
            if time.monotonic() - begun > START:
                self.stop()
                raise Failed(f"not healthy within {START:g} s: {done.stdout}{done.stderr}\n{self._output()}")
            time.sleep(0.1)

    def stop(self) -> int:
        """End it as an engine does; its exit code."""
        with contextlib.suppress(IndexError, FileNotFoundError, ProcessLookupError):
            os.kill(self.pid(), signal.SIGTERM)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Failed("SIGTERM did not end it") from None

    def _output(self) -> str:
        assert self._process.stdout
        return self._process.stdout.read().decode(errors="replace")[-3000:]


def check_running(root: Path, config: Mapping[str, Any], state: Path) -> float:
    """Run the image's controller. Seconds until it was ready. Raises `Failed`."""
    container = Container(root, config, state)
    try:
        seconds = container.wait_until_healthy()
        status = Path(f"/proc/{container.pid()}/status").read_text()
        users = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
        if set(users) != {str(USER)}:
            raise Failed(f"it runs as {users}")
        if container.execute("/opt/haldane/bin/python", "-c", WRITES_ROOT).returncode:
            raise Failed("its root is not read-only")
        listed = container.execute("haldane", "list", "--output", "json")
        if listed.returncode:
            raise Failed(f"haldane list: {listed.stderr}")
        return seconds
    finally:
        code = container.stop()
        if code:
            print(f"exit code {code}", file=sys.stderr)


def main() -> None:
    """Build and check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "image")
    folder: Path = parser.parse_args().folder.absolute()
    if missing := [each for each in ("buildah", "mmdebstrap", "unshare", "ip") if not shutil.which(each)]:
        sys.exit(f"not installed: {', '.join(missing)}; on Debian: apt-get install buildah mmdebstrap iproute2")
    if os.geteuid() != 0:
        sys.exit("this check enters the container's root: run it as root")
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    try:
        builder = Builder(folder)
        builder.make_base()
        builder.build()
        (image,) = json.loads(builder.run("images", "--json", f"{IMAGE}:{TAG}"))
        config = json.loads(builder.run("inspect", "--type", "image", f"{IMAGE}:{TAG}"))["Docker"]["config"]
        with builder.mounted() as root:
            packages = json.loads((root / "opt/haldane/sbom.cdx.json").read_text())["components"]
            size = sum(each.lstat().st_size for each in root.rglob("*") if each.is_file() and not each.is_symlink())
            seconds = check_running(root, config, state)
    except Failed as failed:
        sys.exit(f"FAILED: {failed}")
    finally:
        shutil.rmtree(folder / "storage", ignore_errors=True)
    print(f"image {image['size']}: {size / 1e6:.0f} MB of files, {len(packages)} packages in its SBOM")
    print(f"healthy after {seconds:.1f} s as uid {USER} on a read-only root; stopped by SIGTERM")
    if size >= MOST:
        sys.exit(f"FAILED: the image has {size / 1e6:.0f} MB, and {MOST / 1e6:.0f} MB are allowed")


if __name__ == "__main__":
    main()
