"""What controllers do in etcd holds, whatever comes late or gets lost; and the model is able to fail."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from tests.model.etcd_machine import KEYS, EtcdMachine, Protocol

QUICK = settings(max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
HUNT = settings(
    QUICK, max_examples=2000, derandomize=True, database=None, phases=(Phase.generate,), report_multiple_bugs=False
)


def without(*keys: str) -> Callable[[pb.TxnRequest], pb.TxnRequest]:
    """Transactions that do not compare these keys."""

    def send(request: pb.TxnRequest) -> pb.TxnRequest:
        kept = [each for each in request.compare if not each.key.decode().startswith(keys)]
        return pb.TxnRequest(compare=kept, success=request.success, failure=request.failure)

    return send


@dataclass(frozen=True)
class Mutant:
    """What is done wrong, and the promise that is seen to be broken."""

    protocol: Protocol
    broken: str


MUTANTS = {
    "the head is not compared": Mutant(
        Protocol(send=without(KEYS.head)), "decided on another state|under the freeze|used twice|another freeze"
    ),
    "the token is not compared": Mutant(Protocol(send=without(KEYS.leader)), "a term that is over"),
    "the change's id is not compared, nor the head": Mutant(
        Protocol(send=without(KEYS.head, f"{KEYS.prefix}/changes/")), "applied twice|another state|freeze|used twice"
    ),
    "a lost answer is taken for a refusal": Mutant(Protocol(settles=False), "after it was said not to be"),
    "two notify": Mutant(Protocol(notifies=lambda _: True), "who never led"),
    "the cursor of a former leader counts": Mutant(Protocol(cursor=without(KEYS.leader)), "a cursor went back"),
}


def test_controllers_over_etcd_keep_every_promise() -> None:
    """Late writes, lost answers, leases that run out, replicas that lag: one order of changes, each applied once, by
    whoever leads, under no freeze; every controller serves the same at the same revision."""
    run_state_machine_as_test(EtcdMachine, settings=QUICK)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_controllers_over_etcd_keep_every_promise_for_minutes() -> None:
    """The same, a thousand times as long."""
    run_state_machine_as_test(EtcdMachine, settings=settings(QUICK, max_examples=12_000, stateful_step_count=60))


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_of_the_protocol_is_caught(mutant: Mutant) -> None:
    """With this comparison left out, this promise is seen to be broken."""
    mutated = type("Mutated", (EtcdMachine,), {"protocol": mutant.protocol})
    with pytest.raises(AssertionError, match=mutant.broken):
        run_state_machine_as_test(mutated, settings=HUNT)
