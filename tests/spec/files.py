"""Service files for the tests: a valid one, line by line, and ways to change it."""

GOOD = {
    "service": "service: scorer",
    "listen": "listen: {port: 10000}",
    "versions": "versions:",
    "v1": '  v1: {endpoints: ["127.0.0.1:9001"]}',
    "v2": '  v2: {endpoints: ["127.0.0.1:9002"]}',
    "stable": "stable: v1",
    "policy": "policy:",
    "steps": "  steps: [5%, 25%]",
    "dwell": "  dwell: 60s",
}
"""Key -> its line, in order."""

LINE = {key: number for number, key in enumerate(GOOD, start=1)}
"""Key -> the number of its line."""
END = len(GOOD) + 1
"""The line after the last."""


def file(*more: str, **changed: str | None) -> str:
    """The valid file with some lines changed (None: omitted) and some added at the end."""
    lines = [changed.get(key, line) for key, line in GOOD.items()]
    return "\n".join([line for line in lines if line is not None] + list(more)) + "\n"
