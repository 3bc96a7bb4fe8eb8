"""The SPIFFE IDs of certificates that Haldane itself makes."""

TRUST_DOMAIN = "haldane"
CONTROLLER = f"spiffe://{TRUST_DOMAIN}/ns/default/controller"
"""The controller's, which proxies compare."""


def spiffe_of_fleet(fleet: str) -> str:
    """That of the proxies of a fleet, by the pattern `fleet_rule.OF_FLEET`."""
    return f"spiffe://{TRUST_DOMAIN}/ns/default/fleet/{fleet}"
