"""Where a version's endpoints come from, if not from the service file: the reference that the file has, and no address.

What a source says is never stored. Each controller reads it for itself.
"""

from controller.core.base.value import Value


class FileSource(Value):
    """A file on the controller's machine, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return f"file {self.path}"


EndpointSource = FileSource
