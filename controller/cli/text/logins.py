"""How a saved login is shown. Pure; `now` is Unix seconds."""

from controller.cli.saved_login import SavedLogin
from controller.cli.text.values import format_span, format_time
from controller.core.base.text import clean


def describe_login(saved: SavedLogin, now: float) -> str:
    """How a login stands, in words."""
    renewed = "renewed by itself" if saved.refresh_token else "then log in again"
    if not saved.expires_at:
        return f"logged in at {clean(saved.issuer)}"
    until = f"until {format_time(saved.expires_at, now)} ({format_span(saved.expires_at - now)} left)"
    return f"logged in at {clean(saved.issuer)}; the token is valid {until}, {renewed}"


def login_document(saved: SavedLogin) -> dict[str, object]:
    """How a login stands, as JSON values."""
    return {
        "admin": saved.admin,
        "issuer": saved.issuer,
        "expires_at": saved.expires_at or None,
        "renewable": bool(saved.refresh_token),
    }
