"""What a caller may do, and which role may do it. Four fixed roles, no policy language: whoever may stop a rollout need
not be able to start one."""

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """What a method or a route asks of its caller."""

    PUBLIC = "public"
    """Nothing: whoever can connect may call it."""
    VIEW = "view"
    """Read services, rollouts, freezes, proxies, the ledger and metrics."""
    OPERATE = "operate"
    """Start, pause, resume, approve and promote rollouts; the fallback; send proxies again what they NACKed."""
    ROLL_BACK = "roll_back"
    """Roll back, as far as no freeze forbids it."""
    FORCE_ROLLBACK = "force_rollback"
    """Roll back whatever is frozen."""
    HOLD = "hold"
    """Set holds, and lift one's own."""
    FREEZE = "freeze"
    """Set freezes and holds, and lift one's own."""
    LIFT = "lift"
    """Lift the freezes and holds of others."""
    APPLY = "apply"
    """Declare, change and delete services."""
    ADMINISTER = "administer"
    """What concerns the controller or a proxy: exclude proxies, back up the store."""
    RELAY = "relay"
    """Pass on what proxies have reported, and ask what is judged, as a controller that shares the store."""


class Role(StrEnum):
    """A role that the settings give to callers, for some services."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    BREAKER = "breaker"
    ADMIN = "admin"
    CONTROLLER = "controller"
    """The other controllers that share the store; of no person."""


GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.OPERATE, Permission.ROLL_BACK, Permission.HOLD}),
    Role.BREAKER: frozenset(
        {Permission.VIEW, Permission.ROLL_BACK, Permission.FORCE_ROLLBACK, Permission.HOLD, Permission.FREEZE}
    ),
    Role.ADMIN: frozenset(Permission) - {Permission.RELAY},
    Role.CONTROLLER: frozenset({Permission.RELAY}),
}
"""Role -> what it may do."""
