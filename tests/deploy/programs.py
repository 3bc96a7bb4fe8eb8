"""The programs of deploy/, which are no modules of a package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

DEPLOY = Path(__file__).parents[2] / "deploy"


def program(path: str) -> ModuleType:
    """The module in that file of deploy/."""
    name = f"deploy_{path.replace('/', '_').removesuffix('.py')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, DEPLOY / path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
