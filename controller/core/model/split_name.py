"""The name of the split that a service's state decides: the same in every controller."""

from controller.core.base.identity_cache import by_identity
from controller.core.model.service_state import ServiceState


@by_identity
def split_name(state: ServiceState) -> str:
    """Such as `v2=500 v1=9500`, with the rollout that it is of. Two states have the same one if a request has the same
    chances in both."""
    rollout = state.rollout
    weights = " ".join(f"{version}={weight}" for version, weight in state.weights.items())
    if rollout is None:
        return weights
    return f"{weights} copies={rollout.copies} {rollout.id}"
