"""Which services are judged now, so that what proxies report of them is urgent. Pure."""

from controller.core.base.identity_cache import by_identity
from controller.core.model.service_state import ServiceState


def has_canary(state: ServiceState) -> bool:
    """Whether a rollout runs whose canary gets traffic, or copies of it: not before its hooks let it begin, nor once
    rolled back."""
    return state.rollout is not None and state.rollout.running and state.rollout.has_traffic


@by_identity
def is_judged(state: ServiceState) -> bool:
    """Whether harm can be found in the service's traffic: that of a canary, or a broken absolute limit of stable."""
    policy = state.spec.policy
    return has_canary(state) or policy.errors.max is not None or policy.latency.p99 is not None
