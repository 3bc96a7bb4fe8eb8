"""What is judged, as a message: every controller shows the same, or says that it cannot read it."""

import pytest

from controller.admin.messages import reason_message
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.capacity import CapacityGap
from controller.core.control.describe import plain_blocker
from controller.core.control.sync import CutOff, Sync
from controller.core.judge.reason import Reason, ReasonCode
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.actor import Proof
from controller.core.model.freeze import Freeze, Mode
from controller.core.model.ledger_kind import LedgerKind
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.edges import ServiceSync
from controller.ports.observatory import Live
from controller.ports.peers import Judgement, Upstream
from controller.ports.service_files import FileProblem, FileProblemKind, FilesStatus
from controller.relay.batch_messages import InvalidUpdate
from controller.relay.judgement_messages import files_message, judgement_message, read_files, read_judgement

FREEZE = Freeze(scope="*", mode=Mode.HOLD, reason="the night", who="ann", proof=Proof.OIDC, since=1.5, until=None)
SYNC = Sync(1, 4, nacked=("p",), behind=("q",), blind=("r",), cut_off=(CutOff("three", 2, 4.5),))
REASONS = (
    Reason(ReasonCode.SERVER_ERRORS, "worse", 0.5, 0.0, 10, 20, float("inf"), 100.0, channel="5xx"),
    Reason(ReasonCode.INSUFFICIENT, "not yet", evidence=0.0, limit=20.0, needed=40, margin=0.01, bound=0.0),
    Reason(ReasonCode.BLIND, "no report"),
)
BLOCKERS = [
    None,
    Blocker(BlockerKind.NO_ROLLOUT),
    Blocker(BlockerKind.DWELL, LedgerKind.STEP_ADVANCED, seconds=12.5, weight=500),
    Blocker(BlockerKind.FREEZE, LedgerKind.ROLLBACK, freeze=FREEZE),
    Blocker(BlockerKind.CUT_OFF, LedgerKind.STEP_ADVANCED, sync=SYNC),
    Blocker(BlockerKind.HOOK, LedgerKind.PROMOTED, names=("gate",), words="gate says no"),
    Blocker(BlockerKind.CAPACITY, LedgerKind.STEP_ADVANCED, names=("v1",), gap=CapacityGap(1, 2, 3)),
]


def judgement(blocker: Blocker | None = None) -> Judgement:
    """Everything that can be known of a service."""
    live = Live(
        verdict=Verdict(Outcome.HARM, REASONS, warm=False, blind=True, idle=True),
        remark="rolls back",
        traffic={"v1": Traffic(1.5, 0.25, 3.0, float("inf"), 100, 7, 1, 2, 3, 4.5, 5.5), "v2": Traffic()},
        unjudged={"v2/pinned": Traffic(requests=9)},
        endpoints={"v1": EndpointHealth(1, 2, 3, 4)},
        stable=Verdict(Outcome.PASS, (Reason(ReasonCode.HEALTHY, "as usual", stable=0.0),)),
        blocker=blocker,
    )
    upstreams = {"v1": Upstream(True, None), "v2": Upstream(False, False), "v3": Upstream(False, True)}
    return Judgement(live, ServiceSync(7, SYNC), "r1", upstreams)


def passed_on(known: Judgement) -> Judgement:
    """What the other controller reads."""
    data = judgement_message("scorer", known).SerializeToString()
    service, read = read_judgement(pb.Judgement.FromString(data))
    assert service == "scorer"
    return read


@pytest.mark.parametrize("blocker", BLOCKERS, ids=lambda blocker: blocker and blocker.kind)
def test_what_is_passed_on_is_the_same(blocker: Blocker | None) -> None:
    """As values, and so in every sentence and document."""
    known = judgement(blocker)
    read = passed_on(known)
    assert read == known
    if blocker and read.live.blocker:
        assert plain_blocker(read.live.blocker) == plain_blocker(blocker)


def test_what_is_unknown_stays_unknown() -> None:
    """None is not 0, and infinity is not nothing: both APIs show the same as at the one that decides."""
    verdict = passed_on(judgement()).live.verdict
    assert verdict
    assert [each.plain() for each in verdict.reasons] == [each.plain() for each in REASONS]
    assert [*map(reason_message, verdict.reasons)] == [*map(reason_message, REASONS)]
    assert passed_on(Judgement(Live(), ServiceSync(0, Sync()))) == Judgement(Live(), ServiceSync(0, Sync()))


def _spoilt(message: pb.Judgement, what: str) -> None:
    match what:
        case "outcome":
            message.verdict.outcome = "perhaps"
        case "reason":
            message.verdict.reasons[0].code = "of_tomorrow"
        case "blocker":
            message.blocker.kind = "of_tomorrow"
        case "line":
            message.blocker.stops = "of_tomorrow"
        case "freeze":
            message.blocker.freeze = '{"scope": 1}'
        case "sync":
            message.sync.synced = 9
        case "service":
            message.sync.service = "a\nb"


@pytest.mark.parametrize("what", ["outcome", "reason", "blocker", "line", "freeze", "sync", "service"])
def test_words_of_another_version_are_refused_whole(what: str) -> None:
    """A verdict without one of its reasons would be another verdict."""
    message = judgement_message("scorer", judgement(BLOCKERS[3]))
    _spoilt(message, what)
    with pytest.raises(InvalidUpdate):
        read_judgement(message)


def test_what_became_of_service_files_is_passed_on() -> None:
    """Also that none are applied."""
    files = FilesStatus(3, {"a.yaml": FileProblem(FileProblemKind.REFUSED, "line 3: wrong")})
    assert read_files(files_message(files)) == files
    assert read_files(files_message(FilesStatus())) == FilesStatus()
