"""The names of Envoy's clusters and of their statistics."""


def cluster_name(service: str, version: str) -> str:
    """The name of a version's cluster. The slash occurs in no service or version name."""
    return f"{service}/{version}"


def cluster_parts(name: str) -> tuple[str, str] | None:
    """(service, version) of a cluster's name; None if Haldane did not name it."""
    service, slash, version = name.partition("/")
    return (service, version) if slash and service and version else None


def stats_name(cluster: str) -> str:
    """A cluster's name in Envoy's statistics, which are split at dots. No name contains an equals sign."""
    return cluster.replace(".", "=")
