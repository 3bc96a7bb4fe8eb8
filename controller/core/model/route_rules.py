"""What an operator declares about the routes of a service: which paths, retries, headers."""

from controller.core.base.value import Value


class PathMatch(Value):
    """The requests of one path: `exact`, or else all below it. Below `/v1/chat` is `/v1/chat/a`, and `/v1/chatty` is
    not; a path that ends with a slash is a plain prefix."""

    path: str
    exact: bool = False

    def __str__(self) -> str:
        return f"={self.path}" if self.exact else self.path


class Retry(Value):
    """Retries of what surely did not reach a server, on the same version. `attempts`: at most so many, 0 for none."""

    attempts: int = 1


class RequestHeaders(Value):
    """Headers of requests that Envoy sets (name, value) or removes before the model server gets them."""

    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class ListenTls(Value):
    """The certificate that clients are shown: files on Envoy's machine, or `sds`, the name of a secret in Envoy's own
    bootstrap."""

    certificate: str = ""
    key: str = ""
    sds: str = ""
