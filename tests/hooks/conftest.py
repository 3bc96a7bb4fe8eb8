"""Fixtures: a clock and a store for the tests with a loop."""

from tests.support.fixtures import clock, store

__all__ = ["clock", "store"]
