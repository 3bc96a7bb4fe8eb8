"""`haldane can`: every command that the controller has a say in is an act."""

import pytest

from controller.cli.commands.access import OF_COMMAND
from controller.cli.main import COMMANDS
from tests.cli.conftest import Haldane

OWN = {
    *("serve", "bootstrap", "lint", "judge", "simulate", "certs", "completion", "demo", "ledger"),
    *("backup", "restore", "migrate"),
    *("login", "logout", "whoami", "can"),
}
"""Those that ask no controller, that work on the store's files, and that everybody may call."""


def test_every_command_is_an_act_or_needs_no_right() -> None:
    """A new one fails here until it is either."""
    assert {act.split()[0] for act in OF_COMMAND} == COMMANDS.keys() - OWN


@pytest.mark.parametrize("act", OF_COMMAND)
def test_each_act_is_answered(haldane: Haldane, act: str) -> None:
    """Also with its options, for a service and for all; here nobody is bound."""
    for scope in ("scorer", "--all"):
        done = haldane("can", *act.split(), scope)
        assert (done.code, done.out) == (0, "yes\n"), done
