"""A hook as the settings name it, and what it is asked: the types of Flagger's webhooks, for which receivers exist."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.core.base.value import Seconds
from controller.process.http_client import Receiver


class HookType(StrEnum):
    """When a hook is asked. The words are those of Flagger's webhooks."""

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
    """Told after the end: promoted or rolled back."""
    ROLLBACK = "rollback"
    """Asked again and again while a rollout is under way; its yes rolls back."""
    EVENT = "event"
    """Told of every ledger line of the service."""


class Hook(Receiver):
    """One `[hooks.NAME]` of the settings; services use it by its name under `policy.hooks`."""

    types: Annotated[frozenset[HookType], Field(min_length=1)]
    """What it is asked."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often it is tried again at once, one second apart, when it does not answer or answers 5xx."""
    every: Annotated[Seconds, Field(ge=1, le=3600)] = 10.0
    """Seconds until it is asked again after a no, and between two questions of type rollback."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=50)
    """Handed to the hook as it stands."""
