"""A hook of the settings, and when it is called: the types are those of Flagger's webhooks."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.core.base.value import Seconds
from controller.process.http_client import Receiver


class HookType(StrEnum):
    """When a hook is called. The words are those of Flagger's webhooks."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    """Before the canary gets its first traffic."""
    PRE_ROLLOUT = "pre-rollout"
    """Before the canary gets its first traffic, once every confirm-rollout has passed."""
    ROLLOUT = "rollout"
    """Before each step forward, promotion included."""
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    """Before each step to a higher weight, once every rollout hook has passed."""
    CONFIRM_PROMOTION = "confirm-promotion"
    """Before promotion, once every rollout hook has passed."""
    POST_ROLLOUT = "post-rollout"
    """After the end: promoted or rolled back."""
    ROLLBACK = "rollback"
    """Repeatedly during a rollout; a 2xx response rolls back."""
    EVENT = "event"
    """For every ledger line of the service."""


class Hook(Receiver):
    """One `[hooks.NAME]` of the settings. Services refer to it by its name under `policy.hooks`."""

    types: Annotated[frozenset[HookType], Field(min_length=1)]
    """When it is called."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often it is retried at once, one second apart, if it does not respond or responds 5xx."""
    every: Annotated[Seconds, Field(ge=1, le=3600)] = 10.0
    """Seconds until it is called again after it blocked, and between two calls of type rollback."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=50)
    """Sent to the hook unchanged."""
