"""Where a version's endpoints come from, if not from the service file: the reference that the file has, and no address.

What a source says is never in the store. Each controller reads it for itself.
"""

from controller.core.base.value import Value


class KubernetesSource(Value):
    """The EndpointSlices of a Kubernetes Service. `port` is the name of one of its ports, or the number that its pods
    listen on."""

    namespace: str
    service: str
    port: str

    def __str__(self) -> str:
        return f"kubernetes {self.namespace}/{self.service}:{self.port}"


class FileSource(Value):
    """A file on the controller's machine, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return f"file {self.path}"


class DnsSource(Value):
    """The SRV records of a name."""

    name: str

    def __str__(self) -> str:
        return f"dns_srv {self.name}"


EndpointSource = KubernetesSource | FileSource | DnsSource
