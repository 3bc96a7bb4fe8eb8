"""Generate the stubs in controller/pb from the .proto files beside this script; with --check, only compare.

The stubs are checked in so that an installation needs no compiler. They live inside the package, so the virtual
import path `controller/pb` maps to this folder.
"""

import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = ROOT / "controller" / "pb"


def generate(out: Path) -> None:
    """Write all stubs below `out`, which stands for the project's root."""
    names = sorted(f"controller/pb/{p.relative_to(HERE)}" for p in HERE.rglob("*.proto"))
    outputs = [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if protoc.main(["protoc", f"-Icontroller/pb={HERE}", f"-I{protoc_include()}", *outputs, *names]):
        raise SystemExit("protoc failed")
    package = out / "controller" / "pb"
    for stub in package.rglob("*_pb2_grpc.py"):
        if "Servicer" not in stub.read_text():  # messages only: nothing to serve
            stub.unlink()
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        (folder / "__init__.py").touch()


def protoc_include() -> Path:
    """Where grpcio-tools keeps the well-known types."""
    return Path(protoc.__file__).parent / "_proto"


def stubs(folder: Path) -> set[Path]:
    """The generated files below a folder, relative to it."""
    return {p.relative_to(folder) for p in folder.rglob("*") if p.suffix in (".py", ".pyi")}


def main() -> None:
    """Generate, or check that the stubs are up to date."""
    if sys.argv[1:] != ["--check"]:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = Path(folder) / "controller" / "pb"
        stale = stubs(fresh) ^ stubs(TARGET)
        stale |= {p for p in stubs(fresh) & stubs(TARGET) if not filecmp.cmp(fresh / p, TARGET / p, shallow=False)}
    if stale:
        raise SystemExit(f"stubs are out of date, run `make proto`: {', '.join(map(str, sorted(stale)))}")


if __name__ == "__main__":
    main()
