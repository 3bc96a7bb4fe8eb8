"""Applying a service file to a service that may exist already, beside others. Never moves traffic."""

from controller.core.base.errors import Code, Refusal
from controller.core.model.service import Service, Version
from controller.core.model.service_state import FIXED_RESPONSE, ServiceState


def declare(spec: Service, text: str, present: ServiceState | None) -> ServiceState:
    """The state after applying a file over what is there; `Refusal` if that would move or lose traffic."""
    if present is None:
        return ServiceState(spec=spec, source=text, stable=spec.stable)
    if spec.stable not in (present.spec.stable, present.stable):
        raise Refusal(
            Code.STABLE_CHANGED,
            f"{present.stable} is the stable of {spec.name} and carries its traffic; a file does not move traffic: "
            f"start a canary with {spec.stable} instead",
        )
    state = present.model_copy(update={"spec": spec, "source": text})
    if present.diverted and spec.fallback != present.spec.fallback:
        raise Refusal(
            Code.IN_USE,
            f"fallback: it carries the traffic of {spec.name} and cannot change now: take the traffic back first",
        )
    kept = {version for version, weight in present.weights.items() if weight} - {FIXED_RESPONSE} | {present.stable}
    if present.rollout and present.rollout.running:
        kept |= {present.rollout.stable, present.rollout.canary}
    for version in sorted(kept):
        declared = spec.version(version)
        if declared is None:
            raise Refusal(Code.IN_USE, f"versions.{version} is in use and cannot be taken away")
        if not declared.has_servers:
            raise Refusal(Code.NO_ENDPOINTS, f"versions.{version}.endpoints: {version} is in use and needs endpoints")
        _check_way(present.spec, spec, version)
    return state


def _check_way(before: Service, after: Service, version: str) -> None:
    """Refuse other servers that are spoken to in another way: proxies learn the two by two messages, and would speak to
    the new servers in the old way in between."""
    old, new = before.version(version), after.version(version)
    if old and new and old.cluster != new.cluster:
        raise Refusal(
            Code.IN_USE,
            f"versions.{version} is in use, and its cluster cannot change: what Envoy has counted of the one is "
            "nothing of the other; declare another version and roll it out",
        )
    if old is None or new is None or _way(before, old) == _way(after, new):
        return
    if old.source != new.source or set(map(str, old.endpoints)) != set(map(str, new.endpoints)):
        raise Refusal(
            Code.IN_USE,
            f"versions.{version} is in use, and its endpoints cannot change together with tls or HTTP/2: requests "
            "would fail in between; declare another version and roll it out",
        )


def _way(spec: Service, version: Version) -> tuple[bool, bool]:
    """Whether the servers of a version are spoken to by TLS, and by HTTP/2."""
    upstream = spec.upstream_of(version)
    return upstream.tls is not None, bool(upstream.http2)
