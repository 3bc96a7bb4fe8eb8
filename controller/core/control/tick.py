"""One rollout under judgement: judge, then decide. What `serve`, `judge`, `simulate` and `backtest` all run."""

from dataclasses import replace

from controller.core.control.automation import Situation, decide
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.decision import Decision, wait
from controller.core.control.session import Session, Surroundings, dwelling, stage_of
from controller.core.judge.custom.custom_metrics import with_custom, without_custom
from controller.core.judge.judge import judge
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Act, Freeze, blocking
from controller.core.model.state import ServiceState
from controller.core.traffic.window import Window


def tick(
    state: ServiceState, session: Session, window: Window, around: Surroundings, now: float
) -> tuple[Session, Verdict, Decision]:
    """One look: the session after it, the verdict and the decision. `now` is Unix seconds, for the record only."""
    if state.rollout is None:
        raise ValueError(f"{state.name} has no rollout")
    policy = state.rollout.policy
    judged, verdict = judge(without_custom(policy), session.judge_state, window, state.rollout.step)
    beside, verdict = with_custom(policy, session.custom, window, judged, verdict)
    reported = window.stable is not None or window.canary is not None
    looked = session._replace(judge_state=judged, custom=beside)
    return weigh(state, looked, verdict, window.at, around, now, reported=reported)


def weigh(
    state: ServiceState,
    session: Session,
    verdict: Verdict,
    at: float,
    around: Surroundings,
    now: float,
    *,
    reported: bool = True,
) -> tuple[Session, Verdict, Decision]:
    """What follows from a verdict at the monotonic time `at`: the part of a look that comes after judging.

    `reported`: whether some proxy has said something since the last look.
    """
    rollout = state.rollout
    if rollout is None:
        raise ValueError(f"{state.name} has no rollout")
    if session.stage != stage_of(rollout):  # somebody else's change: how long ago within the tick, nobody knows
        session = dwelling(session, rollout)._replace(at=None)
    if around.harm and verdict.outcome is not Outcome.HARM:
        verdict = replace(verdict, outcome=Outcome.HARM, findings=(around.harm,))
    passed = 0.0 if session.at is None else max(0.0, at - session.at)
    silent = 0.0 if verdict.blind else session.silent + passed
    seen, silent = (silent, 0.0) if reported else (0.0, silent)
    progress = session.progress.after(passed, seen, idle=verdict.idle)

    def blocked(act: Act) -> Freeze | None:
        return blocking(around.freezes, state.name, act)

    known = Situation(verdict, progress, around.sync, blocked, around.stable_unroutable, around.sync_share)
    decision = decide(state, known, now)
    if decision.act is Act.ADVANCE and not reported:
        # Also what was proved before a restart is acted on only once there are reports again.
        decision = wait(state, Blocker(BlockerKind.NO_REPORT, decision.kind), verdict)
    return session._replace(progress=progress, at=at, silent=silent), verdict, decision
