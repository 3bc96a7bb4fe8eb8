"""What keeps a demo or a test from running here at all."""


class ProgramMissing(Exception):  # noqa: N818
    """A program that is needed is not installed. The message says which, and how to install it."""
