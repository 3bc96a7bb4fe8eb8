"""The number of files and connections that this process may have open."""

import resource


def raise_descriptor_limit() -> int:
    """Raise this process's limit to the most that it may have, and return it.

    Shells and systemd set it to 1024 for programs that use select(2), which fails beyond. Each proxy has a connection.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
