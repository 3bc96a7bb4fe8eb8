"""The token of a saved login, renewed when it is about to expire."""

import time

from controller.cli.failure import Exit, Failure
from controller.cli.saved_login import AGAIN, SavedLogin, login_locked, read_login, write_login

MARGIN = 30.0
"""Seconds before its end in which a token is renewed."""
OTHER_WAYS = "without the issuer: --certificate and --key, --token-file, or the UNIX socket on the controller's machine"


class LoginToken:
    """The token for the calls of one command."""

    def __init__(self, login: SavedLogin) -> None:
        self._login = login

    def current(self) -> str:
        """A token that is valid by this machine's clock. Raises `Failure` if there is none any more."""
        if _is_fresh(self._login):
            return self._login.token
        self._renew(rejected="")
        return self._login.token

    def renewed(self) -> bool:
        """Whether there is another token now that the controller has rejected this one: the clocks may differ, or the
        issuer's keys have changed. Raises `Failure`."""
        rejected = self._login.token
        self._renew(rejected=rejected)
        return self._login.token != rejected

    def _renew(self, *, rejected: str) -> None:
        """Ask the issuer for the next token, unless another command of this user has just done that: most issuers
        accept a refresh token once."""
        admin = self._login.admin
        try:
            with login_locked(admin):
                login = read_login(admin)
                if login is None:
                    raise Failure(Exit.FAILED, f"you are logged out at {admin}", hint="`haldane login` logs in")
                self._login = login
                if login.token != rejected and _is_fresh(login):
                    return
                if login.refresh_token:
                    self._login = _next(login)
                    write_login(self._login)
                elif not rejected:
                    raise Failure(Exit.FAILED, f"your login at {admin} has expired", hint=AGAIN)
        except OSError as error:
            raise Failure(Exit.FAILED, f"your login at {admin} cannot be renewed: {error}") from None


def _is_fresh(login: SavedLogin) -> bool:
    return not login.expires_at or time.time() < login.expires_at - MARGIN


def _next(login: SavedLogin) -> SavedLogin:
    """The login with the next token; as it is if the issuer is away and the token still valid. Raises `Failure`."""
    from controller.cli.issuer import Unanswered, refreshed  # slow to load, and rarely needed

    try:
        return refreshed(login)
    except Unanswered as unanswered:
        if not login.expires_at or time.time() < login.expires_at:
            return login
        message = f"your login at {login.admin} has expired, and {login.issuer} does not renew it: {unanswered}"
        raise Failure(Exit.FAILED, message, hint=OTHER_WAYS) from None
