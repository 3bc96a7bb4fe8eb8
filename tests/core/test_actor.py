"""Who did something, as it is shown: a name that nothing has verified has a word beside it."""

import pytest

from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.describe import plain_blocker
from controller.core.model.actor import CONTROLLER, Actor, Proof
from controller.core.model.freeze import describe_freeze
from tests.builders import freeze


@pytest.mark.parametrize("proof", Proof)
def test_only_what_nothing_has_verified_is_marked(proof: Proof) -> None:
    """Haldane's own acts need no proof; whoever proves to be of its name is shown as it is, too."""
    claimed = proof is Proof.CLAIMED
    actor = Actor("alice@127.0.0.1", proof)
    assert actor.described == ("alice@127.0.0.1 (unverified)" if claimed else "alice@127.0.0.1")
    assert actor.plain() == {"who": "alice@127.0.0.1", "verified_by": proof.value, "unverified": claimed}
    assert Actor(CONTROLLER, proof).described == CONTROLLER


def test_a_freeze_says_so_wherever_it_is_described() -> None:
    """In refusals, and where it blocks a rollout."""
    claimed, proved = freeze(who="grace@127.0.0.1", proof=Proof.CLAIMED), freeze(who="grace", proof=Proof.OIDC)
    assert describe_freeze(claimed) == "all services are frozen by grace@127.0.0.1 (unverified): incident 42"
    assert describe_freeze(proved) == "all services are frozen by grace: incident 42"
    blocked = [plain_blocker(Blocker(BlockerKind.FREEZE, freeze=each)) for each in (claimed, proved)]
    assert [each["unverified"] for each in blocked] == [True, False]


def test_a_freeze_is_renewed_by_the_same_actor_alone() -> None:
    """The same name, verified in the same way."""
    proved = freeze(who="grace", proof=Proof.OIDC)
    assert freeze(who="grace", proof=Proof.OIDC).renews(proved)
    assert not freeze(who="grace", proof=Proof.CERTIFICATE).renews(proved)
    assert not freeze(who="grace", proof=Proof.CLAIMED).renews(proved)
