"""Every number that the judge is made of: where it stands, its value, and the first sentence of its reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

JUDGE = Path(__file__).parents[1] / "controller" / "core" / "judge"


def constants() -> list[tuple[str, str, str, str]]:
    """(module, name, value, reason) of each constant with a number of its own; those that follow from others are none.

    ValueError for one without a reason.
    """
    return [found for path in sorted(JUDGE.rglob("*.py")) for found in _of_module(path)]


def _of_module(path: Path) -> Iterator[tuple[str, str, str, str]]:
    module = path.relative_to(JUDGE).with_suffix("").as_posix()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for i, statement in enumerate(body):
        if not isinstance(statement, ast.Assign) or not _is_given(statement.value):
            continue
        name = ast.unparse(statement.targets[0]).strip("()")
        reason = next((_text(after) for after in body[i + 1 : i + 3] if _text(after)), "")
        if not reason:
            raise ValueError(f"{module}.{name} has no reason")
        yield module, name, _shortened(ast.unparse(statement.value)), reason


def _is_given(value: ast.expr) -> bool:
    """Whether numbers are written down here, and not only looked up by or added to names."""
    if isinstance(value, ast.Tuple | ast.Dict):
        return any(map(_is_given, value.elts if isinstance(value, ast.Tuple) else value.values))
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("Margins", "log") and any(map(_is_given, value.args))
    if isinstance(value, ast.BinOp):
        return _is_given(value.left) and _is_given(value.right)
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def _text(statement: ast.stmt) -> str:
    """The first sentence of a bare string."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return ""
    text = " ".join(str(statement.value.value).split())
    return re.split(r"(?<=[.:;]) ", text.removeprefix("Seconds. "))[0].rstrip(".:;")


def _shortened(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:50]}..."
