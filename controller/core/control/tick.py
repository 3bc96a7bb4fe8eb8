"""One tick of one rollout: judge, then decide. What `serve`, `judge`, `simulate` and `backtest` all run."""

from dataclasses import replace

from controller.core.control.automation import DecisionInputs, decide
from controller.core.control.blind_proxies import with_blind_proxies
from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.capacity import capacity_gap
from controller.core.control.cut_off_proxies import with_cut_off_proxies
from controller.core.control.decision import Decision, wait
from controller.core.control.endpoints_out import with_endpoints_out
from controller.core.control.odd_proxies import with_odd_proxies
from controller.core.control.session import Session, TickInputs, at_position, position_of
from controller.core.judge.custom.custom_metrics import with_custom, without_custom
from controller.core.judge.judge import judge
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.freeze import Act, Freeze, blocking_freeze
from controller.core.model.service_state import ServiceState
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.window import Window


def tick(
    state: ServiceState, session: Session, window: Window, inputs: TickInputs, now: float
) -> tuple[Session, Verdict, Decision]:
    """The session after the tick, the verdict and the decision. `now` is Unix seconds, for the record only.

    ValueError if the service has no rollout.
    """
    if state.rollout is None:
        raise ValueError(f"{state.name} has no rollout")
    policy = state.rollout.policy
    judge_state, verdict = judge(without_custom(policy), session.judge_state, window, state.rollout.step)
    custom, verdict = with_custom(policy, session.custom, window, judge_state, verdict)
    session = session._replace(judge_state=judge_state, custom=custom)
    if not window.has_reports:
        inputs = replace(inputs, reported=False)
    return decide_on_verdict(state, session, verdict, window.at, inputs, now)


def decide_on_verdict(
    state: ServiceState, session: Session, verdict: Verdict, at: float, inputs: TickInputs, now: float
) -> tuple[Session, Verdict, Decision]:
    """What follows from a verdict at the monotonic time `at`: the part of a tick that comes after judging.

    The verdict that is returned is HARM where a hook wants a rollback, and says which proxies cannot report broken
    responses and which endpoints get no requests. ValueError if the service has no rollout.
    """
    rollout = state.rollout
    if rollout is None:
        raise ValueError(f"{state.name} has no rollout")
    if session.position != position_of(rollout):  # moved by another writer, at an unknown time since the last tick
        session = at_position(session, rollout)._replace(at=None)
    if inputs.harm and verdict.outcome is not Outcome.HARM:
        verdict = replace(verdict, outcome=Outcome.HARM, findings=(inputs.harm,))
    verdict = with_blind_proxies(with_endpoints_out(verdict, inputs.endpoints), inputs.sync)
    verdict = with_cut_off_proxies(with_odd_proxies(verdict, inputs.sync), inputs.sync)
    stable, canary = inputs.endpoints.get(rollout.stable), inputs.endpoints.get(rollout.canary)
    if session.capacity is None and stable and stable.fewest:
        session = session._replace(capacity=stable.fewest)
    session = _watched(session, verdict, at, reported=inputs.reported)

    def blocked(act: Act) -> Freeze | None:
        return blocking_freeze(inputs.freezes, state.name, act)

    decision_inputs = DecisionInputs(
        verdict,
        session.progress,
        inputs.sync,
        blocked,
        stable_has_no_upstream=bool(stable and stable.is_none),
        sync_share=inputs.sync_share,
        canary_lacks_upstream=_lacks_upstream(state, rollout.canary, canary),
        capacity_gap=capacity_gap(rollout.policy.keep_capacity, session.capacity, stable),
    )
    decision = decide(state, decision_inputs, now)
    if decision.act is Act.ADVANCE and not inputs.reported:
        # Also what was proved before a restart is acted on only once there are reports again.
        decision = wait(state, Blocker(BlockerKind.NO_REPORT, decision.kind), verdict)
    if decision.act is Act.ADVANCE and inputs.sync.cut_off:
        decision = wait(state, Blocker(BlockerKind.CUT_OFF, decision.kind, sync=inputs.sync), verdict)
    return session, verdict, decision


def _lacks_upstream(state: ServiceState, canary: str, health: EndpointHealth | None) -> bool | None:
    """Whether some proxy has no healthy endpoint of the canary; None while that is awaited."""
    if health is None:
        return None if state.spec.is_found_in_time(canary) else False
    return health.is_lacking


def _watched(session: Session, verdict: Verdict, at: float, *, reported: bool) -> Session:
    """The session with the time up to `at`, which counts as watched once a report covers it."""
    passed = 0.0 if session.at is None else max(0.0, at - session.at)
    silent = 0.0 if verdict.blind else session.silent + passed
    covered, silent = (silent, 0.0) if reported else (0.0, silent)
    progress = session.progress.after(passed, covered, idle=verdict.idle)
    return session._replace(progress=progress, at=at, silent=silent)
