"""Fixtures: the command line's own."""

from tests.cli.conftest import desk, haldane, scorer

__all__ = ["desk", "haldane", "scorer"]
